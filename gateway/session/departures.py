"""Browsers that have logged out, for as long as something they began before may still be under way.

A logout drops the login cookie, so whatever the browser begins afterwards carries another tag.
What still comes with this one began before: a request whose answer must not drop the cookie of the
next login, or a login that must not bring back who has just left.

No interleaving lets such a login live, as with `tombstones`: the logout leaves its mark BEFORE it
lists the browser's sessions, the login writes its session BEFORE it looks for the mark.
"""

from gateway.ports import Clock, IndexName, SessionStore
from gateway.session.sealing import KeyRing

KEPT_FOR = 1200.0
"""Seconds. No login takes longer: the longest `login.attempt_ttl`, a minute between clocks, and
what its provider takes to answer. Nor does a request before it is sent to an API."""


class Departures:
    """The marks that logouts leave in the store."""

    def __init__(self, store: SessionStore, ring: KeyRing, clock: Clock) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock

    async def put(self, *browsers: str) -> None:
        """Note that these browsers (tags, of one and the same) log out now; raises `Unavailable`.

        Under every key of the ring: others may know but one of them.
        """
        names = [name for browser in set(browsers) if browser for name in self._names(browser)]
        if names:
            await self._store.mark(names, self._clock.now(), ttl=KEPT_FOR)

    async def has_left(self, browser: str, since: float = 0.0) -> bool:
        """Whether this browser has logged out, at `since` (epoch seconds) or later.

        Raises `Unavailable`.
        """
        marks = await self._store.marks(self._names(browser))
        return any(mark is not None and mark >= since for mark in marks)

    def _names(self, browser: str) -> tuple[IndexName, ...]:
        return self._ring.index_names("logged-out-browser", browser)
