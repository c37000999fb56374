"""One request and its answer, between the connection and an ASGI application."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

from gateway.edge.messages import Field
from gateway.errors import Code, GatewayError, Refused
from gateway.server.answers import CONTINUE, Ending, answer_head, plain_head, problem
from gateway.server.flow import Flow

HIGH_WATER = 65536
"""Octets of a body that wait for the application before the connection reads no more."""

_WORTH_NO_COPY = 16384  # octets of a piece that are written from where they lie

_log = logging.getLogger("gateway.server")
_DISCONNECT: Message = {"type": "http.disconnect"}


class Carrier(Protocol):
    """The connection, as an exchange sees it."""

    transport: asyncio.Transport
    flow: Flow
    loop: asyncio.AbstractEventLoop

    def date(self) -> list[tuple[bytes, bytes]]:
        """Return the Date line."""
        ...

    def more_wanted(self) -> None:
        """The application waits for more of the body."""
        ...

    def may_stay(self, exchange: "Exchange") -> bool:
        """Whether the connection can be kept after this answer, as it looks at its beginning."""
        ...

    def finished(self, exchange: "Exchange") -> None:
        """The last octet of the answer has been written."""
        ...

    def ended(self, exchange: "Exchange") -> None:
        """The application has returned."""
        ...

    def reset(self) -> None:
        """Close at once, so that what was sent of an answer looks broken."""
        ...


class Exchange:
    """A request, its body as it arrives, and its answer as it is written."""

    body_complete = False
    begun = False  # the head of the answer has been written
    answered = False  # all of the answer has been written
    gone = False  # nobody is there to read it
    task: asyncio.Task[None] | None = None

    _has_all = False  # the application has been given the whole body
    _held = 0
    _failure: Refused | None = None
    _news: asyncio.Event | None = None
    _head = b""  # the head of the answer, while it is not written
    _ending = Ending.NONE
    _left = 0

    def __init__(
        self,
        carrier: Carrier,
        scope: Scope,
        *,
        unread: int | None,
        continue_owed: bool,
        keep_alive: bool,
        upgrade: bool,
    ) -> None:
        """`unread` are the octets of the body still to come; None when nobody knows."""
        self._carrier = carrier
        self._scope = scope
        scope["gateway.answer"] = self.answer
        self.unread = unread
        self.continue_owed = continue_owed
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self._pieces: list[bytes] = []

    # The client's side.

    def feed(self, piece: bytes) -> bool:
        """Take a piece of the body; False when enough of it waits for the application."""
        self.continue_owed = False  # it did not wait: RFC 9110 section 10.1.1 spares us the 100
        if self.unread is not None:
            self.unread -= len(piece)
        if self.answered or self._failure is not None:
            return True
        self._pieces.append(piece)
        self._held += len(piece)
        self._tell()
        return self._held < HIGH_WATER

    def complete(self) -> None:
        """The body has ended."""
        self.body_complete = True
        self._tell()

    def fail(self, refusal: Refused) -> None:
        """The body will not come: the application gets `refusal` where it asks for more."""
        self._failure = refusal
        self.keep_alive = False
        self._tell()

    def lost(self) -> None:
        """The client has gone: whatever is done for it stops (M14)."""
        self.gone = True
        if self.task is not None:
            self.task.cancel()
        else:
            self.dropped()
        self._tell()

    def dropped(self) -> None:
        """No application will see it: let go of what leads back here (F17)."""
        self._scope.pop("gateway.answer", None)

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    # The application's side.

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer; whatever it does, the client can tell whole from broken."""
        try:
            await app(self._scope, self.receive, self.send)
            if not (self.answered or self.gone or self._carrier.transport.is_closing()):
                _log.error("the application returned without a whole answer")
                await self._broken(Code.INTERNAL)
        except asyncio.CancelledError:
            if not (self.answered or self.gone):
                self._carrier.reset()  # the grace of a shutdown is over
            raise
        except GatewayError as failure:
            await self._broken(failure.code, failure.detail)
        except MemoryError:
            # A trace would blame whoever asked for memory last.
            _log.error("no memory was left for a request")
            await self._broken(Code.CONNECTION_LIMIT)
        except Exception:  # noqa: BLE001  the outermost place: a bug must still be answered
            # The trace names our own lines; values that are secret print as nothing.
            _log.exception("internal error")
            await self._broken(Code.INTERNAL)
        finally:
            # Else the scope would hold us and we the scope, until the collector comes (F17).
            self.dropped()
            self._carrier.ended(self)
            if not (self.answered or self.gone or self._carrier.transport.is_closing()):
                self._carrier.reset()  # not even the failure could be said

    async def _broken(self, code: Code, detail: str = "") -> None:
        if self.gone or self.answered:
            return
        if self.begun and not self._head:
            self._carrier.reset()  # what was sent must not look whole (M12)
            return
        self.begun, self._head = False, b""
        status, fields, body = problem(code, detail)
        await self.send({"type": "http.response.start", "status": status, "headers": fields})
        await self.send({"type": "http.response.body", "body": body})

    async def receive(self) -> Message:
        """Return more of the body, or that nobody is there any more.

        Raises Refused when the client was too slow, or what it sent could not be read.
        """
        if self.continue_owed and not (self.begun or self.gone):
            self.continue_owed = False
            self._carrier.transport.write(CONTINUE)
        while not (self.gone or self.answered):
            if self._failure is not None:
                raise Refused(self._failure.code, self._failure.detail)
            if self._pieces or (self.body_complete and not self._has_all):
                return self._message()
            if not self.body_complete:
                self._carrier.more_wanted()
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            await self._news.wait()
        return _DISCONNECT

    def _message(self) -> Message:
        pieces, self._pieces, self._held = self._pieces, [], 0
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._has_all = self.body_complete
        return {"type": "http.request", "body": body, "more_body": not self.body_complete}

    async def send(self, message: Message) -> None:
        """Write the head of the answer, then its body; waits for a client that reads slowly."""
        flow = self._carrier.flow
        if flow.write_paused and not self.gone:
            await flow.drain()
        if self.gone:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.begun:
            self._begin(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.begun and not self.answered:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind} is out of place")

    def answer(
        self, status: int, fields: Iterable[Field], body: bytes, lines: bytes | None
    ) -> bool:
        """Write a whole answer at once; False, and nothing done, where `send` has to wait first.

        What an application calls, as the scope's `gateway.answer`, to save two messages and a
        packet. `lines` are the fields as they are to be written, if that is known: see
        `edge.messages.Reply`.
        """
        if self._carrier.flow.write_paused or self.begun or self.gone:
            return False
        if lines is not None and body and self.keep_alive and self._carrier.may_stay(self):
            head = plain_head(status, lines, self._carrier.date())
            if head is not None and self._scope["method"] != "HEAD":
                self._write_all(head + body)
                return True
        head, self._ending, length, self.keep_alive = answer_head(
            status,
            fields,
            date=self._carrier.date(),
            head_only=self._scope["method"] == "HEAD",
            chunks=self._scope["http_version"] == "1.1",
            keep_alive=self.keep_alive and self._carrier.may_stay(self),
        )
        if self._ending is Ending.NONE:
            body = b""
        elif self._ending is not Ending.LENGTH or length != len(body):
            raise RuntimeError("a whole answer says how long it is")
        self._write_all(head + body)
        return True

    def _write_all(self, octets: bytes) -> None:
        self.begun = self.answered = True
        self._carrier.transport.write(octets)
        self._tell()
        self._carrier.finished(self)

    def _begin(self, status: int, fields: Iterable[Field]) -> None:
        head, self._ending, self._left, self.keep_alive = answer_head(
            status,
            fields,
            date=self._carrier.date(),
            head_only=self._scope["method"] == "HEAD",
            chunks=self._scope["http_version"] == "1.1",
            keep_alive=self.keep_alive and self._carrier.may_stay(self),
        )
        self.begun = True
        # With the first piece of the body it is one system call; alone it goes at the next turn.
        self._head = head
        self._carrier.loop.call_soon(self._write_head)

    def _write_head(self) -> None:
        if self._head and not self.gone:
            self._carrier.transport.write(self._head)
        self._head = b""

    def _go_on(self, piece: bytes, *, more: bool) -> None:
        if self._ending is Ending.LENGTH:
            self._left -= len(piece)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body is not as long as announced")
        parts = [self._head] if self._head else []
        self._head = b""
        if self._ending is Ending.LENGTH or self._ending is Ending.CLOSE:
            parts.append(piece)
        elif self._ending is Ending.CHUNKED:
            if piece:
                parts += (b"%x\r\n" % len(piece), piece, b"\r\n")
            if not more:
                parts.append(b"0\r\n\r\n")
        if len(piece) < _WORTH_NO_COPY:
            self._carrier.transport.write(b"".join(parts))
        else:
            self._carrier.transport.writelines(parts)
        if not more:
            self.answered = True
            self._tell()
            self._carrier.finished(self)
