"""Logging out: the session dies first, then the provider is told.

Nothing that happens at the provider, or does not, can keep a session alive (J1): revocation runs
on its own task and the person waits for it only a moment (H16).
"""

import asyncio
import json
from collections.abc import Mapping

from gateway.errors import GatewayError
from gateway.oidc import end_session
from gateway.ports import AuditLog, AuditName, Caller, Outcome
from gateway.secret import RefreshToken
from gateway.session.attempts import CLOCK_SKEW
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session
from gateway.session.provider import Provider, provider_of
from gateway.session.sealing import CannotOpen
from gateway.session.trail import about

_PATIENCE = 1.0  # seconds a person waits for the provider while logging out
_RETURN_WITHIN = 3600.0  # seconds between leaving for the provider and coming back


class Logout:
    """Ends sessions at their user's wish."""

    def __init__(
        self, providers: Mapping[str, Provider], sessions: Sessions, audit: AuditLog
    ) -> None:
        self._providers = providers
        self._sessions = sessions
        self._audit = audit
        self._revocations: set[asyncio.Task[None]] = set()

    async def user(self, session: Session, return_to: str, caller: Caller) -> str:
        """End this session, revoke its refresh token, and return where the browser should go.

        That is the provider's end-session URL when it has one, else `return_to`.
        """
        await self._sessions.end(session.lookup, session.facts, by="user", caller=caller)
        # Another tab may have logged in at the same moment and left a session beside this one.
        await self._sessions.end_browser(session.facts.browser, caller)
        revocation = self._revoke_later(session, caller)
        url = await self._end_session_url(session, return_to)
        await asyncio.wait({revocation}, timeout=_PATIENCE)
        return url or return_to

    async def another(self, current: Session, session_id: str, caller: Caller) -> bool:
        """End one of this user's sessions by its public id; False when there is none such."""
        facts = current.facts
        for listed in await self._sessions.indexes.of_user(facts.issuer, facts.subject):
            if listed.facts.session_id == session_id:
                return await self._sessions.end(
                    listed.lookup, listed.facts, by="other_session", caller=caller
                )
        return False

    async def all_others(self, current: Session, caller: Caller) -> int:
        """End all of this user's sessions but the current one; returns how many."""
        ended = 0
        for listed in await self._sessions.indexes.of_user(
            current.facts.issuer, current.facts.subject
        ):
            if listed.lookup != current.lookup:
                ended += await self._sessions.end(
                    listed.lookup, listed.facts, by="other_session", caller=caller
                )
        return ended

    def returned(self, state: str) -> str | None:
        """Return the path a logout was to end at, when `state` is one we made lately (J3)."""
        try:
            _, plain = self._sessions.ring.open_envelope("logout", state)
        except CannotOpen:
            return None
        try:
            return_to, issued_at = json.loads(plain)
        except ValueError:  # of a newer release
            return None
        age = self._sessions.clock.now() - issued_at
        return str(return_to) if -CLOCK_SKEW <= age <= _RETURN_WITHIN else None

    async def aclose(self) -> None:
        """Wait a little for revocations under way."""
        if self._revocations:
            await asyncio.wait(self._revocations, timeout=2.0)

    async def _end_session_url(self, session: Session, return_to: str) -> str | None:
        provider = provider_of(self._providers, session.facts)
        if provider is None:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                published = await provider.metadata()
        except (GatewayError, TimeoutError):
            return None  # the provider is down: the local logout stands
        plain = json.dumps([return_to, self._sessions.clock.now()]).encode()
        return end_session.end_session_url(
            published,
            provider.client,
            id_token=session.tokens.id_token,
            state=self._sessions.ring.seal_envelope("logout", plain),
        )

    async def give_back(self, facts: Facts, token: RefreshToken | None, caller: Caller) -> None:
        """Revoke a refresh token that came for a session which is over."""
        await self._revoke(facts, token, caller)

    def _revoke_later(self, session: Session, caller: Caller) -> asyncio.Task[None]:
        token = session.tokens.refresh_token
        task = asyncio.create_task(self._revoke(session.facts, token, caller))
        self._revocations.add(task)
        task.add_done_callback(self._revocations.discard)
        return task

    async def _revoke(self, facts: Facts, token: RefreshToken | None, caller: Caller) -> None:
        provider = provider_of(self._providers, facts)
        if provider is None or token is None:
            return
        try:
            if not await provider.revoke(token):
                return
        except GatewayError as failure:
            name = AuditName.TOKEN_REVOCATION_FAILED
            event = about(
                facts, name, Outcome.FAILURE, caller, code=failure.code, note=failure.note
            )
        else:
            event = about(facts, AuditName.TOKEN_REVOKED, caller=caller)
        self._audit.record(event)
