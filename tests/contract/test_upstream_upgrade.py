"""Leaving HTTP: a 101 and the wire behind it, or a refusal that is an answer (P2, P3; F29)."""

import asyncio
from dataclasses import replace

import pytest

from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.edge.messages import UpstreamRequest
from gateway.edge.upstream_group import PoolLimits, Timeouts, UpstreamGroup
from gateway.errors import Code, Unavailable
from gateway.ports import Upgraded
from tests.support.processes import free_port
from tests.support.raw_upstream import OK, RawUpstream
from tests.support.upstream_calls import GROUP, answered, of, request, stream_of

_SWITCH = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nx: y\r\n\r\n"
_ASKING = ((b"upgrade", b"websocket"), (b"sec-websocket-key", b"x"))


def asking(to: RawUpstream | UpstreamGroup) -> UpstreamRequest:
    return request(to, fields=_ASKING)


class End:
    """A listener that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.losses = 0
        self.flow: list[bool] = []
        self.news = asyncio.Event()

    def received(self, octets: bytes) -> None:
        assert not self.losses
        self.octets += octets
        self.news.set()

    def lost(self) -> None:
        self.losses += 1
        self.news.set()

    def may_write(self, *, now: bool) -> None:
        self.flow.append(now)
        self.news.set()

    async def until(self, count: int = 0, *, lost: bool = False) -> None:
        """Wait for so many octets, or for the loss."""
        async with asyncio.timeout(5):
            while len(self.octets) < count or (lost and not self.losses):
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def end() -> End:
    return End()


async def upgraded(upstream: Http1Upstream, to: RawUpstream | UpstreamGroup) -> Upgraded:
    found = await upstream.upgrade(asking(to))
    assert isinstance(found, Upgraded)
    return found


def echoing(server: RawUpstream, early: bytes = b"") -> None:
    """Switch, and send back whatever comes."""

    async def keep(reader: asyncio.StreamReader) -> None:
        server.reader = reader

    async def echo(writer: asyncio.StreamWriter) -> None:
        reader = server.reader
        assert reader is not None
        writer.write(_SWITCH + early)
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        writer.close()

    server.on_body, server.answer = keep, echo


async def test_octets_pass_both_ways_after_a_101(
    upstream: Http1Upstream, server: RawUpstream, end: End
) -> None:
    echoing(server)
    found = await upgraded(upstream, server)
    assert found.fields == (
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"x", b"y"),
    )
    found.wire.attach(end)
    for number in range(10):
        found.wire.write(b"\x81%d\r\n\r\n" % number)
    await end.until(60)
    assert end.octets == b"".join(b"\x81%d\r\n\r\n" % number for number in range(10))
    found.wire.close()
    await end.until(lost=True)
    assert end.losses == 1
    assert server.lines()[1:].count(b"connection: Upgrade") == 1
    assert b"upgrade: websocket" in server.lines()


async def test_what_came_right_behind_the_101_is_heard_first(
    upstream: Http1Upstream, server: RawUpstream, end: End
) -> None:
    echoing(server, early=b"early ")
    found = await upgraded(upstream, server)
    await asyncio.sleep(0.1)
    found.wire.attach(end)
    found.wire.write(b"late")
    await end.until(10)
    assert end.octets == b"early late"
    found.wire.abort()
    await end.until(lost=True)


@pytest.mark.parametrize("status", [200, 400, 403, 426, 503])
async def test_a_refusal_is_an_answer_p3(
    upstream: Http1Upstream, server: RawUpstream, status: int
) -> None:
    server.answer = b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nno" % status
    found = await upstream.upgrade(asking(server))
    assert not isinstance(found, Upgraded)
    assert (found.status, found.body) == (status, b"no")
    assert upstream.states()[0].idle == 0  # it was a connection of its own
    server.answer = OK
    assert (await answered(upstream, request(server)))[2] == b"ok"
    assert server.connections == 2


async def test_a_refusal_may_be_a_stream(upstream: Http1Upstream, server: RawUpstream) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 X\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"1\r\nb\r\n0\r\n\r\n")

    server.answer = slowly
    found = await upstream.upgrade(asking(server))
    assert not isinstance(found, Upgraded)
    assert b"".join([piece async for piece in stream_of(found)]) == b"ab"


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 X\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 X\r\n\r\n",
        b"HTTP/1.1 101 X\r\nupgrade: websocket\r\ncontent-length: 5\r\n\r\nhello",
        b"garbage\r\n\r\n",
        b"",
    ],
)
async def test_a_101_to_something_else_is_no_upgrade_p2(
    upstream: Http1Upstream, server: RawUpstream, octets: bytes
) -> None:
    async def once(writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    server.answer = once
    with pytest.raises(Unavailable) as failure:
        await upstream.upgrade(asking(server))
    assert failure.value.code is Code.UPSTREAM_PROTOCOL
    await nothing_is_left(upstream)
    server.answer = OK
    assert (await answered(upstream, request(server)))[2] == b"ok"
    assert server.connections == 2  # nothing on the first was HTTP for sure


async def nothing_is_left(upstream: Http1Upstream) -> None:
    for _ in range(100):
        if all(state.busy == state.waiting == 0 for state in upstream.states()):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(upstream.states())


async def test_a_server_that_is_not_there_or_mute_is_said_so(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    with pytest.raises(Unavailable) as failure:
        await upstream.upgrade(asking(of(f"http://127.0.0.1:{free_port()}")))
    assert failure.value.code is Code.UPSTREAM_CONNECT

    async def mute(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)

    server.answer = mute
    group = of(server, terms=replace(GROUP, timeouts=Timeouts(1, 0.2, 1)))
    with pytest.raises(Unavailable) as failure:
        await upstream.upgrade(asking(group))
    assert failure.value.code is Code.UPSTREAM_TIMEOUT


async def test_no_deadline_holds_for_a_wire(
    upstream: Http1Upstream, server: RawUpstream, end: End
) -> None:
    echoing(server)
    times = Timeouts(1, header=0.2, idle=0.2, total=0.3)
    found = await upgraded(upstream, of(server, terms=replace(GROUP, timeouts=times)))
    found.wire.attach(end)
    await asyncio.sleep(0.8)
    found.wire.write(b"still here")
    await end.until(10)
    found.wire.abort()


async def test_wires_count_as_connections_until_they_are_lost(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    echoing(server)
    group = of(server, terms=replace(GROUP, limits=PoolLimits(max_connections=2, wait=0.2)))
    wires, ends = [], []
    for _ in range(2):
        wires.append((await upgraded(upstream, group)).wire)
        ends.append(End())
        wires[-1].attach(ends[-1])
    with pytest.raises(Unavailable) as failure:
        await upstream.upgrade(asking(group))
    assert failure.value.code is Code.UPSTREAM_OVERLOADED
    wires[0].close()
    await ends[0].until(lost=True)
    again = await upgraded(upstream, group)
    for wire in (wires[1], again.wire):
        wire.abort()
    await nothing_is_left(upstream)


async def test_an_idle_connection_makes_room_for_a_wire(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    group = of(server, terms=replace(GROUP, limits=PoolLimits(max_connections=1, wait=1)))
    await answered(upstream, request(group))
    echoing(server)
    (await upgraded(upstream, group)).wire.abort()
    await nothing_is_left(upstream)


async def test_a_listener_that_pauses_stops_the_server_m14(
    upstream: Http1Upstream, server: RawUpstream, end: End
) -> None:
    sent = 0

    async def much(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(_SWITCH)
        for _ in range(512):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536
        writer.close()

    server.answer = much
    wire = (await upgraded(upstream, server)).wire
    wire.attach(end)
    await end.until(1)
    wire.pause()
    heard, before = len(end.octets), -1
    while sent > before:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 24 * 2**20
    assert len(end.octets) == heard
    wire.resume()
    await end.until(512 * 65536)


async def test_nothing_is_read_before_anybody_listens_m14(
    upstream: Http1Upstream, server: RawUpstream, end: End
) -> None:
    sent = 0

    async def much(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(_SWITCH)
        for _ in range(512):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536
        writer.close()

    server.answer = much
    wire = (await upgraded(upstream, server)).wire
    before = -1
    while sent > before:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 24 * 2**20
    wire.attach(end)
    await end.until(512 * 65536, lost=True)


async def test_a_server_that_takes_nothing_is_said_so_m14(
    upstream: Http1Upstream, server: RawUpstream, end: End
) -> None:
    gate = asyncio.Event()

    async def deaf(writer: asyncio.StreamWriter) -> None:
        writer.write(_SWITCH)
        await writer.drain()
        await gate.wait()

    async def keep(reader: asyncio.StreamReader) -> None:
        server.reader = reader

    server.on_body, server.answer = keep, deaf
    wire = (await upgraded(upstream, server)).wire
    wire.attach(end)
    written = 0
    while end.flow == [] and written < 64 * 2**20:
        wire.write(b"x" * 65536)
        written += 65536
        await asyncio.sleep(0)
    assert end.flow == [False]
    reader = server.reader
    assert reader is not None
    read = 0
    while read < written:
        read += len(await asyncio.wait_for(reader.read(2**20), 5))
    await asyncio.sleep(0.05)
    assert end.flow == [False, True]
    wire.abort()
    gate.set()


async def test_closing_sends_what_was_written(
    upstream: Http1Upstream, server: RawUpstream, end: End
) -> None:
    read = b""
    over = asyncio.Event()

    async def keep(reader: asyncio.StreamReader) -> None:
        server.reader = reader

    async def listen(writer: asyncio.StreamWriter) -> None:
        nonlocal read
        writer.write(_SWITCH)
        await writer.drain()
        await asyncio.sleep(0.1)
        assert server.reader is not None
        read = await server.reader.read()
        over.set()

    server.on_body, server.answer = keep, listen
    wire = (await upgraded(upstream, server)).wire
    wire.attach(end)
    wire.write(b"x" * 10**6)
    wire.close()
    wire.write(b"not any more")
    await asyncio.wait_for(over.wait(), 5)
    assert read == b"x" * 10**6
    await end.until(lost=True)
    wire.write(b"nor now")
    wire.close()
    wire.abort()
    assert end.losses == 1


async def test_a_server_that_dies_is_noticed_f29(
    upstream: Http1Upstream, server: RawUpstream, end: End
) -> None:
    async def die(writer: asyncio.StreamWriter) -> None:
        writer.write(_SWITCH + b"last words")
        await writer.drain()
        writer.transport.abort()

    server.answer = die
    wire = (await upgraded(upstream, server)).wire
    await asyncio.sleep(0.1)
    wire.attach(end)
    await end.until(10, lost=True)
    assert end.octets == b"last words"
    assert end.losses == 1
    await nothing_is_left(upstream)


async def test_callers_who_leave_during_the_handshake_leave_nothing_f17(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    async def keep(reader: asyncio.StreamReader) -> None:
        server.reader = reader

    async def later(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005)
        writer.write(_SWITCH)
        await writer.drain()

    server.on_body, server.answer = keep, later
    for number in range(200):
        call = asyncio.create_task(upstream.upgrade(asking(server)))
        await asyncio.sleep(0.0001 * (number % 100))
        call.cancel()
        (found,) = await asyncio.gather(call, return_exceptions=True)
        if isinstance(found, Upgraded):
            found.wire.abort()
    await nothing_is_left(upstream)


async def test_closing_the_client_loses_the_wires(server: RawUpstream, end: End) -> None:
    echoing(server)
    upstream = Http1Upstream()
    (await upgraded(upstream, server)).wire.attach(end)
    await upstream.aclose()
    await end.until(lost=True)
    assert end.losses == 1
