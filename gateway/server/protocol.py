"""One connection of a client: uvicorn's httptools protocol with its holes closed.

    TimedConnection       how long it waits, how it ends            deadlines.py
    └── ReadingConnection    octets to requests, sizes, framing      reading.py
        └── HardenedProtocol    whose turn it is to be answered      here

Answers leave in the order of their requests, refusals among them. After a refusal, and after an
answer that says so, nothing is read as a request any more: the connection is closed, and the
client given a moment to read what it was told (M16). A lost connection is told to the request
under way, which is then cancelled (M14).
"""

import asyncio
import math
from typing import Any

from gateway.edge.messages import Fields
from gateway.errors import Code, Refused
from gateway.ports import Wire
from gateway.server.answers import answer_head, problem
from gateway.server.clients import Clients
from gateway.server.deadlines import LEAVE, REST, Phase
from gateway.server.exchange import Exchange
from gateway.server.reading import ReadingConnection
from gateway.server.wire import SocketWire, switching_protocols
from gateway.web.connection import Connection

MOST_QUEUED = 32
"""Requests that may wait behind the one under way; after the last the connection is closed."""

_SMALL = 65536
"""Octets of a body that nobody wants, for which it is worth keeping the connection."""


class HardenedProtocol(ReadingConnection):
    """One connection from a browser or a load balancer."""

    _under_way: Exchange | None = None
    _refusal: Refused | None = None  # to be said when what came before has been answered

    def __init__(self, clients: Clients, **uvicorn: Any) -> None:  # noqa: ANN401  passed through
        """`uvicorn` is what uvicorn gives to a protocol."""
        super().__init__(clients, **uvicorn)
        self._queue: list[Exchange] = []  # short: a deque would take more than the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Expect a request, or turn the client away when there are too many."""
        super().connection_made(transport)
        self.connection = Connection(self.reset, self._switch)
        self._place = self.located()
        self.await_in(Phase.HEAD, self.clients.limits.header_timeout)
        above = len(self.connections) - self.clients.most
        if above > self.clients.spare:
            self.deaf = True
            transport.abort()
        elif above > 0:
            self.refuse(Refused(Code.CONNECTION_LIMIT))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  whatever the cause
        """Cancel the requests under way on this connection."""
        self.connections.discard(self)
        self.deadline, self.watched = math.inf, False
        for exchange in (self._under_way, *self._queue):
            if exchange is not None:
                exchange.lost()
        self._queue.clear()
        self.flow.resume_writing()
        self.connection.lost()
        # Whatever leads back to us: who hangs up again and again must not leave behind what only
        # the collector can free (F17).
        self.parser = None  # type: ignore[assignment]  # as in uvicorn
        self._under_way = self.newest = self._refusal = None

    # Requests, in order.

    def begin(self, exchange: Exchange) -> None:
        """Let the application answer, now or when those before have been answered."""
        if self._under_way is None:
            self._start(exchange)
            return
        self._queue.append(exchange)
        self.pause_reading()  # until this one is the only one
        if len(self._queue) == MOST_QUEUED:
            exchange.keep_alive = False  # so that the rest is not read at all

    def _start(self, exchange: Exchange) -> None:
        self._under_way = exchange
        self.clients.turns.begin(self._run, exchange, self.loop)

    def _run(self, exchange: Exchange) -> None:
        # It may have waited for its turn, and its client not. A task that is cancelled before its
        # first step would never say that it has ended.
        if exchange.gone or self.transport.is_closing():
            exchange.dropped()
            return
        try:
            exchange.task = self.loop.create_task(exchange.run(self.app))
        except MemoryError:
            exchange.dropped()
            self.reset()
            return
        self.tasks.add(exchange.task)

    def ended(self, exchange: Exchange) -> None:
        """Forget the task of an application that has returned."""
        if exchange.task is not None:
            self.tasks.discard(exchange.task)
            exchange.task = None  # when cancelled it remembers where, and so the exchange (F17)

    def may_stay(self, exchange: Exchange) -> bool:
        """Whether the connection outlives this answer, as far as can be said at its beginning.

        Not when the last words are being said; nor when the client may still send a body, unless
        what is left of it is small and known (M16), and it is not waiting for a 100.
        """
        if self.clients.draining and not self._queue:
            return False
        if exchange.body_complete:
            return True
        unread = exchange.unread
        return not exchange.continue_owed and unread is not None and unread <= _SMALL

    def finished(self, exchange: Exchange) -> None:
        """Go on to the next request, once the rest of this one's body is out of the way."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if exchange.body_complete:
            self._next(exchange)
        elif exchange.keep_alive and not self.deaf:
            self.await_in(Phase.REST, REST)
            self.resume_reading()
        else:
            self.linger()

    def body_arrived(self, exchange: Exchange) -> None:
        """Go on if it was only the body that was missing."""
        if self.phase is Phase.REST:
            self._next(exchange)

    def _next(self, answered: Exchange) -> None:
        self._under_way = None
        if not answered.keep_alive:
            for exchange in self._queue:  # RFC 9112 section 9.6: what follows the last gets none
                exchange.dropped()
            self._queue.clear()
            self.linger()
        elif self._queue:
            self._start(self._queue.pop(0))
        elif self._refusal is not None:
            self.refuse(self._refusal)
        else:
            self.newest = None
            self.resume_reading()
            if self.phase is not Phase.HEAD:  # the next may have begun to come in
                # Whoever was not told that this answer is the last one may well ask again.
                leaving = self.clients.hurried
                self.await_in(Phase.IDLE, LEAVE if leaving else self.clients.limits.keepalive)

    # Other ends of a connection than an answer.

    def refuse(self, refusal: Refused) -> None:
        """Say why, as soon as everything before has been answered; nothing more is read."""
        self.deaf = True
        self.deadline = math.inf
        if self._under_way is not None:
            self._refusal = refusal
            return
        if self.transport.is_closing():
            return
        status, fields, body = problem(refusal.code, refusal.detail)
        head_only = self.asks_for_head
        head, *_ = answer_head(
            status, fields, date=self.date(), head_only=head_only, chunks=True, keep_alive=False
        )
        self.transport.write(head if head_only else head + body)
        self.linger()
        self.clients.refused(refusal.code, self.client[0] if self.client else "")

    def overdue(self, now: float) -> None:  # noqa: ARG002  the phase says enough
        """Act on what the client owes."""
        too_slow = Refused(Code.REQUEST_TIMEOUT)
        if self.phase is Phase.BODY:
            self.fail_body(too_slow)
        elif self.phase is Phase.HEAD and self.has_said_something:
            self.refuse(too_slow)
        else:
            # Idle, or never said a word. A 408 would be taken for the answer to a request that
            # may be on its way, by browsers that open connections ahead.
            self.linger()

    def shutdown(self) -> None:
        """Leave when nobody is hurt: not in the very moment when a request may be coming in."""
        if self.phase is Phase.IDLE:
            self.deadline -= max(0.0, self.clients.limits.keepalive - LEAVE)
        elif self.phase is Phase.HEAD and not self.has_said_something:
            self.deadline -= max(0.0, self.clients.limits.header_timeout - LEAVE)

    def _switch(self, fields: Fields) -> Wire:
        exchange = self._under_way
        if exchange is None or not exchange.upgrade or exchange.begun:
            raise Refused(Code.UPGRADE_REFUSED)
        octets = switching_protocols(fields)
        exchange.begun = exchange.answered = True
        self.connections.discard(self)
        self._under_way = self.newest = None
        del self.parser, self.connection, self._place  # they would keep all of this alive
        self.transport.write(octets)
        return SocketWire(self.transport, self.behind or b"", self.clients)
