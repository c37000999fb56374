"""The refresh tokens of sessions that ended without their cookies (J14).

Tokens open under the ring and the cookie together (ADR 0002), so whoever ends a session from
elsewhere, as a provider does, cannot revoke what it was granted. Instead its sealed record is
kept for a while, no session any more; when the browser next comes with the dead cookie, that
opens it, the refresh token is revoked, and the record is gone. If it never comes, the store drops
the record, and the provider has a token nobody holds.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from gateway.errors import GatewayError, Unavailable
from gateway.ports import AuditLog, AuditName, Outcome
from gateway.session import codec
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session
from gateway.session.provider import Provider, provider_of
from gateway.session.sealing import CannotOpen
from gateway.session.trail import about

_A_DAY = 86400.0  # seconds
_PATIENCE = 2.0  # seconds a stopping gateway waits


def kept_for(facts: Facts, now: float) -> float:
    """Return for how many seconds it is worth keeping: until the session would have been over."""
    return min(facts.absolute_deadline - now, _A_DAY)


class Leftovers:
    """Revokes what sessions leave behind, on tasks of its own (H16)."""

    def __init__(
        self, providers: Mapping[str, Provider], sessions: Sessions, audit: AuditLog
    ) -> None:
        self._providers = providers
        self._sessions = sessions
        self._audit = audit
        self._revocations: set[asyncio.Task[None]] = set()

    async def revoke(self, cookie: str) -> None:
        """Revoke the refresh token of the ended session whose cookie this was, if it is kept."""
        ring = self._sessions.ring
        handle = ring.read_handle(cookie)
        if handle is None:
            return
        lookup = ring.lookup(handle)
        with contextlib.suppress(CannotOpen, Unavailable):
            record = await self._sessions.store.take(lookup)
            if record is not None:
                session = codec.open_session(ring, handle, lookup, record)
                task = asyncio.create_task(self._revoke(session))
                self._revocations.add(task)
                task.add_done_callback(self._revocations.discard)

    async def aclose(self) -> None:
        """Wait a little for revocations under way."""
        if self._revocations:
            await asyncio.wait(self._revocations, timeout=_PATIENCE)

    async def _revoke(self, session: Session) -> None:
        facts, token = session.facts, session.tokens.refresh_token
        provider = provider_of(self._providers, facts)
        if provider is None or token is None:
            return
        try:
            if not await provider.revoke(token):
                return
        except GatewayError as failure:
            name, code, note = AuditName.TOKEN_REVOCATION_FAILED, failure.code, failure.note
            event = about(facts, name, Outcome.FAILURE, code=code, note=note)
        else:
            event = about(facts, AuditName.TOKEN_REVOKED)
        self._audit.record(event)
