"""Opened sessions in memory, only while the store is proven to tell of every change (ADR 0007).

A hit costs a lookup in a dictionary instead of a signature, key derivations, a read and two
decryptions. What makes it safe stands here, and nowhere else:

* Without the proof (`SessionStore.is_watched`) nothing is found and nothing is kept.
* Deadlines are looked at on every hit.
* A record that was read before a change was told is not kept after it: `Reading` notices. Else a
  slow reply that crosses the announcement of a logout would bring the session back to memory.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.ports import LookupId
from gateway.session.model import Session

CHECKED_AGAIN = 60.0
"""Seconds an entry is believed. A session in use is written, and so read anew, as often, so this
costs nothing; and it bounds what a server might fail to announce (SWAPDB, for one)."""

OVERHEAD = 4096
"""Octets an entry takes besides its record: measured, as Python's objects have no small change."""

Listener = Callable[[LookupId | None], None]
"""Called with the lookup id of a session that may have changed or ended, or None: any may have.

Must be quick and must not raise.
"""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A session, and when to stop believing it (epoch seconds)."""

    cookie: str = field(repr=False)
    session: Session
    until: float
    octets: int


class Reading:
    """Reads of one session that are under way; `spoiled` once it has changed meanwhile."""

    __slots__ = ("count", "spoiled")

    def __init__(self) -> None:
        self.count = 0
        self.spoiled = False


class SessionCache:
    """The `Changes` of this process: forgets what changes, and tells who else wants to know.

    One entry per session, found by the cookie's whole value: another spelling of it is a miss, and
    goes the long way. Keeps at most `most_octets`, roughly; what was used longest ago goes first.
    """

    def __init__(self, is_watched: Callable[[], bool], most_octets: int) -> None:
        self._is_watched = is_watched
        self._most_octets = most_octets
        self._octets = 0
        self._by_cookie: OrderedDict[str, _Entry] = OrderedDict()
        self._by_lookup: dict[LookupId, _Entry] = {}
        self._readings: dict[LookupId, Reading] = {}
        self._listeners: list[Listener] = []

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
        entry = self._by_cookie.get(cookie)
        if entry is None:
            return None
        if now >= entry.until:
            self._drop(entry)
            return None
        self._by_cookie.move_to_end(cookie)
        return entry.session

    @contextmanager
    def reading(self, lookup: LookupId) -> Iterator[Reading]:
        """Surround a read of the store whose result may be kept."""
        reading = self._readings.setdefault(lookup, Reading())
        reading.count += 1
        try:
            yield reading
        finally:
            reading.count -= 1
            if not reading.count and self._readings.get(lookup) is reading:
                del self._readings[lookup]

    def keep(
        self, reading: Reading, cookie: str, session: Session, octets: int, now: float
    ) -> None:
        """Keep what `reading` found, a record of so many octets, unless it is stale already."""
        octets += OVERHEAD
        if not self._is_watched() or reading.spoiled or octets > self._most_octets:
            return
        former = self._by_lookup.get(session.lookup)
        if former is not None:
            self._drop(former)
        until = min(session.facts.deadline(), now + CHECKED_AGAIN)
        entry = _Entry(cookie, session, until, octets)
        self._by_cookie[cookie] = self._by_lookup[session.lookup] = entry
        self._octets += octets
        while self._octets > self._most_octets:
            self._drop(next(iter(self._by_cookie.values())))

    def forget(self, lookup: LookupId) -> None:
        """Drop the session, and what is being read of it: we have just written it, or tried to."""
        reading = self._readings.pop(lookup, None)
        if reading is not None:
            reading.spoiled = True
        entry = self._by_lookup.get(lookup)
        if entry is not None:
            self._drop(entry)

    def changed(self, lookup: LookupId) -> None:
        """Drop the session and tell the listeners (`Changes`)."""
        self.forget(lookup)
        for listener in self._listeners:
            listener(lookup)

    def everything(self) -> None:
        """Drop every session and tell the listeners (`Changes`)."""
        for reading in self._readings.values():
            reading.spoiled = True
        self._readings.clear()
        self._by_cookie.clear()
        self._by_lookup.clear()
        self._octets = 0
        for listener in self._listeners:
            listener(None)

    def on_change(self, listener: Listener) -> None:
        """Tell this listener too, after the cache has forgotten."""
        self._listeners.append(listener)

    def _drop(self, entry: _Entry) -> None:
        del self._by_cookie[entry.cookie]
        del self._by_lookup[entry.session.lookup]
        self._octets -= entry.octets
