"""The `SessionStore` port on Redis or Valkey, and the one home of redis-py.

Three promises, and where they are kept:

* Trouble is answered within `StoreSettings.budget` (F1, F2), and a command is never cancelled
  half-way (F18): `Shielded` sees to both. What a caller no longer waits for goes on behind, where
  the socket timeouts end it.
* A connection that did anything unexpected is closed, never used again (F4): `Server`.
* A connection the server closed while it was idle costs nobody anything (F5): `_exchange`.

Single reads of one turn of the event loop are one command: `ReadBatches`. Changes are told by
`Tracking`, over a connection of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from gateway.adapters import redis_scripts
from gateway.adapters.read_batches import ReadBatches
from gateway.adapters.redis_address import store_address
from gateway.adapters.redis_scripts import Layout, Script, Step, unpack
from gateway.adapters.redis_server import Fault, Server, TlsConnection
from gateway.adapters.redis_tracking import Tracking
from gateway.adapters.shielded import NotAnswered, Shielded
from gateway.adapters.tls import client_context
from gateway.errors import Code, Unavailable
from gateway.ports import Changes, IndexName, LookupId, StoredRecord
from gateway.secret import Password, StoreUrl

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where the store is and how long anything may take. Times in seconds.

    `username` and `password` win over those in the URL. `ca_file` is a PEM bundle for `rediss://`.
    """

    url: StoreUrl
    prefix: str = "gw:"
    username: str | None = None
    password: Password | None = None
    ca_file: str | None = None
    connect_timeout: float = 0.2
    command_timeout: float = 0.2
    slot_timeout: float = 0.2  # for one of `max_connections` to be free
    budget: float = 0.45  # for an operation as a whole: a 503 comes within half a second
    max_connections: int = 32


class RedisStore:
    """The `SessionStore` port on one server; Sentinel and Cluster will be other `Server`s."""

    def __init__(self, settings: StoreSettings) -> None:
        """Open nothing yet. Raises `Misconfigured` when the address makes no sense."""
        self._settings = settings
        self._layout = Layout(settings.prefix)
        self._server = Server(_pool(settings))
        self._operations = Shielded(
            slots=settings.max_connections,
            slot_timeout=settings.slot_timeout,
            budget=settings.budget,
        )
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
        values: list[bytes | None] = await self._do(
            partial(self._one, self._layout.read(lookups), repeatable=True)
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
                await self._run(redis_scripts.ENTER, entries, repeatable=True)
            return await self._one(record_step) is not None

        return await self._do(enter_and_store)

    async def replace(
        self, lookup: LookupId, record: StoredRecord, *, expected: int, ttl: float
    ) -> bool:
        """See the port."""
        step = self._layout.replace(lookup, record, expected, ttl)
        (replaced,) = await self._do(partial(self._run, redis_scripts.REPLACE, [step]))
        return bool(replaced)

    async def end(self, lookup: LookupId, indexes: Sequence[IndexName]) -> bool:
        """See the port."""
        steps = self._layout.end(lookup, indexes)
        deleted, *_ = await self._do(partial(self._exchange, steps))
        return bool(deleted)

    async def members(self, index: IndexName) -> list[LookupId]:
        """See the port."""
        step = self._layout.members(index)
        (names,) = await self._do(
            partial(self._run, redis_scripts.MEMBERS, [step], repeatable=True)
        )
        return [LookupId(name.decode()) for name in names if name.isascii()]

    async def claim(self, name: str, *, ttl: float) -> bool:
        """See the port."""
        return await self._do(partial(self._one, self._layout.claim(name, ttl))) is not None

    def watch(self, changes: Changes) -> None:
        """See the port. The link opens when there is an event loop, at the first read at last."""
        if self._tracking is not None:
            raise RuntimeError(
                "watched already: one of the two would trust copies and hear nothing"
            )

        def write(step: Step) -> Coroutine[Any, Any, Any]:
            return self._do(partial(self._one, step, repeatable=True))

        connect = self._server.another_connection
        self._tracking = Tracking(connect, write, self._layout, changes)
        with contextlib.suppress(RuntimeError):  # no event loop is running yet
            self._tracking.start()

    def is_watched(self) -> bool:
        """See the port."""
        return self._tracking is not None and self._tracking.is_proven()

    async def ping(self) -> None:
        """See the port."""
        await self._do(partial(self._one, self._layout.ping(), repeatable=True))

    async def aclose(self) -> None:
        """Let what is under way end, then close every connection. Idempotent."""
        if self._tracking is not None:
            await self._tracking.aclose()
        await self._operations.aclose()
        await self._reads.aclose()
        await self._server.aclose()

    async def _do(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await self._operations.run(operation)
        except NotAnswered as fault:
            raise _unavailable(fault.reason) from fault
        except Fault as fault:
            raise _unavailable(fault.kind) from fault

    async def _one(self, step: Step, *, repeatable: bool = False) -> Any:  # noqa: ANN401 - its shape was checked by the step
        (reply,) = await self._exchange([step], repeatable=repeatable)
        return reply

    async def _run(
        self, script: Script, steps: Sequence[Step], *, repeatable: bool = False
    ) -> list[Any]:
        by_digest = [script.by_digest(step) for step in steps]
        replies = await self._exchange(by_digest, repeatable=repeatable)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # a restarted server; it has carried out none of these
            in_full = [script.in_full(steps[i]) for i in unknown]
            answers = await self._exchange(in_full, repeatable=repeatable)
            for i, reply in zip(unknown, answers, strict=True):
                replies[i] = reply
        return replies

    async def _exchange(self, steps: Sequence[Step], *, repeatable: bool = False) -> list[Any]:
        """Send the steps; once more on a fresh connection if that is harmless and there is time.

        A server that does not answer must not get every question twice (F3): only a failure that
        came at once is worth a second try.
        """
        clock = asyncio.get_running_loop().time
        begun = clock()
        if not repeatable:
            await asyncio.sleep(0)  # a close that has already arrived is seen before we send
        try:
            return await self._server.exchange(steps)
        except Fault as fault:
            came_at_once = clock() - begun < self._settings.budget / 4
            if not (came_at_once and fault.passing and (fault.undone or repeatable)):
                raise
        return await self._server.exchange(steps)


def _unavailable(note: str) -> Unavailable:
    return Unavailable(Code.STORE_UNAVAILABLE, note=f"store: {note}", retry_after=1)


def _pool(settings: StoreSettings) -> ConnectionPool:
    """Return connections to the server of these settings. Other topologies will branch here."""
    address = store_address(settings.url)
    password = settings.password or address.password
    where: dict[str, Any] = {"host": address.host, "port": address.port}
    kind: type[AbstractConnection] = Connection
    if address.path:
        kind, where = UnixDomainSocketConnection, {"path": address.path}
    elif address.over_tls:
        kind, tls = TlsConnection, client_context(settings.ca_file, key="store.ca_file")
        where["tls"] = tls
    return ConnectionPool(
        connection_class=kind,
        max_connections=settings.max_connections,
        db=address.database,
        username=settings.username or address.username,
        password=password.reveal() if password else None,
        # redis-py's own defaults turn a stalled server into a stall of 58 seconds: set all three.
        socket_timeout=settings.command_timeout,
        socket_connect_timeout=settings.connect_timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # no pushes between replies
        driver_info=None,  # two commands fewer for each new connection
        **where,
    )
