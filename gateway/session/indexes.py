"""Finding sessions without their cookies.

By user, by the provider's own session, by browser, and by public id. Sessions that an older release
made stand in no index of public ids: they are found by their user, until their absolute end.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from gateway.ports import Clock, IndexName, LookupId, SessionStore, StoredRecord
from gateway.session import codec
from gateway.session.model import Facts
from gateway.session.sealing import CannotOpen, KeyRing

_AT_ONCE = 50  # sessions read and opened in one step of the event loop


@dataclass(frozen=True, slots=True)
class Listed:
    """One of a user's sessions, as an index and the ring open it: no token, no handle."""

    lookup: LookupId
    facts: Facts


def opened(
    ring: KeyRing, lookups: Sequence[LookupId], records: Sequence[StoredRecord | None]
) -> Iterator[Listed | LookupId]:
    """Open the facts of what was read; yield the lookup id alone of what does not open."""
    for lookup, record in zip(lookups, records, strict=True):
        if record is None:
            continue
        try:
            yield Listed(lookup, codec.open_facts(ring, lookup, record))
        except CannotOpen:
            yield lookup


class Indexes:
    """The index entries of sessions.

    What is listed has been checked against the sealed facts: whoever can write to the store could
    enter a stranger's session in an index.
    """

    def __init__(self, store: SessionStore, ring: KeyRing, clock: Clock) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock

    def current(self, facts: Facts) -> tuple[IndexName, ...]:
        """Return the indexes a session is entered in when it is made."""
        return tuple(names[0] for names in self._names(facts))

    def every(self, facts: Facts) -> tuple[IndexName, ...]:
        """Return every index it may stand in, older keys' names included."""
        return tuple(name for names in self._names(facts) for name in names)

    async def of_user(self, issuer: str, subject: str) -> list[Listed]:
        """Return every live session of (iss, sub), never of a name or an e-mail (D9)."""
        names = self._ring.index_names("user", issuer, subject)
        return [
            listed
            async for listed in self._listed(names)
            if (listed.facts.issuer, listed.facts.subject) == (issuer, subject)
        ]

    async def of_sid(self, issuer: str, sid: str) -> list[Listed]:
        """Return every live session of the provider's session (iss, sid): each browser's (J12)."""
        names = self._ring.index_names("sid", issuer, sid)
        return [
            listed
            async for listed in self._listed(names)
            if (listed.facts.issuer, listed.facts.sid) == (issuer, sid)
        ]

    async def of_browser(self, browser: str) -> list[Listed]:
        """Return every live session made in this browser, whoever's it is."""
        names = self._ring.index_names("browser", browser)
        return [listed async for listed in self._listed(names) if listed.facts.browser == browser]

    async def of_session(self, session_id: str) -> list[Listed]:
        """Return the live session of this public id: one, or none."""
        names = self._ring.index_names("session", session_id)
        return [
            listed async for listed in self._listed(names) if listed.facts.session_id == session_id
        ]

    async def _listed(self, names: tuple[IndexName, ...]) -> AsyncIterator[Listed]:
        now = self._clock.now()
        for name in names:
            lookups = await self._store.members(name)
            for start in range(0, len(lookups), _AT_ONCE):  # somebody may have very many
                some = lookups[start : start + _AT_ONCE]
                for found in opened(self._ring, some, await self._store.read_many(some)):
                    if isinstance(found, Listed) and not found.facts.is_over(now):
                        yield found

    def _names(self, facts: Facts) -> list[tuple[IndexName, ...]]:
        names = [
            self._ring.index_names("user", facts.issuer, facts.subject),
            self._ring.index_names("session", facts.session_id),
        ]
        if facts.sid is not None:
            names.append(self._ring.index_names("sid", facts.issuer, facts.sid))
        if facts.browser:
            names.append(self._ring.index_names("browser", facts.browser))
        return names
