"""One Redis or Valkey behind a pool of redis-py's connections, and what can go wrong there.

A connection that did anything unexpected is closed, never used again (F4).
"""

import contextlib
import ssl
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError

from gateway.adapters.redis_scripts import Step


class Fault(Exception):
    """An exchange failed. Carries no text of the server's: it may quote an address or a key."""

    def __init__(self, cause: Exception, *, undone: bool) -> None:
        super().__init__(type(cause).__name__)
        self.kind = type(cause).__name__
        self.undone = undone  # the server has certainly carried out nothing
        # A lost connection and a demoted primary may be cured by connecting anew.
        self.passing = type(cause) is Disconnected or isinstance(cause, (OSError, ReadOnlyError))


class UnexpectedReply(Exception):
    """The reply does not have the shape its command has."""


class Server:
    """One server behind a pool of connections."""

    def __init__(self, pool: ConnectionPool) -> None:
        """Open nothing yet."""
        self._pool = pool

    def another_connection(self) -> AbstractConnection:
        """Return a connection outside the pool, not open yet; its holder has to close it."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's annotations stop short here
        return connection

    async def exchange(self, steps: Sequence[Step]) -> list[Any]:
        """Send all steps in one write; return their replies, `NoScriptError`s among them.

        Raises `Fault` for everything else, and then the connection is gone.
        """
        try:
            connection = await self._connection()
        except Exception as fault:
            raise Fault(fault, undone=True) from fault
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
            raise Fault(fault, undone=refused) from fault
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
            return unknown.with_traceback(None)  # or its frames would keep it alive, and it them
        if not step.fits(reply):
            raise UnexpectedReply
        return reply

    async def aclose(self) -> None:
        """Close every connection of the pool. Raises nothing."""
        with contextlib.suppress(RedisError):  # a server that does not say goodbye in time
            await self._pool.disconnect()


class TlsConnection(Connection):
    """redis-py makes a TLS context per connection, and lets the environment add authorities."""

    def __init__(self, *, tls: ssl.SSLContext, **arguments: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(**arguments)
        self._tls = tls

    def _connection_arguments(self) -> dict[str, object]:
        return {**super()._connection_arguments(), "ssl": self._tls}
