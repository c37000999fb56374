"""The `SessionStore` port on Redis or Valkey, and the one home of redis-py.

Three promises, and where they are kept:

* Trouble is answered within `StoreSettings.budget` (F1, F2), and a command is never cancelled
  half-way (F18): `Shielded` sees to both. What a caller no longer waits for goes on behind, where
  the socket timeouts end it.
* A connection that did anything unexpected is closed, never used again (F4): `_Server`.
* A connection the server closed while it was idle costs nobody anything (F5): `_exchange`.
"""

import asyncio
import contextlib
import ssl
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
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError

from gateway.adapters import redis_scripts
from gateway.adapters.redis_address import store_address
from gateway.adapters.redis_scripts import Layout, Script, Step, unpack
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
    """The `SessionStore` port on one server; Sentinel and Cluster will be other `_Server`s."""

    def __init__(self, settings: StoreSettings) -> None:
        """Open nothing yet. Raises `Misconfigured` when the address makes no sense."""
        self._settings = settings
        self._layout = Layout(settings.prefix)
        self._server = _Server(_pool(settings))
        self._operations = Shielded(
            slots=settings.max_connections,
            slot_timeout=settings.slot_timeout,
            budget=settings.budget,
        )

    async def read(self, lookup: LookupId) -> StoredRecord | None:
        """See the port."""
        return (await self.read_many([lookup]))[0]

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
        """See the port."""
        self._changes = changes

    def is_watched(self) -> bool:
        """See the port."""
        return False

    async def ping(self) -> None:
        """See the port."""
        await self._do(partial(self._one, self._layout.ping(), repeatable=True))

    async def aclose(self) -> None:
        """Let what is under way end, then close every connection. Idempotent."""
        await self._operations.aclose()
        await self._server.aclose()

    async def _do(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await self._operations.run(operation)
        except NotAnswered as fault:
            raise _unavailable(fault.reason) from fault
        except _Fault as fault:
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
        except _Fault as fault:
            came_at_once = clock() - begun < self._settings.budget / 4
            if not (came_at_once and fault.passing and (fault.undone or repeatable)):
                raise
        return await self._server.exchange(steps)


class _Fault(Exception):
    """An exchange failed. Carries no text of the server's: it may quote an address or a key."""

    def __init__(self, cause: Exception, *, undone: bool) -> None:
        super().__init__(type(cause).__name__)
        self.kind = type(cause).__name__
        self.undone = undone  # the server has certainly carried out nothing
        # A lost connection and a demoted primary may be cured by connecting anew.
        self.passing = type(cause) is Disconnected or isinstance(cause, (OSError, ReadOnlyError))


class _UnexpectedReply(Exception):
    """The reply does not have the shape its command has."""


class _Server:
    """One server behind a pool of connections."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    async def exchange(self, steps: Sequence[Step]) -> list[Any]:
        """Send all steps in one write; return their replies, `NoScriptError`s among them.

        Raises `_Fault` for everything else, and then the connection is gone.
        """
        try:
            connection = await self._connection()
        except Exception as fault:
            raise _Fault(fault, undone=True) from fault
        replies: list[Any] = []
        in_step = False
        try:
            words = [step.words for step in steps]
            await connection.send_packed_command(connection.pack_commands(words))
            for step in steps:
                replies.append(await self._reply(connection, step))  # noqa: PERF401 - see `refused`
            in_step = True
        except Exception as fault:  # a garbled reply may surface as any exception of the parser
            refused = isinstance(fault, ReadOnlyError) and not replies
            raise _Fault(fault, undone=refused) from fault
        finally:
            if not in_step:
                await connection.disconnect(nowait=True)
            await self._pool.release(connection)
        return replies

    async def _connection(self) -> AbstractConnection:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py's annotations stop short here
        # The pool notices a connection the server closed, but not one that was reset.
        writer = connection._writer  # noqa: SLF001 - redis-py has no public way to ask
        if writer is None or writer.is_closing():
            try:
                await connection.disconnect(nowait=True)
                await connection.connect()  # type: ignore[no-untyped-call]  # as above
            except BaseException:
                await self._pool.release(connection)
                raise
        return connection

    async def _reply(self, connection: AbstractConnection, step: Step) -> object:
        try:
            reply: object = await connection.read_response()
        except NoScriptError as unknown:
            return unknown
        if not step.fits(reply):
            raise _UnexpectedReply
        return reply

    async def aclose(self) -> None:
        with contextlib.suppress(RedisError):  # a server that does not say goodbye in time
            await self._pool.disconnect()


def _unavailable(note: str) -> Unavailable:
    return Unavailable(Code.STORE_UNAVAILABLE, note=f"store: {note}", retry_after=1)


class _TlsConnection(Connection):
    """redis-py makes a TLS context per connection, and lets the environment add authorities."""

    def __init__(self, *, tls: ssl.SSLContext, **arguments: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(**arguments)
        self._tls = tls

    def _connection_arguments(self) -> dict[str, object]:
        return {**super()._connection_arguments(), "ssl": self._tls}


def _pool(settings: StoreSettings) -> ConnectionPool:
    """Return connections to the server of these settings. Other topologies will branch here."""
    address = store_address(settings.url)
    password = settings.password or address.password
    where: dict[str, Any] = {"host": address.host, "port": address.port}
    kind: type[AbstractConnection] = Connection
    if address.path:
        kind, where = UnixDomainSocketConnection, {"path": address.path}
    elif address.over_tls:
        kind, tls = _TlsConnection, client_context(settings.ca_file, key="store.ca_file")
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
