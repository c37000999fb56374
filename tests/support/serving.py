"""The real server on a real socket, within a test's own event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Code
from gateway.server.listening import Listener, server_for
from gateway.server.sockets import bind
from gateway.settings import Limits


@dataclass
class Served:
    """A port that answers, and what the server said it had refused."""

    port: int
    server: Any
    refused: list[tuple[Code, str]] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, octets: bytes) -> bytes:
        """Send, and return everything until the server closes."""
        reader, writer = await self.connect()
        writer.write(octets)
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def served(app: Any, limits: Limits | None = None) -> AsyncIterator[Served]:
    """Serve an ASGI application for the length of a block."""
    listening = bind("127.0.0.1", 0)
    refused: list[tuple[Code, str]] = []
    server = server_for(
        Listener(app, [listening]),
        limits=limits or Limits(),
        refused=lambda code, peer: refused.append((code, peer)),
    )
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield Served(listening.getsockname()[1], server, refused)
    finally:
        server.should_exit = True
        await task
