"""The connections to one server: so many and no more, first come, first served.

Whoever finds no idle connection waits in line. Connections are opened for the line, not for one
caller: who leaves it, because a browser hung up, leaves nothing behind but a connection for the
next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import cast

from gateway.adapters.http1_upstream.answer_heads import AnswerHeads
from gateway.adapters.http1_upstream.connection import Connection, Home
from gateway.adapters.http1_upstream.health import Health
from gateway.edge.upstream_group import PoolLimits
from gateway.errors import Code, Unavailable

Dial = Callable[[Home], Awaitable[Connection]]
"""Opens a connection; raises `Unavailable`."""

_Got = Connection | Unavailable


@dataclass(frozen=True, slots=True)
class PoolState:
    """Connections of one worker to one server, at one moment."""

    origin: str
    busy: int  # with a request, an upgraded wire, or not open yet
    idle: int
    waiting: int
    is_out: bool  # left alone for a while, or found ill by a check


class Pool:
    """One server's connections, as their `Home`."""

    __slots__ = ("_all", "_closed", "_dial", "_dials", "_idle", "_limits", "_line", "_loop",
                 "heads", "health", "origin")  # fmt: skip

    def __init__(self, origin: str, dial: Dial, limits: PoolLimits) -> None:
        """Make an empty pool; must be called in the event loop it is for."""
        self.origin = origin
        self.health = Health()
        self.heads = AnswerHeads()
        self._dial = dial
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._all: set[Connection] = set()  # every one that is open
        self._idle: list[Connection] = []  # the latest used comes last, and is used first
        self._dials: set[asyncio.Task[None]] = set()
        # Who waits, in order, and whether only a fresh connection will do.
        self._line: dict[asyncio.Future[_Got], bool] = {}
        self._closed = False

    @property
    def load(self) -> int:
        """How many requests are under way or waiting."""
        return len(self._all) - len(self._idle) + len(self._line)

    def state(self) -> PoolState:
        """Count."""
        idle = len(self._idle)
        busy = len(self._all) - idle + len(self._dials)
        is_out = not self.health.admits(self._loop.time())
        return PoolState(self.origin, busy, idle, len(self._line), is_out)

    def take(self) -> Connection | None:
        """Return an idle connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable and not self._is_too_old(connection):
                return connection
            connection.close()
        return None

    async def wait(self, until: float, *, fresh: bool = False) -> Connection:
        """Return a connection in turn; `fresh` asks for one that has carried nothing.

        Raises Unavailable: UPSTREAM_OVERLOADED when the line is full or too slow, UPSTREAM_CONNECT
        when none could be opened, UPSTREAM_TIMEOUT at `until`.
        """
        if fresh and self._idle and self._is_full:
            self._idle[0].close()  # the one that has lain longest makes room
        waiting = len(self._line) - len(self._dials)
        if self._closed or (self._is_full and waiting >= self._limits.max_waiting):
            raise Unavailable(Code.UPSTREAM_OVERLOADED, note="too many wait for a connection")
        turn: asyncio.Future[_Got] = self._loop.create_future()
        self._line[turn] = fresh
        self._open_more()
        patience = self._loop.time() + self._limits.wait
        timer = self._loop.call_at(min(patience, until), self._waited, turn, patience, until)
        try:
            got = await turn
        except BaseException:
            # Cancelled. What had been given to this turn a moment before goes to the next one.
            if turn.done() and not turn.cancelled() and isinstance(turn.result(), Connection):
                self._offer(cast("Connection", turn.result()))
            raise
        finally:
            timer.cancel()
            self._line.pop(turn, None)
        if isinstance(got, Connection):
            return got
        try:
            raise got
        finally:
            del got, turn  # what is raised remembers this frame: it must not find itself there

    async def aclose(self) -> None:
        """Close every connection, whatever is going on."""
        self._closed = True
        for dial in self._dials:
            dial.cancel()
        for turn in tuple(self._line):
            self._serve(turn, Unavailable(Code.UPSTREAM_OVERLOADED, note="closing"))
        for connection in tuple(self._all):
            connection.abort()
        while self._dials:
            await asyncio.wait(self._dials)

    # -- what connections tell ---------------------------------------------------------------------

    def free(self, connection: Connection) -> None:
        """Give a connection to who waits longest, or let it lie."""
        if self._line and self._is_too_old(connection):
            connection.close()
        else:
            connection.is_fresh = False
            self._offer(connection)

    def gone(self, connection: Connection) -> None:
        """Forget a connection, and open another if anybody waits."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_more()

    def did(self, *, well: bool) -> None:
        """Note how the server did by an exchange."""
        if well:
            self.health.succeeded()
        else:
            self.health.failed(self._loop.time())

    # ----------------------------------------------------------------------------------------------

    @property
    def _is_full(self) -> bool:
        return len(self._all) + len(self._dials) >= self._limits.max_connections

    def _is_too_old(self, connection: Connection) -> bool:
        return self._loop.time() - connection.born > self._limits.max_age

    def _offer(self, connection: Connection) -> None:
        if not connection.is_open:
            return
        for turn, fresh in self._line.items():
            if turn.done():
                continue  # its caller has left, and will be told in a moment
            if not fresh or connection.is_fresh:
                self._serve(turn, connection)
                return
            if not self._dials:
                connection.close()  # its place is needed for a fresh one
                return
        connection.is_fresh = False
        self._idle.append(connection)
        rest = min(self._limits.keepalive, connection.rest)
        connection.set_deadline(self._loop.time() + rest)

    def _serve(self, turn: asyncio.Future[_Got], got: _Got) -> None:
        del self._line[turn]
        if not turn.done():
            turn.set_result(got)

    def _open_more(self) -> None:
        while len(self._dials) < len(self._line) and not self._is_full and not self._closed:
            dial = self._loop.create_task(self._open())
            self._dials.add(dial)

    async def _open(self) -> None:
        dial = asyncio.current_task()
        got: _Got
        try:
            got = await self._dial(self)
        except Unavailable as failure:
            got = failure
        finally:
            self._dials.discard(cast("asyncio.Task[None]", dial))
        if isinstance(got, Unavailable):
            self.health.unreachable(self._loop.time())
            turn = next((turn for turn in self._line if not turn.done()), None)
            if turn is not None:
                self._serve(turn, got)
            del got, turn  # the failure remembers this frame
            self._open_more()
        elif self._closed:
            got.abort()
        else:
            self._all.add(got)
            self._offer(got)

    def _waited(self, turn: asyncio.Future[_Got], patience: float, until: float) -> None:
        """Say that it has taken too long, unless a connection is being opened for this turn."""
        if turn.done():
            return
        if until <= patience:
            self._serve(turn, Unavailable(Code.UPSTREAM_TIMEOUT, note="waiting for a connection"))
        elif turn in islice(self._line, len(self._dials)):
            if until < inf:
                self._loop.call_at(until, self._waited, turn, inf, until)
        else:
            self._serve(turn, Unavailable(Code.UPSTREAM_OVERLOADED, note="no free connection"))
