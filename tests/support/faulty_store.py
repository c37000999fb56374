"""A real store behind a way on which everything can go wrong, at exactly the operation one wants.

Cutting sockets shows that a fault is survived; it cannot choose whether the server had carried out
the command when the answer got lost. Here it can: each of the five things that may become of one
operation is armed by name. What is asked of the server is real, what it answers is real.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from gateway.adapters.redis_store import RedisStore
from gateway.errors import Code, Unavailable
from gateway.ports import Changes, IndexName, LookupId, StoredRecord

Client = TypeVar("Client")
Result = TypeVar("Result")


class Fault(StrEnum):
    """What becomes of one operation."""

    BEFORE = "fails, and was not carried out"
    AFTER = "fails, though it was carried out"
    LATE = "fails, and is carried out some time later"
    SLOW = "is carried out at once, and answered some time later"
    HELD = "is carried out some time later, and answered then"


@dataclass(eq=False)
class Way:
    """One process's way to the store.

    `armed` says what becomes of the next operation of that name; a write while this process has the
    lock on the session's grants is called `replace tokens`. A process that is `dead` neither
    asks nor is answered any more; to one that is `deaf` no change is told.
    """

    armed: dict[str, Fault] = field(default_factory=dict)
    down: bool = False
    deaf: bool = False
    dead: bool = False
    running: int = 0  # operations the server has been asked for and has not answered
    gates: list[asyncio.Event] = field(default_factory=list)
    granting: set[LookupId] = field(default_factory=set)  # sessions this process has the lock of
    late: list[Callable[[], Awaitable[object]]] = field(default_factory=list)
    faults: int = 0  # how many operations have failed here

    async def carry(
        self,
        name: str,
        operation: Callable[[Client], Awaitable[Result]],
        own: Client,
        anyones: Client,
    ) -> Result:
        """Carry an operation out, or not; what is late needs no process of its own any more."""
        if self.dead:
            await self._for_ever()
        if self.down:
            raise self._failed("down")
        fault = self.armed.pop(name, None)
        match fault:
            case Fault.BEFORE:
                raise self._failed(name)
            case Fault.LATE:
                self.late.append(lambda: operation(anyones))
                raise self._failed(name)
            case Fault.HELD:
                await self._held_up()
        result = await self._asked(operation, own)
        match fault:
            case Fault.AFTER:
                raise self._failed(name)
            case Fault.SLOW:
                await self._held_up()
        return result

    async def _asked(self, operation: Callable[[Client], Awaitable[Result]], own: Client) -> Result:
        self.running += 1
        try:
            return await operation(own)
        finally:
            self.running -= 1

    async def _held_up(self) -> None:
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        if self.dead:
            await self._for_ever()

    @staticmethod
    async def _for_ever() -> None:
        await asyncio.Event().wait()

    def _failed(self, name: str) -> Unavailable:
        self.faults += 1
        return Unavailable(Code.STORE_UNAVAILABLE, note=f"store: {name}, by the test's wish")


class _Told:
    """Passes on what is told to a process, as long as it can hear; remembers all of it."""

    def __init__(self, way: Way, changes: Changes, heard: set[LookupId]) -> None:
        self._way = way
        self._changes = changes
        self._heard = heard

    def changed(self, lookup: LookupId) -> None:
        self._heard.add(lookup)
        if self._hears():
            self._changes.changed(lookup)

    def grant_changed(self, lookup: LookupId) -> None:
        if self._hears():
            self._changes.grant_changed(lookup)

    def everything(self) -> None:
        if self._hears():
            self._changes.everything()

    def _hears(self) -> bool:
        return not (self._way.deaf or self._way.dead or self._way.down)


class FaultyStore:
    """The `SessionStore` port: `own` is this process's client, `shared` carries out what is late.

    `wrote` is called with every record that has been stored, before anybody is told.
    """

    def __init__(
        self,
        way: Way,
        own: RedisStore,
        shared: RedisStore,
        wrote: Callable[[LookupId, StoredRecord], None],
    ) -> None:
        self.way = way
        self.own = own
        self._shared = shared
        self._wrote = wrote
        self._changes: Changes | None = None
        self.heard: set[LookupId] = set()

    async def read(self, lookup: LookupId) -> StoredRecord | None:
        return await self._carry("read", lambda store: store.read(lookup))

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        return await self._carry("read_many", lambda store: store.read_many(lookups))

    async def create(
        self,
        lookup: LookupId,
        record: StoredRecord,
        *,
        ttl: float,
        indexes: Sequence[IndexName],
        index_ttl: float,
    ) -> bool:
        async def write(store: RedisStore) -> bool:
            made = await store.create(lookup, record, ttl=ttl, indexes=indexes, index_ttl=index_ttl)
            return self._noted(lookup, record, done=made)

        return await self._carry("create", write)

    async def replace(
        self, lookup: LookupId, record: StoredRecord, *, expected: int, ttl: float
    ) -> bool:
        async def write(store: RedisStore) -> bool:
            replaced = await store.replace(lookup, record, expected=expected, ttl=ttl)
            return self._noted(lookup, record, done=replaced)

        name = "replace tokens" if lookup in self.way.granting else "replace"
        return await self._carry(name, write)

    async def end(
        self, lookup: LookupId, indexes: Sequence[IndexName], *, keep: float = 0.0
    ) -> bool:
        return await self._carry("end", lambda store: store.end(lookup, indexes, keep=keep))

    async def members(self, index: IndexName) -> list[LookupId]:
        return await self._carry("members", lambda store: store.members(index))

    async def claim(self, name: str, *, ttl: float) -> bool:
        return await self._carry("claim", lambda store: store.claim(name, ttl=ttl))

    async def take(self, lookup: LookupId) -> StoredRecord | None:
        return await self._carry("take", lambda store: store.take(lookup))

    def scan(self, batch: int) -> AsyncIterator[Sequence[LookupId]]:
        return self.own.scan(batch)

    async def claimed(self, name: str) -> bool:
        return await self._carry("claimed", lambda store: store.claimed(name))

    async def mark(self, names: Sequence[IndexName], value: float, *, ttl: float) -> None:
        await self._carry("mark", lambda store: store.mark(names, value, ttl=ttl))

    async def marks(self, names: Sequence[IndexName]) -> list[float | None]:
        return await self._carry("marks", lambda store: store.marks(names))

    def watch(self, changes: Changes) -> None:
        self._changes = changes
        self.own.watch(_Told(self.way, changes, self.heard))

    def is_watched(self) -> bool:
        hears = not (self.way.deaf or self.way.dead or self.way.down)
        return hears and self.own.is_watched()

    async def ping(self) -> None:
        await self._carry("ping", lambda store: store.ping())

    def lose_the_link(self) -> None:
        """What was told is worth nothing any more, or not yet again."""
        if self._changes is not None:
            self._changes.everything()

    async def _carry(
        self, name: str, operation: Callable[[RedisStore], Awaitable[Result]]
    ) -> Result:
        return await self.way.carry(name, operation, self.own, self._shared)

    def _noted(self, lookup: LookupId, record: StoredRecord, *, done: bool) -> bool:
        if done:
            self._wrote(lookup, record)
        return done
