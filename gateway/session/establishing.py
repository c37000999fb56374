"""From an authorization code to a session.

The code is good for one request, so it runs on a task of its own: a browser that leaves in the
middle must leave neither a living session that nobody has the cookie of, nor a living token. And
it ends no older session of a browser that did not wait for the new one.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import Any

from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.oidc import claims, id_token
from gateway.oidc.attempt import LoginAttempt
from gateway.oidc.callback import AuthorizationCode
from gateway.oidc.client import Kind
from gateway.oidc.id_token import Identity
from gateway.oidc.token_endpoint import Grant
from gateway.ports import AuditEvent, AuditLog, AuditName, Caller, Outcome
from gateway.session.attempts import BoundAttempt
from gateway.session.keeping import GiveBack
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session, Tokens
from gateway.session.provider import Provider
from gateway.session.trail import about

_PATIENCE = 1.0  # seconds a person waits for a revocation (H16)
_LASTS = 2.0  # seconds logins under way have when the gateway stops


class LoginOvertaken(Refused):
    """A logout ended the session this login was to become, before it was there.

    The provider's, by a logout token (J13), or, with `in_browser`, the person's own.
    """

    def __init__(self, attempt: LoginAttempt, *, in_browser: bool = False) -> None:
        note = (
            "a logout in this browser" if in_browser else "a logout token as young as the ID token"
        )
        super().__init__(Code.LOGIN_OVERTAKEN, note=note)
        self.attempt = attempt
        self.in_browser = in_browser


class Establishing:
    """Spends codes, and makes sessions of what they bring."""

    def __init__(self, sessions: Sessions, give_back: GiveBack, audit: AuditLog) -> None:
        self._sessions = sessions
        self._give_back = give_back
        self._ring = sessions.ring
        self._clock = sessions.clock
        self._audit = audit
        self._running: set[asyncio.Task[Any]] = set()

    async def establish(
        self, provider: Provider, bound: BoundAttempt, code: AuthorizationCode, caller: Caller
    ) -> Session:
        """Return the new session.

        Raises `LoginOvertaken`, other `Refused` and `Unavailable`. Cancelled, it ends what comes of
        the code by itself.
        """
        left = asyncio.Event()
        task = self._begin(self._establish(provider, bound, code, caller, left))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            left.set()
            self._begin(self._withdraw(task, provider, caller))
            raise
        finally:
            del task  # or its exception, whose traceback leads here, would keep itself alive (F17)

    async def aclose(self) -> None:
        """Wait a little for logins under way."""
        if self._running:
            await asyncio.wait(self._running, timeout=_LASTS)

    def _begin(self, working: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(working)
        self._running.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._running.discard)
        return task

    async def _establish(
        self,
        provider: Provider,
        bound: BoundAttempt,
        code: AuthorizationCode,
        caller: Caller,
        left: asyncio.Event,
    ) -> Session:
        grant = await provider.exchange(code, bound.verifier)
        identity, user = await self._identify(provider, bound, grant)
        facts = self._facts(provider, bound, identity, user, caller)
        session = await self._sessions.create(facts, tokens_of(grant))
        # After the record is in the store, before anybody has its cookie: see `tombstones`.
        if await self._sessions.tombstones.overtook(facts, identity.issued_at):
            await self._take_back(session, "backchannel_logout", caller)
            raise LoginOvertaken(bound.attempt)
        if await self._sessions.departures.has_left(facts.browser, bound.attempt.issued_at):
            await self._take_back(session, "user", caller)
            raise LoginOvertaken(bound.attempt, in_browser=True)
        if not left.is_set():
            await self._sessions.browsers.logged_in(session, caller)
            self._audit.record(about(facts, AuditName.LOGIN_SUCCEEDED, caller=caller))
        return session

    def _facts(
        self,
        provider: Provider,
        bound: BoundAttempt,
        identity: Identity,
        user: Mapping[str, object],
        caller: Caller,
    ) -> Facts:
        now = self._clock.now()
        policy = self._sessions.policy
        return Facts(
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

    async def _withdraw(
        self, establishing: asyncio.Task[Session], provider: Provider, caller: Caller
    ) -> None:
        """End the session nobody has the cookie of, when it is there; say what became of it."""
        code, note = None, "the browser left before it had the session's cookie"
        try:
            session = await establishing
            with contextlib.suppress(Unavailable):  # it runs out by itself, and nobody can use it
                await self._take_back(session, "unfinished_login", caller)
        except GatewayError as failure:
            code, note = failure.code, failure.note
        name, outcome = AuditName.LOGIN_FAILED, Outcome.FAILURE
        provider_name = provider.client.provider
        self._audit.record(
            AuditEvent(name, outcome, code, provider=provider_name, caller=caller, note=note)
        )

    async def _take_back(self, session: Session, by: str, caller: Caller) -> None:
        """End a session nobody has used; its refresh token is withdrawn if that goes quickly."""
        try:
            await self._sessions.end(session.lookup, session.facts, by=by, caller=caller)
        finally:  # also when the store did not answer: nobody has the cookie of what may live on
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
