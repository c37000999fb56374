"""One request and its answer on a connection, from the first octet sent to the last one read."""

import asyncio
from collections.abc import AsyncIterator
from math import inf

from gateway.adapters.http1_upstream.answer_reader import AnswerReader
from gateway.adapters.http1_upstream.connection import Connection
from gateway.adapters.http1_upstream.request_body import RequestBody
from gateway.adapters.http1_upstream.upgraded import UpgradedWire
from gateway.edge.answer_framing import MalformedAnswer, announced_rest
from gateway.edge.event_stream import is_event_stream
from gateway.edge.upstream_group import Timeouts
from gateway.errors import Code, Unavailable
from gateway.ports import UpstreamAnswer

MOST_BUFFERED = 65536
"""Octets of an answer that may wait for the browser before the upstream has to (M14)."""

_FIRST_UNWELCOME = 300  # the first status that does not say "I am using what you send"


class Exchange:
    """Sends one request; then it is the body of the answer, as a `Stream`.

    Afterwards `failure` says what went wrong, if anything did, and `stale` that the server had
    closed the connection before it can have seen the request: not one octet of an answer came on a
    connection that had lain idle.
    """

    __slots__ = (
        "_answered",
        "_asking",
        "_buffered",
        "_connection",
        "_heard",
        "_idle",
        "_is_fresh",
        "_is_over",
        "_is_paused",
        "_is_sent",
        "_loop",
        "_may_return",
        "_reader",
        "_streams",
        "_times",
        "_until",
        "_upload",
        "_wanted",
        "failure",
        "stale",
        "wire",
    )

    def __init__(
        self,
        connection: Connection,
        times: Timeouts,
        until: float,
        *,
        to_head: bool = False,
        upgrade: bool = False,
    ) -> None:
        """`until` is when all of it must be over, by the loop's clock."""
        self._connection = connection
        self._loop = loop = connection.loop
        self._times = times
        self._idle = inf if times.idle is None else times.idle
        self._until = until
        self._reader = AnswerReader(to_head=to_head, upgrade=upgrade, heads=connection.heads)
        self._may_return = not upgrade
        self._answered: asyncio.Future[None] = loop.create_future()
        self._wanted: asyncio.Future[None] | None = None  # the body's reader waits
        self._upload: asyncio.Task[None] | None = None
        self._asking = False  # the browser owes us a piece of the request's body
        self._heard = False
        self._is_fresh = connection.is_fresh
        self._streams = False
        self._is_paused = False
        self._buffered = 0
        self._is_sent = False
        self._is_over = False
        self.stale = False
        self.failure: Exception | None = None
        self.wire: UpgradedWire | None = None

    async def perform(self, octets: bytes, body: RequestBody | None) -> None:
        """Send, and return when the final answer's fields are in or `failure` is set.

        `octets` are the head and what there is of the body, `body` is the rest.
        """
        if not self._connection.is_usable:  # it was lost on its way to us
            self.broke()
            return
        self._connection.begin(self, octets)
        if body is None or body.complete:
            self._all_sent()
        else:
            self._extend()
            self._upload = self._loop.create_task(self._send_rest(body))
        try:
            await self._answered
        except BaseException:
            self._give_up()
            raise

    @property
    def status(self) -> int:
        """The final answer's, or 0 while there is none."""
        return self._reader.status

    def answer(self) -> UpstreamAnswer:
        """Return the answer: with its body as octets if it is all there, else as a stream."""
        reader = self._reader
        if self._is_over and self.failure is None:
            pieces = reader.pieces
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            return UpstreamAnswer(reader.status, reader.fields, body, reader.known)
        return UpstreamAnswer(reader.status, reader.fields, self, reader.known)

    # -- the body of the answer --------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            pieces = self._reader.pieces
            if pieces:
                octets = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                pieces.clear()
                self._buffered = 0
                if self._is_paused:
                    self._read_on()
                return octets
            if self.failure is not None:
                raise self.take_failure()
            if self._is_over:
                raise StopAsyncIteration
            self._wanted = self._loop.create_future()
            try:
                await self._wanted
            finally:
                self._wanted = None

    def take_failure(self) -> Exception:
        """Return the failure, to be raised once.

        It is not kept: raised, it remembers the frames it went through, and they remember us. Such
        a circle is freed by the garbage collector only, which seldom comes (F17).
        """
        told = Unavailable(Code.UPSTREAM_PROTOCOL, note="failed before")
        failure, self.failure = self.failure, told
        return failure or told

    async def aclose(self) -> None:
        """End the exchange; unless it is over, the connection goes with it (M14)."""
        self._give_up()

    # -- what the connection tells -----------------------------------------------------------------

    def received(self, octets: bytes) -> None:
        """Read on."""
        self._heard = True
        reader = self._reader
        try:
            reader.feed(octets)
        except MalformedAnswer as malformed:
            self._fail(Unavailable(Code.UPSTREAM_PROTOCOL, note=str(malformed)))
            return
        if reader.complete:
            self._complete()
        elif reader.status:
            self._go_on(len(octets))

    def ended(self) -> None:
        """The server has ended the connection in order."""
        try:
            self._reader.end()
        except MalformedAnswer:
            self.broke()
        else:
            self._complete()

    def broke(self) -> None:
        """The connection is lost: what has come of an answer is not all of it (M12)."""
        self.stale = not self._heard and not self._is_fresh
        self._fail(
            Unavailable(Code.UPSTREAM_PROTOCOL, note="connection lost"), blame=not self.stale
        )

    def timed_out(self) -> None:
        """The deadline that was set last has passed."""
        part = "body" if self._reader.status else "header" if self._is_sent else "request body"
        # A browser that sends nothing, or reads nothing, is not the server's fault.
        blame = not self._asking and not self._is_paused
        self._fail(Unavailable(Code.UPSTREAM_TIMEOUT, note=part), blame=blame)

    # ----------------------------------------------------------------------------------------------

    async def _send_rest(self, body: RequestBody) -> None:
        try:
            while not body.complete:
                self._asking = True
                octets = await body.next()
                self._asking = False
                self._extend()
                self._connection.write(octets)
                await self._connection.drained()
                self._extend()
        except Exception as failure:  # noqa: BLE001  the body's own, for whoever asked
            self._upload = None
            self._fail(failure, blame=False)
            del self  # which keeps the failure, which remembers this frame (F17)
        else:
            self._upload = None
            self._all_sent()

    def _all_sent(self) -> None:
        self._is_sent = True
        if not self._reader.status:
            self._connection.set_deadline(min(self._loop.time() + self._times.header, self._until))

    def _extend(self) -> None:
        self._connection.set_deadline(min(self._loop.time() + self._idle, self._until))

    def _go_on(self, count: int) -> None:
        """The head is in, the body is not: make it a stream."""
        reader = self._reader
        if not self._streams:
            self._streams = True
            if reader.switched:
                self._switch()
                return
            if is_event_stream(reader.fields):
                self._idle = self._until = inf
            # RFC 9112 section 9.5: what nobody wants to read any more is not sent (M16).
            if reader.status >= _FIRST_UNWELCOME or not reader.persistent:
                self._stop_sending()
        self._buffered += count
        if self._buffered < MOST_BUFFERED:
            self._extend()
        elif not self._is_paused:
            self._is_paused = True
            self._connection.pause()
            self._connection.set_deadline(self._until)  # it is not the server that is slow
        self._wake()

    def _read_on(self) -> None:
        self._is_paused = False
        if not self._is_over:
            self._connection.resume()
            self._extend()

    def _switch(self) -> None:
        self._is_over = True
        reader = self._reader
        self.wire = UpgradedWire(b"".join(reader.pieces), self._connection.left)
        reader.pieces.clear()
        self.wire.take(self._connection.hand_over(self.wire))
        self._wake()

    def _complete(self) -> None:
        self._is_over = True
        self._stop_sending()
        connection = self._connection
        if self._is_paused:
            connection.resume()
        connection.rest = announced_rest(self._reader.fields)
        # An answer to half a request is an answer, but the connection has come out of step (M16).
        is_in_step = self._is_sent and not connection.has_unsent and self._may_return
        connection.finished(reusable=is_in_step and self._reader.persistent)
        self._wake()

    def _fail(self, failure: Exception, *, blame: bool = True) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.failure = failure
        self._stop_sending()
        self._reader.forget_parser()
        self._connection.failed(blame=blame)
        self._wake()

    def _give_up(self) -> None:
        if not self._is_over:
            self._fail(Unavailable(Code.UPSTREAM_PROTOCOL, note="given up by us"), blame=False)
        self._reader.pieces.clear()
        if self.wire is not None:
            self.wire.abort()

    def _stop_sending(self) -> None:
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None

    def _wake(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)
