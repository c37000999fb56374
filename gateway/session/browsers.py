"""One browser, one session: what a login ends, what a logout ends (ADR 0015).

A browser is known by its tag, a hash of its login cookie, which every session it makes remembers.
"""

import contextlib
from typing import Protocol

from gateway.errors import Unavailable
from gateway.ports import NOBODY, Caller, Clock, LookupId, SessionStore
from gateway.session.indexes import Indexes, Listed
from gateway.session.model import Facts, Session

_PARALLEL_LOGINS = 5.0  # seconds between two logins of one browser that count as parallel
_CLOCKS_DIFFER = 30.0  # seconds a parallel login may seem to come later, by another replica's clock
_JUST_NOW = 30.0  # seconds after a login in which another one would not help
_SUPERSEDED_FOR = 120.0  # seconds a request may be on its way while another tab logs in


class End(Protocol):
    """Ends one session, as `Sessions.end` does."""

    async def __call__(
        self, lookup: LookupId, facts: Facts, *, by: str, caller: Caller = NOBODY
    ) -> bool:
        """Return whether it was still there; raises `Unavailable`."""
        ...


class Browsers:
    """What is known of browsers, and the endings that follow from it. All may raise `Unavailable`.

    `slide_every` is after how many seconds a use is written down.
    """

    def __init__(
        self, store: SessionStore, indexes: Indexes, clock: Clock, end: End, slide_every: float
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._clock = clock
        self._end = end
        # Less than the time until a slide, so that none takes a login of its own moment for one.
        self._younger = max(_PARALLEL_LOGINS, min(_CLOCKS_DIFFER, slide_every / 2))

    async def logged_in(self, session: Session, caller: Caller) -> None:
        """End every older session of this browser: at a login the old id is dead at once (D1).

        Two tabs that log in at the same moment spare each other: nobody knows which of the two
        answers the browser will take last, and a dead cookie would be a logout by accident.
        """
        for listed in await self._others(session):
            if not self._are_parallel(session.facts, listed.facts):
                await self._supersede(listed, caller)

    async def used(self, session: Session) -> None:
        """End what a parallel login left: the browser has shown which of the cookies it kept.

        And nothing else: meanwhile it may have logged in anew, and that session is not spare.
        Raises nothing: it can wait for the next login.
        """
        with contextlib.suppress(Unavailable):
            for listed in await self._others(session):
                if self._are_parallel(session.facts, listed.facts):
                    await self._supersede(listed, NOBODY)

    async def logged_out(self, browser: str, caller: Caller) -> None:
        """End every session of this browser, whoever's it is: its user logs out."""
        for listed in await self._indexes.of_browser(browser):
            await self._end(listed.lookup, listed.facts, by="user", caller=caller)

    async def has_just_logged_in(self, browser: str) -> bool:
        """Whether a login in this browser made a session that is still there, moments ago."""
        now = self._clock.now()
        return any(
            abs(now - listed.facts.created_at) < _JUST_NOW
            for listed in await self._indexes.of_browser(browser)
        )

    async def is_superseded(self, lookup: LookupId) -> bool:
        """Whether a login in the same browser has lately ended this session."""
        return await self._store.claimed(_superseded(lookup))

    async def _supersede(self, listed: Listed, caller: Caller) -> None:
        await self._store.claim(_superseded(listed.lookup), ttl=_SUPERSEDED_FOR)
        await self._end(listed.lookup, listed.facts, by="new_login", caller=caller)

    def _are_parallel(self, login: Facts, other: Facts) -> bool:
        """Whether the two come from tabs in which one person logged in at once.

        What seems younger than this login may come from a replica whose clock is ahead: if each of
        the two took itself for the later one, they would end each other.
        """
        if (login.issuer, login.subject) != (other.issuer, other.subject):
            return False
        return -self._younger <= login.created_at - other.created_at <= _PARALLEL_LOGINS

    async def _others(self, session: Session) -> list[Listed]:
        found = await self._indexes.of_browser(session.facts.browser)
        return [listed for listed in found if listed.lookup != session.lookup]


def _superseded(lookup: LookupId) -> str:
    return f"superseded:{lookup}"
