"""An ASGI application whose connections cease to be HTTP, and what becomes of their wires."""

import asyncio
from typing import Any

from gateway.errors import Code, Refused
from gateway.ports import Wire

ASK = (
    b"GET /live HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n"
)
FIELDS = ((b"upgrade", b"websocket"), (b"sec-websocket-accept", b"xyz"))
HANDSHAKE = (
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n"
    b"upgrade: websocket\r\nsec-websocket-accept: xyz\r\n\r\n"
)


class Listening:
    """A wire's end that remembers what it was told."""

    def __init__(self, *, echo: Wire | None = None) -> None:
        self.echo = echo
        self.octets = b""
        self.pieces = asyncio.Event()
        self.gone = asyncio.Event()
        self.losses = 0
        self.may: list[bool] = []
        self.again = asyncio.Event()

    def received(self, octets: bytes) -> None:
        self.octets += octets
        self.pieces.set()
        if self.echo is not None:
            self.echo.write(octets)

    def lost(self) -> None:
        self.losses += 1
        self.gone.set()

    def may_write(self, *, now: bool) -> None:
        self.may.append(now)
        if now:
            self.again.set()


class Switching:
    """An application that answers 101 and returns; the wire outlives its task."""

    def __init__(self, *, echo: bool = True, wait: asyncio.Event | None = None) -> None:
        self.echo = echo
        self.wait = wait
        self.wires: list[Wire] = []
        self.ends: list[Listening] = []
        self.refused: list[Code] = []
        self.switched = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            wire = scope["gateway.connection"].switch(FIELDS)
        except Refused as refusal:
            self.refused.append(refusal.code)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"plain"})
            return
        self.wires.append(wire)
        self.switched.set()
        if self.wait is not None:
            await self.wait.wait()
        end = Listening(echo=wire if self.echo else None)
        self.ends.append(end)
        wire.attach(end)
