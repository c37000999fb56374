"""What every `Wire` keeps to: in memory, and after a 101 on real sockets, either side (P6)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.edge.messages import UpstreamRequest
from gateway.edge.upstream_group import UpstreamGroup
from gateway.ports import Upgraded, Wire
from tests.support.serving import served
from tests.support.wires import pair


@dataclass
class Listening:
    """A wire's end that remembers what it was told."""

    octets: bytearray = field(default_factory=bytearray)
    losses: int = 0
    may: list[bool] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def received(self, octets: bytes) -> None:
        assert self.losses == 0
        self.octets += octets
        self.news.set()

    def lost(self) -> None:
        self.losses += 1
        self.news.set()

    def may_write(self, *, now: bool) -> None:
        self.may.append(now)
        self.news.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10):
            while not condition(self):
                self.news.clear()
                await self.news.wait()


class FarSide(Protocol):
    """Who is at the other end of the wire under test."""

    def send(self, octets: bytes) -> None: ...
    async def read(self, count: int) -> bytes: ...
    async def read_all(self) -> bytes: ...
    def hang_up(self) -> None: ...


class MemoryFar:
    """The other end of a pair, read when the test says so."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire
        self.end = Listening()
        wire.pause()
        wire.attach(self.end)

    def send(self, octets: bytes) -> None:
        self.wire.write(octets)

    async def read(self, count: int) -> bytes:
        self.wire.resume()
        await self.end.until(lambda end: len(end.octets) >= count)
        octets, self.end.octets = bytes(self.end.octets[:count]), self.end.octets[count:]
        return octets

    async def read_all(self) -> bytes:
        self.wire.resume()
        await self.end.until(lambda end: end.losses)
        return bytes(self.end.octets)

    def hang_up(self) -> None:
        self.wire.abort()


class SocketFar:
    """A client on a real socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def read(self, count: int) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readexactly(count)

    async def read_all(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.read()

    def hang_up(self) -> None:
        self.writer.close()


@asynccontextmanager
async def in_memory(early: bytes) -> AsyncIterator[tuple[Wire, FarSide]]:
    wire, other = pair()
    far = MemoryFar(other)
    if early:
        far.send(early)
    yield wire, far


@asynccontextmanager
async def after_a_101(early: bytes) -> AsyncIterator[tuple[Wire, FarSide]]:
    """The browser's side: a request that was answered 101 by the server."""
    wires: asyncio.Queue[Wire] = asyncio.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        wires.put_nowait(scope["gateway.connection"].switch(((b"upgrade", b"x"),)))

    async with served(app) as server:
        reader, writer = await server.connect()
        writer.write(
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + early
        )
        async with asyncio.timeout(10):
            wire = await wires.get()
            await reader.readuntil(b"\r\n\r\n")
        yield wire, SocketFar(reader, writer)
        wire.abort()
        writer.close()


@asynccontextmanager
async def before_a_101(early: bytes) -> AsyncIterator[tuple[Wire, FarSide]]:
    """The upstream's side: a server that answers 101."""
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
        writer.write(head + early)
        accepted.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    upstream = Http1Upstream()
    asked = UpstreamRequest(
        "GET", UpstreamGroup((origin,)), b"/", ((b"host", b"h"), (b"upgrade", b"x"))
    )
    answer = await upstream.upgrade(asked)
    assert isinstance(answer, Upgraded)
    reader, writer = await accepted.get()
    yield answer.wire, SocketFar(reader, writer)
    answer.wire.abort()
    writer.close()
    await upstream.aclose()
    server.close()


@pytest.fixture(params=[in_memory, after_a_101, before_a_101], ids=lambda kind: str(kind.__name__))
def connected(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_octets_go_both_ways_in_order(connected: Any) -> None:
    async with connected(b"") as (wire, far):
        end = Listening()
        wire.attach(end)
        for piece in (b"one ", b"two ", b"three"):
            far.send(piece)
            wire.write(piece)
        await end.until(lambda one: one.octets == b"one two three")
        assert await far.read(13) == b"one two three"


async def test_what_came_before_anybody_listened_is_told_first(connected: Any) -> None:
    async with connected(b"early ") as (wire, far):
        far.send(b"waiting ")
        await asyncio.sleep(0.05)
        end = Listening()
        wire.attach(end)
        far.send(b"late")
        await end.until(lambda one: one.octets == b"early waiting late")


async def test_a_paused_wire_tells_nothing_until_it_is_resumed(connected: Any) -> None:
    async with connected(b"") as (wire, far):
        end = Listening()
        wire.attach(end)
        wire.pause()
        wire.pause()
        far.send(b"held")
        await asyncio.sleep(0.05)
        assert end.octets == b""
        wire.resume()
        await end.until(lambda one: one.octets == b"held")


async def test_a_full_buffer_says_wait_once_and_go_on_once(connected: Any) -> None:
    async with connected(b"") as (wire, far):
        end = Listening()
        wire.attach(end)
        written = 0
        async with asyncio.timeout(10):
            while not end.may:
                wire.write(b"y" * 65536)
                written += 65536
                await asyncio.sleep(0)
        assert end.may == [False]
        await far.read(written)
        await end.until(lambda one: one.may == [False, True])


async def test_close_sends_what_is_buffered_and_the_loss_is_told_once(connected: Any) -> None:
    async with connected(b"") as (wire, far):
        end = Listening()
        wire.attach(end)
        wire.write(b"x" * 300_000)
        wire.close()
        wire.write(b"too late")
        assert await far.read_all() == b"x" * 300_000
        await end.until(lambda one: one.losses)
        wire.close()
        wire.abort()
        await asyncio.sleep(0.05)
        assert end.losses == 1


async def test_abort_ends_it_at_once(connected: Any) -> None:
    async with connected(b"") as (wire, _):
        end = Listening()
        wire.attach(end)
        wire.abort()
        await end.until(lambda one: one.losses == 1)
        for call in (wire.pause, wire.resume, wire.close, wire.abort):
            call()
        wire.write(b"nobody is there")
        await asyncio.sleep(0.05)
        assert end.losses == 1


async def test_a_far_side_that_hangs_up_is_noticed(connected: Any) -> None:
    async with connected(b"") as (wire, far):
        end = Listening()
        wire.attach(end)
        far.hang_up()
        await end.until(lambda one: one.losses == 1)


async def test_a_loss_before_anybody_listened_is_told_at_attach(connected: Any) -> None:
    async with connected(b"") as (wire, _):
        wire.abort()
        await asyncio.sleep(0.05)
        end = Listening()
        wire.attach(end)
        await end.until(lambda one: one.losses == 1)
