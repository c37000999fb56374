"""Opened sessions in memory: believed only while the store tells of every change (ADR 0007).

A hit costs a lookup in a dictionary instead of a signature, key derivations, a read and two
decryptions. What makes it safe stands here, and nowhere else:

* Without the proof (`SessionStore.is_watched`) nothing is believed.
* Deadlines are looked at on every hit.
* A record that was read before a change was told is not believed after it: `Reading` notices. Else
  a slow reply that crosses the announcement of a logout would bring the session back to memory.

What is not believed still spares work: when the store, asked, has the very record of before, then
what it opened to is known. That is how a gateway runs whose store may not be watched.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from gateway.ports import LookupId, StoredRecord
from gateway.session.model import Session

CHECKED_AGAIN = 60.0
"""Seconds an entry is believed. A session in use is written, and so read anew, as often, so this
costs nothing; and it bounds what a server might fail to announce (SWAPDB, for one)."""

OVERHEAD = 4096
"""Octets an entry takes besides its record's length; measured, and rounded up."""

Listener = Callable[[LookupId | None], None]
"""Called with the lookup id of a session that may have changed or ended, or None: any may have.

Must be quick and must not raise.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """What tells a record from every other, and its length: no two open to different sessions."""

    digest: bytes
    octets: int

    @classmethod
    def of(cls, record: StoredRecord) -> Self:
        """Return the origin of what this record opens to."""
        octets = record.generation.to_bytes(8, "big") + record.sealed
        return cls(hashlib.sha256(octets).digest(), len(octets))


@dataclass(frozen=True, slots=True)
class Opened:
    """What a cookie opened, and from which record.

    Believed without asking the store until `until` (epoch seconds).
    """

    cookie: str = field(repr=False)
    session: Session
    origin: Origin
    until: float

    @property
    def octets(self) -> int:
        """Roughly what it takes in memory."""
        return OVERHEAD + self.origin.octets


class Reading:
    """Reads of one session that are under way; `spoiled` once it has changed meanwhile."""

    __slots__ = ("_count", "_lookup", "_under_way", "spoiled")

    def __init__(self, lookup: LookupId, under_way: dict[LookupId, "Reading"]) -> None:
        self.spoiled = False
        self._count = 0
        self._lookup = lookup
        self._under_way = under_way

    def __enter__(self) -> Self:
        self._count += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._count -= 1
        if not self._count and self._under_way.get(self._lookup) is self:
            del self._under_way[self._lookup]


class SessionCache:
    """The `Changes` of this process: forgets what changes, and tells who else wants to know.

    One entry per session, found by the cookie's whole value: another spelling of it is a miss, and
    goes the long way. Keeps at most `most_octets`, roughly; what was used longest ago goes first.
    """

    def __init__(self, is_watched: Callable[[], bool], most_octets: int) -> None:
        self._is_watched = is_watched
        self._most_octets = most_octets
        self._octets = 0
        self._by_cookie: OrderedDict[str, Opened] = OrderedDict()
        self._by_lookup: dict[LookupId, Opened] = {}
        self._under_way: dict[LookupId, Reading] = {}
        self._listeners: list[Listener] = []
        self._grant_listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._by_cookie)

    @property
    def octets(self) -> int:
        """Roughly what the entries take."""
        return self._octets

    def find(self, cookie: str, now: float) -> Session | None:
        """Return the session of exactly this cookie, as the store has it and not over; or None."""
        if not self._is_watched():
            return None
        opened = self._by_cookie.get(cookie)
        if opened is None or now >= opened.until:
            return None
        self._by_cookie.move_to_end(cookie)
        return opened.session

    def recall(self, cookie: str) -> Opened | None:
        """Return what exactly this cookie opened last; nobody knows what has become of it."""
        return self._by_cookie.get(cookie)

    def reading(self, lookup: LookupId) -> Reading:
        """Return what has to surround a read of the store whose result is to be kept."""
        reading = self._under_way.get(lookup)
        if reading is None:
            reading = self._under_way[lookup] = Reading(lookup, self._under_way)
        return reading

    def keep(
        self,
        reading: Reading,
        cookie: str,
        session: Session,
        origin: Origin,
        now: float,
    ) -> None:
        """Keep what a record, which was read within `reading`, opened to for this cookie."""
        believed = self._is_watched() and not reading.spoiled
        until = min(session.facts.deadline(), now + CHECKED_AGAIN) if believed else 0.0
        former = self._by_lookup.get(session.lookup)
        if former is not None:
            self._drop(former)
        opened = Opened(cookie, session, origin, until)
        if opened.octets > self._most_octets:
            return
        self._by_cookie[cookie] = self._by_lookup[session.lookup] = opened
        self._octets += opened.octets
        while self._octets > self._most_octets:
            self._drop(next(iter(self._by_cookie.values())))

    def forget(self, lookup: LookupId) -> None:
        """Drop the session, and what is being read of it: we have just written it, or tried to."""
        reading = self._under_way.pop(lookup, None)
        if reading is not None:
            reading.spoiled = True
        opened = self._by_lookup.get(lookup)
        if opened is not None:
            self._drop(opened)

    def changed(self, lookup: LookupId) -> None:
        """Drop the session and tell the listeners (`Changes`)."""
        self.forget(lookup)
        for listener in self._listeners:
            listener(lookup)

    def grant_changed(self, lookup: LookupId) -> None:
        """Tell who waits for somebody else's grant (`Changes`)."""
        for listener in self._grant_listeners:
            listener(lookup)

    def everything(self) -> None:
        """Drop every session and tell the listeners (`Changes`)."""
        for reading in self._under_way.values():
            reading.spoiled = True
        self._under_way.clear()
        self._by_cookie.clear()
        self._by_lookup.clear()
        self._octets = 0
        for listener in self._listeners:
            listener(None)

    def on_change(self, listener: Listener) -> None:
        """Tell this listener too, after the cache has forgotten."""
        self._listeners.append(listener)

    def on_grant_change(self, listener: Listener) -> None:
        """Tell this listener of locks on grants."""
        self._grant_listeners.append(listener)

    def _drop(self, opened: Opened) -> None:
        del self._by_cookie[opened.cookie]
        del self._by_lookup[opened.session.lookup]
        self._octets -= opened.octets
