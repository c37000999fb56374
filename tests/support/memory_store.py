"""The `SessionStore` port in memory, with a clock one can turn and faults one can switch on.

It passes the same contract suite as the store on Redis. `MemoryStore` is one process's client;
`another()` is a second process's on the same data, with a link of its own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from gateway.errors import Code, Unavailable
from gateway.ports import Changes, Clock, Doubt, IndexName, LookupId, StoredRecord
from tests.support.clock import TurnableClock

LAG = 1.0
"""Seconds by which what is told may lag behind what happens; after that nobody may rely on it."""


@dataclass(frozen=True)
class Lock:
    """A lock on a session's grants. Times are readings of the clock."""

    owner: str | None = None
    until: float = 0.0
    doubt: Doubt = Doubt.NONE
    after: float = 0.0
    kept_until: float = 0.0
    former: str | None = None  # may take it back until the owner renews it


@dataclass
class Data:
    """What the server holds, who is connected to it, and how often it was asked."""

    clock: Clock
    sessions: dict[LookupId, tuple[StoredRecord, float]] = field(default_factory=dict)
    kept: dict[LookupId, tuple[StoredRecord, float]] = field(default_factory=dict)
    indexes: dict[IndexName, dict[LookupId, float]] = field(default_factory=dict)
    claims: dict[str, float] = field(default_factory=dict)
    marks: dict[IndexName, tuple[float, float]] = field(default_factory=dict)  # value, until
    locks: dict[LookupId, Lock] = field(default_factory=dict)
    clients: "list[MemoryStore]" = field(default_factory=list)
    down: bool = False
    reads: int = 0
    writes: int = 0

    def live(self, lookup: LookupId) -> StoredRecord | None:
        self.expire()
        return self.sessions[lookup][0] if lookup in self.sessions else None

    def expire(self) -> None:
        """Drop what is over, and tell of it as a server does."""
        now = self.clock.now()
        for lookup in [key for key, (_, until) in self.sessions.items() if until <= now]:
            del self.sessions[lookup]
            self.tell(lookup)

    def tell(self, lookup: LookupId | None) -> None:
        """Announce a change to every client whose link is up; None: everything."""
        for client in self.clients:
            client.hear(lookup)


class MemoryStore:
    """Sessions in dictionaries.

    `reads` and `writes` count the calls of all clients, for tests that assert the absence of an
    effect. While `down` is set, every call raises `Unavailable(STORE_UNAVAILABLE)`, and no link
    holds. Changes are told at once, unless the link is held up (`hold`) or cut (`cut`). Where a
    `gate` is set, operations take effect at once, but are answered only when it opens.
    """

    def __init__(self, clock: Clock | None = None, *, data: Data | None = None) -> None:
        self._data = data or Data(clock or TurnableClock())
        self._data.clients.append(self)
        self._changes: Changes | None = None
        self.linked = True
        self.held: deque[tuple[float, LookupId | None]] = deque()  # when, and what
        self._is_holding = False
        self.gate: asyncio.Event | None = None
        self.at_gate = asyncio.Event()  # an operation has taken effect and is not answered yet

    def another(self) -> "MemoryStore":
        """One more process's client on the same data."""
        return MemoryStore(data=self._data)

    # -- the port ------------------------------------------------------------------------------

    async def read(self, lookup: LookupId) -> StoredRecord | None:
        return (await self.read_many([lookup]))[0]

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        self._count(reads=1)
        found = [self._data.live(lookup) for lookup in lookups]
        await self._answered()
        return found

    async def create(
        self,
        lookup: LookupId,
        record: StoredRecord,
        *,
        ttl: float,
        indexes: Sequence[IndexName],
        index_ttl: float,
    ) -> bool:
        self._count(writes=1)
        now = self._data.clock.now()
        for name in indexes:
            entries = self._data.indexes.setdefault(name, {})
            entries[lookup] = max(entries.get(lookup, 0.0), now + index_ttl)
        free = self._data.live(lookup) is None
        if free:
            self._put(lookup, record, now + ttl)
        await self._answered()
        return free

    async def replace(
        self, lookup: LookupId, record: StoredRecord, *, expected: int, ttl: float
    ) -> bool:
        self._count(writes=1)
        current = self._data.live(lookup)
        fits = current is not None and current.generation == expected
        if fits:
            self._put(lookup, record, self._data.clock.now() + ttl)
        await self._answered()
        return fits

    async def end(
        self, lookup: LookupId, indexes: Sequence[IndexName], *, keep: float = 0.0
    ) -> bool:
        self._count(writes=1)
        record = self._data.live(lookup)
        if record is not None:
            del self._data.sessions[lookup]
            if keep > 0:
                self._data.kept[lookup] = (record, self._data.clock.now() + keep)
            self._data.tell(lookup)
        for name in indexes:
            self._data.indexes.get(name, {}).pop(lookup, None)
        await self._answered()
        return record is not None

    async def take(self, lookup: LookupId) -> StoredRecord | None:
        if lookup in self._data.kept:
            self._count(writes=1)
        else:
            self._count(reads=1)
        record, until = self._data.kept.pop(lookup, (None, 0.0))
        return record if until > self._data.clock.now() else None

    async def members(self, index: IndexName) -> list[LookupId]:
        self._count(reads=1)
        now = self._data.clock.now()
        return [key for key, until in self._data.indexes.get(index, {}).items() if until > now]

    async def scan(self, batch: int) -> AsyncIterator[list[LookupId]]:
        there = list(self._data.sessions)
        for start in range(0, max(1, len(there)), batch):
            self._count(reads=1)
            yield there[start : start + batch]

    async def claim(self, name: str, *, ttl: float) -> bool:
        self._count(writes=1)
        now = self._data.clock.now()
        if self._data.claims.get(name, 0.0) > now:
            return False
        self._data.claims[name] = now + ttl
        return True

    async def claimed(self, name: str) -> bool:
        self._count(reads=1)
        return self._data.claims.get(name, 0.0) > self._data.clock.now()

    async def mark(self, names: Sequence[IndexName], value: float, *, ttl: float) -> None:
        self._count(writes=1)
        now = self._data.clock.now()
        for name in names:
            known, until = self._data.marks.get(name, (value, 0.0))
            greatest = max(known, value) if until > now else value
            self._data.marks[name] = (greatest, now + ttl)

    async def marks(self, names: Sequence[IndexName]) -> list[float | None]:
        self._count(reads=1)
        now = self._data.clock.now()
        known = [self._data.marks.get(name, (0.0, 0.0)) for name in names]
        return [value if until > now else None for value, until in known]

    def watch(self, changes: Changes) -> None:
        if self._changes is not None:
            raise RuntimeError("watched already")
        self._changes = changes
        self._deliver(None)

    def is_watched(self) -> bool:
        self._data.expire()
        if self._changes is None or not self.linked or self._data.down:
            return False
        return not self.held or self._data.clock.now() - self.held[0][0] < LAG

    async def ping(self) -> None:
        self._count(reads=1)

    # -- for the other ports on the same server --------------------------------------------------

    def lock_of(self, lookup: LookupId) -> tuple[float, Lock]:
        """The time, and the lock on this session's grants."""
        self._count(reads=1)
        now = self._data.clock.now()
        lock = self._data.locks.get(lookup, Lock())
        return now, lock if lock.kept_until > now else Lock()

    def put_lock(self, lookup: LookupId, lock: Lock | None) -> None:
        """Change a lock, and tell everybody."""
        if lock is None:
            self._data.locks.pop(lookup, None)
        else:
            self._data.locks[lookup] = lock
        for client in self._data.clients:
            client.hear_of_lock(lookup)

    # -- what tests do to it -------------------------------------------------------------------

    @property
    def reads(self) -> int:
        return self._data.reads

    @reads.setter
    def reads(self, count: int) -> None:
        self._data.reads = count

    @property
    def writes(self) -> int:
        return self._data.writes

    @property
    def down(self) -> bool:
        return self._data.down

    @down.setter
    def down(self, down: bool) -> None:
        """Stop the server, or start it again: either way every link is lost."""
        self._data.down = down
        for client in self._data.clients:
            client._lose()

    def cut(self) -> None:
        """Break this client's link, not the store."""
        self.linked = False
        self._lose()

    def mend(self) -> None:
        """Make the link anew."""
        self.linked = True
        self._lose()

    def hold(self) -> None:
        """Let announcements queue on their way to this client, as a slow network does."""
        self._is_holding = True

    def release(self, count: int | None = None) -> None:
        """Deliver so many of them, or all and everything from now on at once."""
        for _ in range(len(self.held) if count is None else min(count, len(self.held))):
            self._deliver(self.held.popleft()[1])
        if count is None:
            self._is_holding = False

    def plant(
        self, lookup: LookupId, record: StoredRecord, *, kept_for: float | None = None
    ) -> None:
        """Put this record there, as somebody with write access to the store could.

        For `kept_for` seconds, or for as long as what lies there now.
        """
        _, until = self._data.sessions.get(lookup, (None, self._data.clock.now() + 600))
        if kept_for is not None:
            until = self._data.clock.now() + kept_for
        self._put(lookup, record, until)

    def enter(self, index: IndexName, lookup: LookupId) -> None:
        """Enter a session in an index, as such a somebody could."""
        self._data.indexes.setdefault(index, {})[lookup] = self._data.clock.now() + 600

    def lose_everything(self) -> None:
        """What FLUSHALL does (F6)."""
        self._data.sessions.clear()
        self._data.kept.clear()
        self._data.indexes.clear()
        self._data.claims.clear()
        self._data.marks.clear()
        self._data.locks.clear()
        self._data.tell(None)

    def live_sessions(self) -> dict[LookupId, StoredRecord]:
        """Everything `read` would find, without counting as a read."""
        self._data.expire()
        return {lookup: record for lookup, (record, _) in self._data.sessions.items()}

    def hear(self, lookup: LookupId | None) -> None:
        """Called by the data: something changed."""
        if not self.linked or self._data.down:
            return
        if self._is_holding:
            self.held.append((self._data.clock.now(), lookup))
        else:
            self._deliver(lookup)

    def hear_of_lock(self, lookup: LookupId) -> None:
        """Called by the data: a lock was taken or given back."""
        if self._changes is not None and self.linked and not self._data.down:
            self._changes.grant_changed(lookup)

    def _deliver(self, lookup: LookupId | None) -> None:
        if self._changes is None:
            return
        if lookup is None:
            self._changes.everything()
        else:
            self._changes.changed(lookup)

    def _lose(self) -> None:
        """What was on its way is lost with the link."""
        self.held.clear()
        self._deliver(None)

    def _put(self, lookup: LookupId, record: StoredRecord, until: float) -> None:
        self._data.sessions[lookup] = (record, until)
        self._data.tell(lookup)

    async def _answered(self) -> None:
        if self.gate is None:
            return
        self.at_gate.set()
        await self.gate.wait()

    def _count(self, *, reads: int = 0, writes: int = 0) -> None:
        self._data.reads += reads
        self._data.writes += writes
        if self._data.down:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="store: switched off by the test")
