"""Logging in: from the click to the session. What travels between the two is in `attempts.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import Code, GatewayError, Refused
from gateway.oidc import authorization, callback
from gateway.oidc.attempt import LoginAttempt, code_challenge
from gateway.oidc.authorization import LoginWish
from gateway.oidc.callback import ProviderRefused
from gateway.ports import AuditEvent, AuditLog, AuditName, Caller, Outcome
from gateway.secret import LoginBinding
from gateway.session.attempts import MAX_RESTARTS, Attempts, Resumption
from gateway.session.establishing import Establishing
from gateway.session.keeping import GiveBack
from gateway.session.manager import Sessions
from gateway.session.model import Session
from gateway.session.provider import Provider

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
        self._establishing = Establishing(sessions, give_back, audit)
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
        session = await self._establishing.establish(provider, bound, code, caller)
        return Finished(session, self._ring.cookie_value(session.handle), attempt.return_to)

    async def aclose(self) -> None:
        """Wait a little for logins under way."""
        await self._establishing.aclose()

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
