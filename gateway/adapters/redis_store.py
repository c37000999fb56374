"""The `SessionStore` port on Redis or Valkey.

Single reads of one turn of the event loop are one command: `ReadBatches`. Changes are told by
`Tracking`, over a connection of its own.
"""

import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from functools import partial
from typing import Any

from gateway.adapters import redis_marks, redis_scripts
from gateway.adapters.read_batches import ReadBatches
from gateway.adapters.redis_client import RedisClient, StoreSettings
from gateway.adapters.redis_marks import Marks
from gateway.adapters.redis_scripts import Layout, Step, unpack
from gateway.adapters.redis_server import Fault
from gateway.adapters.redis_tracking import Tracking
from gateway.ports import Changes, IndexName, LookupId, StoredRecord


class RedisStore:
    """The `SessionStore` port; `client` is for the other ports on the same server."""

    def __init__(self, settings: StoreSettings) -> None:
        """Open nothing yet. Raises `Misconfigured` when the address makes no sense."""
        self.client = RedisClient(settings)
        self._layout = Layout(settings.prefix)
        self._marks = Marks(settings.prefix)
        self._reads = ReadBatches(self.read_many)
        self._tracking: Tracking | None = None

    async def read(self, lookup: LookupId) -> StoredRecord | None:
        """See the port. Travels with the other reads of this turn of the event loop."""
        if self._tracking is not None:
            self._tracking.start()
        return await self._reads.read(lookup)

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        """See the port."""
        if not lookups:
            return []
        values: list[bytes | None] = await self.client.do(
            partial(self.client.one, self._layout.read(lookups), repeatable=True)
        )
        return [unpack(value) for value in values]

    async def create(
        self,
        lookup: LookupId,
        record: StoredRecord,
        *,
        ttl: float,
        indexes: Sequence[IndexName],
        index_ttl: float,
    ) -> bool:
        """See the port. The index goes first: a dangling entry is harmless, a lost session not."""
        entries = [self._layout.enter(name, lookup, index_ttl) for name in indexes]
        record_step = self._layout.create(lookup, record, ttl)

        async def enter_and_store() -> bool:
            if entries:
                await self.client.run(redis_scripts.ENTER, entries, repeatable=True)
            return await self.client.one(record_step) is not None

        return await self.client.do(enter_and_store)

    async def replace(
        self, lookup: LookupId, record: StoredRecord, *, expected: int, ttl: float
    ) -> bool:
        """See the port."""
        step = self._layout.replace(lookup, record, expected, ttl)
        (replaced,) = await self.client.do(partial(self.client.run, redis_scripts.REPLACE, [step]))
        return bool(replaced)

    async def end(
        self, lookup: LookupId, indexes: Sequence[IndexName], *, keep: float = 0.0
    ) -> bool:
        """See the port."""
        if keep > 0:
            return await self.client.do(partial(self._end_keeping, lookup, indexes, keep))
        steps = self._layout.end(lookup, indexes)
        deleted, *_ = await self.client.do(partial(self.client.exchange, steps))
        return bool(deleted)

    async def _end_keeping(
        self, lookup: LookupId, indexes: Sequence[IndexName], keep: float
    ) -> bool:
        taking = [self._layout.take_live(lookup)]
        ((deleted, value),) = await self.client.run(redis_scripts.TAKE, taking)
        rest = self._layout.leave(lookup, indexes)
        if unpack(value) is not None:
            rest.append(self._layout.keep(lookup, value, keep))
        if rest:
            with contextlib.suppress(Fault):  # it has ended, whatever else does not work
                await self.client.exchange(rest)
        return bool(deleted)

    async def take(self, lookup: LookupId) -> StoredRecord | None:
        """See the port."""
        steps = [self._layout.take_kept(lookup)]
        ((_, value),) = await self.client.do(partial(self.client.run, redis_scripts.TAKE, steps))
        return unpack(value)

    async def members(self, index: IndexName) -> list[LookupId]:
        """See the port."""
        step = self._layout.members(index)
        (names,) = await self.client.do(
            partial(self.client.run, redis_scripts.MEMBERS, [step], repeatable=True)
        )
        return [LookupId(name.decode()) for name in names if name.isascii()]

    async def scan(self, batch: int) -> AsyncIterator[list[LookupId]]:
        """See the port. Goes through the whole database, whatever else is in it."""
        cursor = b"0"
        while True:
            step = self._layout.scan(cursor, batch)
            cursor, keys = await self.client.do(partial(self.client.one, step, repeatable=True))
            names = [self._layout.session_in(key) for key in keys]
            yield [LookupId(name.decode()) for name in names if name and name.isascii()]
            if cursor == b"0":
                return

    async def claim(self, name: str, *, ttl: float) -> bool:
        """See the port."""
        return (
            await self.client.do(partial(self.client.one, self._layout.claim(name, ttl)))
            is not None
        )

    async def claimed(self, name: str) -> bool:
        """See the port."""
        step = self._layout.claims(name)
        (value,) = await self.client.do(partial(self.client.one, step, repeatable=True))
        return value is not None

    async def mark(self, names: Sequence[IndexName], value: float, *, ttl: float) -> None:
        """See the port. Written twice is as good as written once."""
        steps = [self._marks.write(name, value, ttl) for name in names]
        await self.client.do(partial(self.client.run, redis_marks.MARK, steps, repeatable=True))

    async def marks(self, names: Sequence[IndexName]) -> list[float | None]:
        """See the port."""
        step = self._marks.read(names)
        values = await self.client.do(partial(self.client.one, step, repeatable=True))
        return [redis_marks.number(value) for value in values]

    def watch(self, changes: Changes) -> None:
        """See the port. The link opens when there is an event loop, at the first read at last."""
        if self._tracking is not None:
            raise RuntimeError(
                "watched already: one of the two would trust copies and hear nothing"
            )

        def write(step: Step) -> Coroutine[Any, Any, Any]:
            return self.client.do(partial(self.client.one, step, repeatable=True))

        connect = self.client.another_connection
        self._tracking = Tracking(connect, write, self._layout, changes)
        with contextlib.suppress(RuntimeError):  # no event loop is running yet
            self._tracking.start()

    def is_watched(self) -> bool:
        """See the port."""
        return self._tracking is not None and self._tracking.is_proven()

    async def ping(self) -> None:
        """See the port."""
        await self.client.do(partial(self.client.one, self._layout.ping(), repeatable=True))

    async def aclose(self) -> None:
        """Let what is under way end, then close every connection. Idempotent."""
        if self._tracking is not None:
            await self._tracking.aclose()
        await self.client.settled()
        await self._reads.aclose()
        await self.client.aclose()
