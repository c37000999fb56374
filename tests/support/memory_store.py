"""The `SessionStore` port in memory, with a clock one can turn and faults one can switch on.

It passes the same contract suite as the store on Redis.
"""

from collections.abc import Sequence

from gateway.errors import Code, Unavailable
from gateway.ports import Changes, Clock, IndexName, LookupId, StoredRecord
from tests.support.clock import TurnableClock


class MemoryStore:
    """Sessions in dictionaries.

    `reads` and `writes` count the calls, for tests that assert the absence of an effect. While
    `down` is set, every call raises `Unavailable(STORE_UNAVAILABLE)`.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or TurnableClock()
        self._sessions: dict[LookupId, tuple[StoredRecord, float]] = {}
        self._indexes: dict[IndexName, dict[LookupId, float]] = {}
        self._claims: dict[str, float] = {}
        self.down = False
        self.reads = 0
        self.writes = 0

    async def read(self, lookup: LookupId) -> StoredRecord | None:
        self._count(reads=1)
        return self._live(lookup)

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        self._count(reads=1)
        return [self._live(lookup) for lookup in lookups]

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
        for name in indexes:
            entries = self._indexes.setdefault(name, {})
            entries[lookup] = max(entries.get(lookup, 0.0), self._clock.now() + index_ttl)
        if self._live(lookup) is not None:
            return False
        self._sessions[lookup] = (record, self._clock.now() + ttl)
        return True

    async def replace(
        self, lookup: LookupId, record: StoredRecord, *, expected: int, ttl: float
    ) -> bool:
        self._count(writes=1)
        current = self._live(lookup)
        if current is None or current.generation != expected:
            return False
        self._sessions[lookup] = (record, self._clock.now() + ttl)
        return True

    async def end(self, lookup: LookupId, indexes: Sequence[IndexName]) -> bool:
        self._count(writes=1)
        was_there = self._live(lookup) is not None
        self._sessions.pop(lookup, None)
        for name in indexes:
            self._indexes.get(name, {}).pop(lookup, None)
        return was_there

    async def members(self, index: IndexName) -> list[LookupId]:
        self._count(reads=1)
        now = self._clock.now()
        return [key for key, until in self._indexes.get(index, {}).items() if until > now]

    async def claim(self, name: str, *, ttl: float) -> bool:
        self._count(writes=1)
        if self._claims.get(name, 0.0) > self._clock.now():
            return False
        self._claims[name] = self._clock.now() + ttl
        return True

    def watch(self, changes: Changes) -> None:
        self._changes = changes

    def is_watched(self) -> bool:
        return False

    async def ping(self) -> None:
        self._count(reads=1)

    def plant(
        self, lookup: LookupId, record: StoredRecord, *, kept_for: float | None = None
    ) -> None:
        """Put this record there, as somebody with write access to the store could.

        For `kept_for` seconds, or for as long as what lies there now.
        """
        _, until = self._sessions.get(lookup, (None, self._clock.now() + 600))
        if kept_for is not None:
            until = self._clock.now() + kept_for
        self._sessions[lookup] = (record, until)

    def enter(self, index: IndexName, lookup: LookupId) -> None:
        """Enter a session in an index, as such a somebody could."""
        self._indexes.setdefault(index, {})[lookup] = self._clock.now() + 600

    def lose_everything(self) -> None:
        """What FLUSHALL does (F6)."""
        self._sessions.clear()
        self._indexes.clear()
        self._claims.clear()

    def live_sessions(self) -> dict[LookupId, StoredRecord]:
        """Everything `read` would find, without counting as a read."""
        found = {lookup: self._live(lookup) for lookup in self._sessions}
        return {lookup: record for lookup, record in found.items() if record is not None}

    def _live(self, lookup: LookupId) -> StoredRecord | None:
        record, until = self._sessions.get(lookup, (None, 0.0))
        return record if until > self._clock.now() else None

    def _count(self, *, reads: int = 0, writes: int = 0) -> None:
        self.reads += reads
        self.writes += writes
        if self.down:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="store: switched off by the test")
