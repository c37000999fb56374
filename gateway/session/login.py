"""Logging in: from the click to the session. What travels between the two is in `attempts.py`."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import Code, GatewayError, Refused
from gateway.oidc import authorization, callback, claims, id_token
from gateway.oidc.attempt import LoginAttempt, code_challenge
from gateway.oidc.authorization import LoginWish
from gateway.oidc.callback import AuthorizationCode, ProviderRefused
from gateway.oidc.client import Kind
from gateway.oidc.id_token import Identity
from gateway.oidc.token_endpoint import Grant
from gateway.ports import AuditEvent, AuditLog, AuditName, Caller, Outcome
from gateway.secret import LoginBinding
from gateway.session.attempts import MAX_RESTARTS, Attempts, BoundAttempt, Resumption
from gateway.session.keeping import GiveBack
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session, Tokens
from gateway.session.provider import Provider
from gateway.session.trail import about

_PATIENCE = 1.0  # seconds a person waits for a revocation (H16)
_RESTART_EVERY = 120.0  # seconds between restarts of a login whose state nobody can read


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """How long a login may take, in seconds (E18), and where a person lands by default."""

    attempt_ttl: float = 600.0
    default_return_to: str = "/"


@dataclass(frozen=True, slots=True)
class Started:
    """A login that has begun: send the browser to `url`, keep `binding` in its login cookie."""

    url: str
    binding: LoginBinding


@dataclass(frozen=True, slots=True)
class Finished:
    """A login that has succeeded: set `cookie`, then let the browser go to `return_to`."""

    session: Session
    cookie: str = field(repr=False)
    return_to: str


class LoginDenied(Refused):
    """The provider said no to this attempt; `error` is a known error code."""

    def __init__(self, error: str, attempt: LoginAttempt) -> None:
        super().__init__(Code.PROVIDER_ERROR, note=f"the provider answered {error}")
        self.error = error
        self.attempt = attempt

    @property
    def is_silent(self) -> bool:
        """Whether nobody was asked, by the application's own wish (E19)."""
        return self.attempt.prompt == "none"


class LoginOvertaken(Refused):
    """The provider ended the session this login was to become, before it was there (J13)."""

    def __init__(self, attempt: LoginAttempt) -> None:
        super().__init__(Code.LOGIN_OVERTAKEN, note="a logout token as young as the ID token")
        self.attempt = attempt


class Login:
    """The two halves of a login, and the way back from a broken one."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        sessions: Sessions,
        give_back: GiveBack,
        policy: LoginPolicy,
        audit: AuditLog,
    ) -> None:
        self._providers = providers
        self._sessions = sessions
        self._give_back = give_back
        self._ring = sessions.ring
        self._clock = sessions.clock
        self.policy = policy
        self._audit = audit
        self.default_provider = next(iter(providers))
        nowhere = LoginAttempt(
            attempt_id="",
            provider=self.default_provider,
            return_to=policy.default_return_to,
            issued_at=0.0,
        )
        self.attempts = Attempts(sessions.ring, sessions.clock, nowhere)

    def provider(self, name: str | None) -> Provider:
        """Return the provider of this name, or the default one; never one we do not have (E21)."""
        try:
            return self._providers[name or self.default_provider]
        except KeyError:
            raise Refused(Code.LOGIN_PROVIDER_UNKNOWN) from None

    def wished_provider(self, wish: LoginWish) -> Provider:
        """Return the provider a link names, by our name for it or by its issuer (E21).

        An issuer nobody configured is refused: nothing is ever fetched because a link says so.
        """
        if wish.issuer is None:
            return self.provider(wish.provider)
        for provider in self._providers.values():
            client = provider.client
            if client.issuer == wish.issuer and wish.provider in (None, client.provider):
                return provider
        raise Refused(Code.LOGIN_PROVIDER_UNKNOWN)

    async def start(
        self,
        wish: LoginWish,
        return_to: str,
        binding: LoginBinding | None,
        caller: Caller,
        *,
        restarts: int = 0,
    ) -> Started:
        """Begin a login; needs the provider's metadata, nothing of it is stored."""
        provider = self.wished_provider(wish)
        client = provider.client
        if client.acr_values and not set(wish.acr_values) <= set(client.acr_values):
            raise Refused(Code.LOGIN_PARAMETER, "These acr_values are not among the configured.")
        published = await provider.metadata()
        binding = binding or self._ring.new_binding()
        attempt = LoginAttempt(
            attempt_id=self._sessions.new_session_id(),
            provider=client.provider,
            return_to=return_to,
            issued_at=self._clock.now(),
            restarts=restarts,
            prompt=wish.prompt,
            max_age=wish.max_age,
            acr_values=wish.acr_values or client.acr_values,
        )
        state, bound = self.attempts.seal(attempt, binding)
        url = authorization.authorization_url(
            published,
            client,
            attempt,
            wish,
            state=state,
            nonce=bound.nonce,
            challenge=code_challenge(bound.verifier),
        )
        self._record(AuditName.LOGIN_STARTED, Outcome.SUCCESS, client.provider, caller)
        return Started(url, binding)

    async def may_restart(self, resumption: Resumption, binding: LoginBinding | None) -> bool:
        """Whether to try once more by itself, or to explain (no loops, whatever breaks them).

        A state that opens counts its restarts. One that does not, because a provider damages it
        or its key has gone, cannot: then this browser gets one restart in a while, and one that
        keeps no cookies gets none, nor does one that was sent here by a stranger's link: it could
        fill the store with cookies it makes up.
        """
        if resumption.is_readable:
            return resumption.attempt.restarts < MAX_RESTARTS
        if not self.is_of_browser(resumption, binding):
            return False
        once = f"restart:{resumption.browser}"
        return await self._sessions.store.claim(once, ttl=_RESTART_EVERY)

    def is_of_browser(self, resumption: Resumption, binding: LoginBinding | None) -> bool:
        """Whether the broken login was this browser's own."""
        return binding is not None and resumption.browser == self._ring.browser_tag(binding)

    async def complete(
        self, provider_name: str, parameters: bytes, binding: LoginBinding | None, caller: Caller
    ) -> Finished:
        """Finish a login from the authorization response's query or form.

        Raises `StateRefused`, `LoginDenied`, `LoginOvertaken`, other `Refused` and `Unavailable`.
        Cheap, pure checks come first; the state is consumed before the code is spent (E4).
        """
        try:
            return await self._complete(provider_name, parameters, binding, caller)
        except GatewayError as failure:
            outcome = Outcome.REFUSED if isinstance(failure, Refused) else Outcome.FAILURE
            # Only names we know: a stranger's would grow the log and the metrics without bound.
            known = provider_name if provider_name in self._providers else ""
            self._record(AuditName.LOGIN_FAILED, outcome, known, caller, failure.code, failure.note)
            raise

    async def _complete(
        self, provider_name: str, parameters: bytes, binding: LoginBinding | None, caller: Caller
    ) -> Finished:
        provider = self.provider(provider_name)
        answer = callback.read_answer(parameters)
        bound = self.attempts.open(answer.state, binding, self.policy.attempt_ttl)
        attempt = bound.attempt
        if attempt.provider != provider_name:
            raise Refused(Code.CALLBACK_ISSUER, note="another provider's redirect URI")  # E7
        try:
            code = callback.match_callback(
                answer, attempt, provider.client, await provider.metadata()
            )
        except ProviderRefused as refusal:
            raise LoginDenied(refusal.error, attempt) from refusal
        # Consumed whatever comes after: an attempt is good for one token request, on any replica.
        once = f"attempt:{attempt.attempt_id}"
        if not await self._sessions.store.claim(once, ttl=self.policy.attempt_ttl + 60.0):
            raise self.attempts.refused(Code.STATE_REPLAYED, attempt, bound.binding)
        session = await self._establish(provider, bound, code, caller)
        return Finished(session, self._ring.cookie_value(session.handle), attempt.return_to)

    async def _establish(
        self, provider: Provider, bound: BoundAttempt, code: AuthorizationCode, caller: Caller
    ) -> Session:
        grant = await provider.exchange(code, bound.verifier)
        identity, user = await self._identify(provider, bound, grant)
        now = self._clock.now()
        policy = self._sessions.policy
        facts = Facts(
            session_id=self._sessions.new_session_id(),
            provider=provider.client.provider,
            issuer=identity.issuer,
            subject=identity.subject,
            sid=identity.sid,
            created_at=now,
            last_seen=now,
            idle_deadline=now + min(policy.idle_timeout, policy.absolute_timeout),
            absolute_deadline=now + policy.absolute_timeout,
            auth_time=identity.auth_time,
            acr=identity.acr,
            user=user,
            browser=self._ring.browser_tag(bound.binding),
            nonce=bound.nonce if provider.client.kind is Kind.OIDC else None,
            address=caller.address,
            user_agent=caller.user_agent,
        )
        session = await self._sessions.create(facts, tokens_of(grant))
        # After the record is in the store, before anybody has its cookie: see `tombstones`.
        if await self._sessions.tombstones.overtook(facts, identity.issued_at):
            await self._take_back(session, caller)
            raise LoginOvertaken(bound.attempt)
        await self._sessions.end_others_in_browser(session, caller)
        self._audit.record(about(facts, AuditName.LOGIN_SUCCEEDED, caller=caller))
        return session

    async def _take_back(self, session: Session, caller: Caller) -> None:
        """End a session nobody has used; its refresh token is withdrawn if that goes quickly."""
        by = "backchannel_logout"
        await self._sessions.end(session.lookup, session.facts, by=by, caller=caller)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._give_back(session.facts, session.tokens.refresh_token, caller)

    async def _identify(
        self, provider: Provider, bound: BoundAttempt, grant: Grant
    ) -> tuple[Identity, Mapping[str, object]]:
        """Say who logged in: the ID token is believed before any token is used (E6, G1)."""
        client = provider.client
        if client.kind is Kind.OAUTH2:
            info = await provider.userinfo(grant.access_token, None)
            return id_token.plain_identity(info, client), claims.user_claims({}, info)
        if grant.id_token is None:
            raise Refused(Code.ID_TOKEN_MISSING)
        identity = id_token.check_id_token(
            await provider.verify(grant.id_token),
            client,
            nonce=bound.nonce,
            access_token=grant.access_token,
            now=self._clock.now(),
            attempt=bound.attempt,
        )
        info = {}
        if client.fetch_userinfo:
            info = await provider.userinfo(grant.access_token, identity.subject)
        return identity, claims.user_claims(identity.claims, info)

    def _record(
        self,
        name: AuditName,
        outcome: Outcome,
        provider: str,
        caller: Caller,
        code: Code | None = None,
        note: str = "",
    ) -> None:
        self._audit.record(
            AuditEvent(name, outcome, code, provider=provider, caller=caller, note=note)
        )


def tokens_of(grant: Grant, before: Tokens | None = None) -> Tokens:
    """Return the tokens to keep: a refresh token or ID token not sent anew stays (H7)."""
    return Tokens(
        access_token=grant.access_token,
        expires_at=grant.expires_at,
        received_at=grant.received_at,
        scopes=grant.scopes,
        refresh_token=grant.refresh_token or (before.refresh_token if before else None),
        id_token=grant.id_token or (before.id_token if before else None),
    )
