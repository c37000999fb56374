"""The refresh tokens of sessions that ended without their cookies (J14).

Tokens open under the ring and the cookie together (ADR 0002), so whoever ends a session from
elsewhere, as a provider does, cannot revoke what it was granted. Instead its sealed record is
kept for a while, no session any more; when the browser next comes with the dead cookie, that
opens it, the refresh token is revoked, and the record is gone. If it never comes, the store drops
the record, and the provider has a token nobody holds.
"""

import contextlib

from gateway.errors import Unavailable
from gateway.ports import NOBODY
from gateway.session import codec
from gateway.session.keeping import GiveBack
from gateway.session.manager import Sessions
from gateway.session.model import Facts
from gateway.session.sealing import CannotOpen

_A_DAY = 86400.0  # seconds


def kept_for(facts: Facts, now: float) -> float:
    """Return for how many seconds it is worth keeping: until the session would have been over."""
    return min(facts.absolute_deadline - now, _A_DAY)


class Leftovers:
    """Gives back what sessions leave behind."""

    def __init__(self, sessions: Sessions, give_back: GiveBack) -> None:
        self._sessions = sessions
        self._give_back = give_back

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
                await self._give_back(session.facts, session.tokens.refresh_token, NOBODY)
