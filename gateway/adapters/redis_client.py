"""Commands to Redis or Valkey as the adapters here give them: bounded, shielded, checked.

Three promises, and where they are kept:

* Trouble is answered within `StoreSettings.budget` (F1, F2), and a command is never cancelled
  half-way (F18): `Shielded` sees to both. What a caller no longer waits for goes on behind, where
  the socket timeouts end it.
* A connection that did anything unexpected is closed, never used again (F4): `Server`.
* A connection the server closed while it was idle costs nobody anything (F5): `exchange`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
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

from gateway.adapters.redis_address import store_address
from gateway.adapters.redis_scripts import Script, Step
from gateway.adapters.redis_server import Fault, Server, TlsConnection
from gateway.adapters.shielded import NotAnswered, Shielded
from gateway.adapters.tls import client_context
from gateway.errors import Code, Unavailable
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


class RedisClient:
    """One pool of connections to one server; Sentinel and Cluster will be other `Server`s."""

    def __init__(self, settings: StoreSettings) -> None:
        """Open nothing yet. Raises `Misconfigured` when the address makes no sense."""
        self._settings = settings
        self.prefix = settings.prefix
        self._server = Server(_pool(settings))
        self._operations = Shielded(
            slots=settings.max_connections,
            slot_timeout=settings.slot_timeout,
            budget=settings.budget,
        )

    def another_connection(self) -> AbstractConnection:
        """Return a connection outside the pool, not open yet; its holder has to close it."""
        return self._server.another_connection()

    async def do(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry out an operation, to its end; `exchange`, `one` and `run` are for within it.

        Raises `Unavailable(STORE_UNAVAILABLE)` when it failed or has not ended in time.
        """
        try:
            return await self._operations.run(operation)
        except NotAnswered as fault:
            raise _unavailable(fault.reason) from fault
        except Fault as fault:
            raise _unavailable(fault.kind) from fault

    async def one(self, step: Step, *, repeatable: bool = False) -> Any:  # noqa: ANN401 - its shape was checked by the step
        """Return the reply to a single step."""
        (reply,) = await self.exchange([step], repeatable=repeatable)
        return reply

    async def run(
        self, script: Script, steps: Sequence[Step], *, repeatable: bool = False
    ) -> list[Any]:
        """Return the replies to calls of a script, each with a step's arguments."""
        by_digest = [script.by_digest(step) for step in steps]
        replies = await self.exchange(by_digest, repeatable=repeatable)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # a restarted server; it has carried out none of these
            in_full = [script.in_full(steps[i]) for i in unknown]
            answers = await self.exchange(in_full, repeatable=repeatable)
            for i, reply in zip(unknown, answers, strict=True):
                replies[i] = reply
        return replies

    async def exchange(self, steps: Sequence[Step], *, repeatable: bool = False) -> list[Any]:
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

    async def settled(self) -> None:
        """Begin nothing more, and return when everything under way has ended. Idempotent."""
        await self._operations.aclose()

    async def aclose(self) -> None:
        """Close every connection. Idempotent, raises nothing."""
        await self._operations.aclose()
        await self._server.aclose()


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
