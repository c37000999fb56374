"""Clients that hang up in the middle, and an upstream that notices (F17, M14)."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

PHASES = ("before the head", "mid-upload", "mid-download")
CHANNELS = ("in an event stream", "in a WebSocket")
PATIENCE = 5.0
"""Seconds in which an upstream has to learn that nobody is there; left alone it would wait longer
than any test."""

_TARGETS = {
    "before the head": b"GET /mute",
    "mid-upload": b"POST /up",
    "mid-download": b"GET /down",
    "in an event stream": b"GET /events",
    "in a WebSocket": b"GET /ws",
}
_MORE = {
    "mid-upload": b"Content-Length: 1000000\r\n",
    "in a WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
}
_ACCEPTED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3, whose key this is
_BEGUN = {  # what an upstream says at once
    b"GET /down": b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n",
    b"GET /events": b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
    b"GET /ws": b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-accept: %b\r\n\r\n" % _ACCEPTED,
}
_RESET = struct.pack("ii", 1, 0)


class PatientUpstream:
    """Never ends an exchange by itself, but for `/ok`, and `/together`, which waits for others."""

    def __init__(self) -> None:
        self.port = 0
        self.begun = dict.fromkeys((*_TARGETS.values(), b"GET /ok", b"GET /together"), 0)
        self.quiet = asyncio.Event()  # nothing is under way
        self.quiet.set()
        self._under_way: set[asyncio.StreamWriter] = set()
        self.late = 0  # exchanges that nobody ended in time
        self.together = asyncio.Barrier(1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = b" ".join(head.split(b" ", 2)[:2])
                self.begun[target] += 1
                self._under_way.add(writer)
                self.quiet.clear()
                try:
                    async with asyncio.timeout(PATIENCE):
                        await self._exchange(target, reader, writer)
                finally:
                    self._under_way.discard(writer)
                    if not self._under_way:
                        self.quiet.set()
        except TimeoutError:
            self.late += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _exchange(
        self, target: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if target in (b"GET /ok", b"GET /together"):
            if target == b"GET /together":
                await self.together.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            return
        writer.write(_BEGUN.get(target, b""))
        if target == b"GET /down":
            while not writer.is_closing():
                writer.write(b"x" * 16384)
                await writer.drain()
                await asyncio.sleep(0.01)
        while await reader.read(65536):
            pass
        raise ConnectionResetError  # which is what was waited for


@asynccontextmanager
async def patient_upstream() -> AsyncIterator[PatientUpstream]:
    """Serve on a loopback port for the length of a block."""
    upstream = PatientUpstream()
    server = await asyncio.start_server(upstream._serve, "127.0.0.1", 0, backlog=500)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, as an application that dies does."""
    with contextlib.suppress(OSError):  # the other side was quicker
        plain = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@dataclass(frozen=True)
class Clients:
    """Where clients find a gateway, and the path below which it asks a patient upstream."""

    port: int
    host: bytes
    path: bytes = b"/api/"

    async def ask(self, target: bytes) -> bytes:
        """Everything a patient client gets on a connection of its own; a reset is an end too."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(self._head(b"GET", target) + b"Connection: close\r\n\r\n")
        octets = b""
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    octets += piece
        writer.close()
        return octets

    async def hang_up(self, phase: str, after: float) -> None:
        """Ask for something, and reset the connection `after` so many seconds."""
        head = self._head(*_TARGETS[phase].split(b" /")) + _MORE.get(phase, b"")
        if phase == "in a WebSocket":
            head += b"Origin: http://%b\r\n" % self.host
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head + b"\r\n")
        if phase == "mid-upload":
            writer.write(b"y" * 20_000)
        if _TARGETS[phase] in _BEGUN:
            got = await reader.read(1000)
            assert got.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")), got
        await asyncio.sleep(after)
        reset(writer)

    async def hang_ups(
        self, count: int, chance: random.Random, phases: Sequence[str] = PHASES
    ) -> None:
        """So many clients leave, each at a moment of its own within 30 ms, forty at a time."""
        turns = iter(range(count))

        async def one_after_another() -> None:
            for turn in turns:
                await self.hang_up(phases[turn % len(phases)], chance.random() * 0.03)

        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(one_after_another())

    def _head(self, method: bytes, target: bytes) -> bytes:
        return b"%s %s%s HTTP/1.1\r\nHost: %s\r\n" % (method, self.path, target, self.host)
