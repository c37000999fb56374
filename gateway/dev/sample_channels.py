"""The sample API's channels: a WebSocket that answers with what it is told, and a stream of events.

An echo and no more: whole frames are waited for, and answered one by one.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.edge.websocket import Handshake, asks_for_websocket, check_handshake
from gateway.errors import Refused
from gateway.ports import Clock, Wire
from gateway.web.connection import Connection
from gateway.web.relay import request_of

_TICK = 1.0  # seconds between two events
_LONGEST = 1 << 20  # octets of a frame
_CLOSE, _PING, _PONG = 8, 9, 10
_PROTOCOL_ERROR, _TOO_BIG = 1002, 1009


class Echo:
    """The server's end of a WebSocket (RFC 6455): every message comes back as it was."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._octets = bytearray()

    def received(self, octets: bytes) -> None:
        """Answer every frame that is whole."""
        self._octets += octets
        while (size := self._next_size()) and len(self._octets) >= size:
            whole = bytes(self._octets[:size])
            del self._octets[:size]
            self._answer(whole)

    def lost(self) -> None:
        """The client has gone."""
        self._octets.clear()

    def may_write(self, *, now: bool) -> None:
        """Read no faster than the answers are taken."""
        if now:
            self._wire.resume()
        else:
            self._wire.pause()

    def _next_size(self) -> int:
        """Return how many octets the frame that has begun takes; 0 while nobody can say."""
        head = self._octets
        if len(head) < 2:  # noqa: PLR2004  every header's first part
            return 0
        width = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
        if len(head) < 2 + width:
            return 0
        length = int.from_bytes(head[2 : 2 + width], "big") if width else head[1] & 0x7F
        if not head[1] & 0x80:
            self._leave(_PROTOCOL_ERROR)
        elif length > _LONGEST:
            self._leave(_TOO_BIG)
        return 2 + width + 4 + length

    def _answer(self, whole: bytes) -> None:
        first, opcode = whole[0], whole[0] & 0x0F
        width = {126: 2, 127: 8}.get(whole[1] & 0x7F, 0)
        mask, masked = whole[2 + width : 6 + width], whole[6 + width :]
        payload = bytes(octet ^ mask[at % 4] for at, octet in enumerate(masked))
        if opcode == _PONG:
            return
        if opcode == _PING:
            first = first - _PING + _PONG
        length = bytes((whole[1] & 0x7F,)) + whole[2 : 2 + width]
        self._wire.write(bytes((first,)) + length + payload)
        if opcode == _CLOSE:
            self._wire.close()

    def _leave(self, code: int) -> None:
        self._octets.clear()
        self._wire.write(b"\x88\x02" + code.to_bytes(2, "big"))
        self._wire.close()


class Switched(Response):
    """Stands for an answer that has been given already: the connection is HTTP no more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say nothing."""


def echo(request: Request) -> Response:
    """Open a WebSocket that echoes, or say why not."""
    asked = request_of(request.scope)
    connection: Connection = request.scope.get("gateway.connection") or Connection()
    if not asks_for_websocket(asked):
        return JSONResponse({"error": "open this with a WebSocket"}, 426)
    try:
        handshake = check_handshake(asked)
        wire = connection.switch(_accepting(handshake))
    except Refused as refusal:
        return JSONResponse({"error": refusal.code.value}, 400)
    wire.attach(Echo(wire))
    return Switched()


def _accepting(handshake: Handshake) -> tuple[tuple[bytes, bytes], ...]:
    chosen = handshake.protocols[:1]
    fields = ((b"upgrade", b"websocket"), (b"sec-websocket-accept", handshake.accept))
    return (*fields, *((b"sec-websocket-protocol", one) for one in chosen))


def ticks(clock: Clock, first: int) -> Response:
    """Return an event stream with the time, numbered from `first` on, without end."""

    async def events() -> AsyncIterator[str]:
        number = first
        while True:
            now = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="seconds")
            data = json.dumps({"number": number, "at": now})
            yield f"id: {number}\nevent: tick\ndata: {data}\n\n"
            number += 1
            await asyncio.sleep(_TICK)

    return StreamingResponse(events(), media_type="text/event-stream")
