"""Event streams through the gateway in one process: said piece by piece, heard piece by piece."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from gateway.web.connection import Connection
from tests.support.browser import Browser
from tests.support.world import World


class Speaker:
    """The upstream's body: yields what the test says, until it stops."""

    def __init__(self, world: World, *more: tuple[bytes, bytes]) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed = asyncio.Event()
        world.api.fields = ((b"content-type", b"text/event-stream"), *more)
        world.api.body = self

    def say(self, octets: bytes) -> None:
        self.pieces.put_nowait(octets)

    def stop(self) -> None:
        self.pieces.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self.pieces.get()) is not None:
            yield piece

    async def aclose(self) -> None:
        self.closed.set()


class Hearer:
    """A browser's EventSource: the answer as far as it has come."""

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[str, str] = {}
        self.octets = b""
        self.finished = False  # the answer ended as a whole one does
        self.cut = False  # or it was broken off
        self.reads = asyncio.Event()  # while cleared, the browser takes nothing
        self.reads.set()
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self.connection = Connection(self._cut)
        self.task: asyncio.Task[None]

    async def until(self, condition: Callable[["Hearer"], object]) -> None:
        async with asyncio.timeout(10):
            while not condition(self):
                self._news.clear()
                await self._news.wait()

    async def hang_up(self) -> None:
        self.connection.lost()
        self.task.cancel()  # as the server does (`gateway/server/exchange.py`)
        await asyncio.wait({self.task}, timeout=5)

    def _cut(self) -> None:
        self.cut = True
        self._news.set()

    async def _receive(self) -> Any:
        await self._gone.wait()

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.fields = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            await self.reads.wait()
            self.octets += message["body"]
            self.finished = not message.get("more_body")
        self._news.set()


async def listen(
    world: World,
    browser: Browser,
    path: str = "/api/events",
    *more: tuple[bytes, bytes],
    replica: int = 0,
) -> Hearer:
    """Open an EventSource at this path, and wait for the answer's header."""
    hearer = Hearer()
    cookies = "; ".join(f"{name}={cookie.value}" for name, cookie in browser.cookies.items())
    headers = [
        (b"host", b"app.example"),
        (b"accept", b"text/event-stream"),
        (b"sec-fetch-site", b"same-origin"),
        (b"sec-fetch-mode", b"cors"),
        (b"sec-fetch-dest", b"empty"),
        (b"cookie", cookies.encode()),
        *more,
    ]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("203.0.113.7", 40000),
        "scheme": "http",
        "gateway.raw_target": path.encode(),
        "gateway.connection": hearer.connection,
    }
    gateway = world.gateways[replica]
    running = gateway.public(scope, hearer._receive, hearer._send)
    hearer.task = asyncio.ensure_future(running)
    await hearer.until(lambda one: one.status)
    return hearer
