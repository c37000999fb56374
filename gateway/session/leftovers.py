"""What sessions that are over leave behind: their cookies, and some of them a refresh token (J14).

An answer that drops a cookie names it, and not its value. So it must not go to a browser that may
have got the cookie of its next login since it asked: that would be a logout by accident.

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
    """Clears away what sessions leave behind."""

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

    async def may_forget(self, cookie: str, browser: str | None) -> bool:
        """Whether telling the browser to drop this dead cookie can do no harm.

        `browser` is the tag of the login cookie that came with it, if one did. A request that left
        with the old cookie may be answered when there is a new one: then this browser has another
        session, or has had one since, or it has logged out, and that answer has dropped the cookie.

        A cookie also stays when we cannot judge it: signed under a key, or for a record in a
        format, that only other replicas know while a new release or key is rolled out.
        """
        handle = self._sessions.ring.read_handle(cookie)
        if handle is None:
            return False
        lookup = self._sessions.ring.lookup(handle)
        try:
            if not await self._sessions.is_gone(lookup):
                return False
            if await self._sessions.is_superseded(lookup):
                return False
            return browser is None or not await self._has_gone_on(browser)
        except Unavailable:
            return False

    async def _has_gone_on(self, browser: str) -> bool:
        if await self._sessions.departures.has_left(browser):
            return True
        return bool(await self._sessions.indexes.of_browser(browser))
