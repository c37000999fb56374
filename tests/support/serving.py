"""The real server on a real socket, within a test's own event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Code
from gateway.server.departure import Departure, Lasting, NothingLasts
from gateway.server.listening import Listener, Server, server_for
from gateway.server.sockets import bind
from gateway.settings import Limits
from tests.support.strict_http import Answer, read_answers
from tests.support.world import World

PATIENCE = 10.0
"""Seconds for anything that must happen; what must not take long has a bound of its own."""


@dataclass
class Talk:
    """One connection to a server, in octets."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def drip(self, *pieces: bytes, pause: float = 0.01) -> None:
        """Send piece by piece, each in a packet of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause)

    async def until(self, octets: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(octets)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as closing."""
        octets = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    octets += piece
        return octets

    async def answer(self) -> Answer:
        """The next answer on a connection that stays open; it must have a length."""
        head = await self.until(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 1"):
            head = await self.until(b"\r\n\r\n")
        length = [
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        body = await self.exactly(length[0]) if length else b""
        (answer,) = read_answers(head + body, [b"GET" if length else b"HEAD"])
        return answer

    def close(self) -> None:
        self.writer.close()


@dataclass
class Served:
    """A port that answers, and what the server said it had refused."""

    port: int
    server: Server
    serving: asyncio.Task[None]
    departure: Departure
    refused: list[tuple[Code, str]] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    @contextlib.asynccontextmanager
    async def talk(self) -> AsyncIterator[Talk]:
        """A connection for the length of a block."""
        talk = Talk(*await self.connect())
        try:
            yield talk
        finally:
            talk.close()

    async def say(self, octets: bytes) -> bytes:
        """Send, and return everything until the server closes."""
        async with self.talk() as talk:
            talk.send(octets)
            return await talk.rest()

    def stop(self) -> None:
        """Tell it to stop, as a signal does; `serving` ends when it has."""
        self.departure.leave()

    async def stopped(self) -> None:
        """Wait until it has."""
        await asyncio.wait_for(asyncio.shield(self.serving), PATIENCE)

    @property
    def connected(self) -> int:
        return len(self.server.clients.connections)

    async def until_connected(self, count: int) -> None:
        """Wait until so many clients are connected."""
        for _ in range(int(PATIENCE * 100)):
            if self.connected == count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.connected} connections, not {count}")


@contextlib.asynccontextmanager
async def served(
    app: Any, limits: Limits | None = None, refused: Any = None, lasting: Lasting | None = None
) -> AsyncIterator[Served]:
    """Serve an ASGI application for the length of a block."""
    listening = bind("127.0.0.1", 0)
    told: list[tuple[Code, str]] = []

    def tell(code: Code, peer: str) -> None:
        told.append((code, peer))
        if refused is not None:
            refused(code, peer)

    departure = Departure()
    listener = Listener(app, [listening], lasting=lasting or NothingLasts())
    server = server_for(listener, limits=limits or Limits(), refused=tell, departure=departure)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield Served(listening.getsockname()[1], server, task, departure, told)
    finally:
        server.force_exit = server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def serving(world: World, limits: Limits | None = None) -> AsyncIterator[Served]:
    """Serve a whole gateway to real sockets."""
    gateway = world.gateway
    limits = limits or world.settings.limits
    async with served(gateway.public, limits, gateway.refused) as server:
        yield server
