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
_JUST_NOW = 30.0  # seconds after a login in which another one would not help
_SUPERSEDED_FOR = (
    120.0  # seconds a request, or a login, may be on its way while another tab logs in
)


class End(Protocol):
    """Ends one session, as `Sessions.end` does."""

    async def __call__(
        self, lookup: LookupId, facts: Facts, *, by: str, caller: Caller = NOBODY
    ) -> bool:
        """Return whether it was still there; raises `Unavailable`."""
        ...


class Browsers:
    """What is known of browsers, and the endings that follow from it; may raise `Unavailable`."""

    def __init__(self, store: SessionStore, indexes: Indexes, clock: Clock, end: End) -> None:
        self._store = store
        self._indexes = indexes
        self._clock = clock
        self._end = end

    async def logged_in(self, session: Session, caller: Caller) -> None:
        """End every older session of this browser: at a login the old id is dead at once (D1).

        Two tabs that log in at the same moment spare each other: nobody knows which of the two
        answers the browser will take last, and a dead cookie would be a logout by accident.
        """
        for listed in await self._others(session):
            if not _are_parallel(session.facts, listed.facts):
                await self._supersede(listed, session, caller)

    async def used(self, session: Session) -> None:
        """End what a parallel login left: the browser has shown which of the cookies it kept.

        And nothing else: meanwhile it may have logged in anew, and that session is not spare.
        Raises nothing: it can wait for the next login.
        """
        with contextlib.suppress(Unavailable):
            for listed in await self._others(session):
                if _are_parallel(session.facts, listed.facts):
                    await self._supersede(listed, session, NOBODY)

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

    async def _supersede(self, listed: Listed, by: Session, caller: Caller) -> None:
        """End one session in favour of another; never each of the two in favour of the other.

        Two logins may each find the other's session, and replicas' clocks do not tell which is the
        later one. So whoever comes first decides.
        """
        pair = ":".join(sorted((listed.lookup, by.lookup)))
        if not await self._store.claim(f"one-of:{pair}", ttl=_SUPERSEDED_FOR):
            return
        await self._store.claim(_superseded(listed.lookup), ttl=_SUPERSEDED_FOR)
        await self._end(listed.lookup, listed.facts, by="new_login", caller=caller)

    async def _others(self, session: Session) -> list[Listed]:
        found = await self._indexes.of_browser(session.facts.browser)
        return [listed for listed in found if listed.lookup != session.lookup]


def _are_parallel(one: Facts, other: Facts) -> bool:
    """Whether the two come from tabs in which one person logged in at once."""
    if (one.issuer, one.subject) != (other.issuer, other.subject):
        return False
    return abs(one.created_at - other.created_at) <= _PARALLEL_LOGINS


def _superseded(lookup: LookupId) -> str:
    return f"superseded:{lookup}"
