"""Bodies pass in constant memory, both ways, and end when either side leaves (M12, M14, M16)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.edge.upstream_group import Timeouts
from gateway.errors import Code, Unavailable
from gateway.ports import Upstream
from tests.support.raw_upstream import OK, RawUpstream
from tests.support.upstream_calls import GROUP, answered, of, pieces, request, stream_of

_PIECE = b"x" * 65536
_CHUNK = b"10000\r\n" + _PIECE + b"\r\n"
# What kernel and transports may hold between two loopback sockets whose reader sleeps.
_IN_BETWEEN = 24 * 2**20


class Endless:
    """A body that counts how much of it was asked for."""

    def __init__(self, parts: int) -> None:
        self.left = parts
        self.taken = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        self.taken += len(_PIECE)
        await asyncio.sleep(0)
        return _PIECE


async def test_a_slow_browser_slows_the_upstream_down_f23_m14(
    upstream: Upstream, server: RawUpstream
) -> None:
    sent = 0

    async def much(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(1024):
            writer.write(_CHUNK)
            await writer.drain()
            sent += len(_PIECE)
        writer.write(b"0\r\n\r\n")

    server.answer = much
    times = Timeouts(1, 1, idle=0.2)  # the upstream is not to blame for the browser's pauses
    answer = await upstream.send(request(of(server, terms=replace(GROUP, timeouts=times))), None)
    body = aiter(stream_of(answer))
    read = len(await anext(body))
    before = -1
    while sent > before:
        before = sent
        await asyncio.sleep(0.3)
    assert sent < _IN_BETWEEN
    async for piece in body:
        read += len(piece)
    assert read == 1024 * len(_PIECE)
    server.answer = OK
    assert (await answered(upstream, request(server)))[2] == b"ok"


async def test_a_slow_upstream_slows_the_browser_down_f23_m14(
    upstream: Upstream, server: RawUpstream
) -> None:
    gate = asyncio.Event()
    read = 0

    async def later(reader: asyncio.StreamReader) -> None:
        nonlocal read
        await gate.wait()
        while read < 1024 * len(_PIECE):
            read += len(await reader.read(2**20))

    server.on_body = later
    length = ((b"content-length", b"%d" % (1024 * len(_PIECE))),)
    body = Endless(1024)
    times = Timeouts(1, 30, idle=10)
    group = of(server, terms=replace(GROUP, timeouts=times))
    call = asyncio.create_task(
        answered(upstream, request(group, method="POST", fields=length), body)
    )
    before = -1
    while body.taken > before:
        before = body.taken
        await asyncio.sleep(0.3)
    assert before < _IN_BETWEEN
    gate.set()
    assert (await call)[2] == b"ok"
    assert read == body.taken == 1024 * len(_PIECE)


async def test_closing_the_body_closes_the_exchange_m14(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def for_ever(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            writer.write(b"5\r\nagain\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)

    server.answer = for_ever
    for read_some in (True, False):  # begun or not
        server.lost.clear()
        answer = await upstream.send(request(server), None)
        if read_some:
            await anext(aiter(stream_of(answer)))
        await stream_of(answer).aclose()
        await asyncio.wait_for(server.lost.wait(), 5)
        await stream_of(answer).aclose()  # harmless


async def test_closing_a_body_that_has_come_keeps_the_connection(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def in_two(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"ok")

    server.answer = in_two
    answer = await upstream.send(request(server), None)
    await asyncio.sleep(0.3)
    await stream_of(answer).aclose()
    server.answer = OK
    assert (await answered(upstream, request(server)))[2] == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize("closing", [b"", b"connection: close\r\n"])
async def test_an_early_refusal_is_delivered_and_the_upload_stopped_m16(
    upstream: Upstream, server: RawUpstream, closing: bytes
) -> None:
    async def refuse(reader: asyncio.StreamReader) -> None:
        await reader.readexactly(10)

    server.on_body = refuse
    server.answer = b"HTTP/1.1 401 X\r\n" + closing + b"content-length: 2\r\n\r\nno"
    body = Endless(100_000)
    answer = await asyncio.wait_for(answered(upstream, request(server, method="POST"), body), 10)
    assert (answer[0], answer[2]) == (401, b"no")
    taken = body.taken
    await asyncio.sleep(0.2)
    assert body.taken == taken < 100_000 * len(_PIECE)
    server.on_body, server.answer = None, OK
    assert (await answered(upstream, request(server)))[2] == b"ok"
    assert server.connections == 2  # the first one is out of step


async def test_an_early_answer_while_the_browser_pauses_is_delivered_m16(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def never_ending() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(3600)

    async def nothing(reader: asyncio.StreamReader) -> None:
        await reader.readexactly(5)

    server.on_body = nothing
    server.answer = b"HTTP/1.1 413 X\r\ncontent-length: 2\r\n\r\nno"
    found = await asyncio.wait_for(
        answered(upstream, request(server, method="POST"), never_ending()), 5
    )
    assert found[0] == 413


async def test_an_answer_may_begin_while_the_upload_goes_on(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def nothing(reader: asyncio.StreamReader) -> None:
        server.reader = reader

    async def echo(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        assert server.reader is not None
        while size := int((await server.reader.readuntil(b"\n")).strip(), 16):
            piece = await server.reader.readexactly(size)
            await server.reader.readexactly(2)
            writer.write(b"%x\r\n" % size + piece + b"\r\n")
            await writer.drain()
        await server.reader.readuntil(b"\n")
        writer.write(b"0\r\n\r\n")

    heard = asyncio.Event()

    async def in_turns() -> AsyncIterator[bytes]:
        yield b"one"
        await heard.wait()  # the second goes out only when the first has come back
        yield b"two"

    server.on_body, server.answer = nothing, echo
    answer = await upstream.send(request(server, method="POST"), in_turns())
    body = aiter(stream_of(answer))
    assert await anext(body) == b"one"
    heard.set()
    assert b"".join([piece async for piece in body]) == b"two"
    server.on_body, server.answer = None, OK
    assert (await answered(upstream, request(server)))[2] == b"ok"
    assert server.connections == 1


class BrowserGone(Exception):
    """What a body raises when its browser has left."""


async def test_what_breaks_the_upload_off_reaches_the_caller_and_the_upstream_m14(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0.05)
        raise BrowserGone

    for fields in ((), ((b"content-length", b"5"),)):
        server.lost.clear()
        with pytest.raises(BrowserGone):
            await answered(upstream, request(server, method="POST", fields=fields), breaking())
        await asyncio.wait_for(server.lost.wait(), 5)
    assert server.bodies == []
    assert (await answered(upstream, request(server)))[2] == b"ok"


@pytest.mark.parametrize("media", [b"text/event-stream", b"Text/Event-Stream; charset=utf-8"])
async def test_an_event_stream_may_be_silent_for_as_long_as_it_likes_p8(
    upstream: Upstream, server: RawUpstream, media: bytes
) -> None:
    async def events(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: " + media + b"\r\n\r\n"
        )
        for _ in range(2):
            writer.write(b"9\r\ndata: x\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.5)
        writer.write(b"0\r\n\r\n")

    server.answer = events
    times = Timeouts(1, 1, idle=0.1, total=0.2)
    group = of(server, terms=replace(GROUP, timeouts=times))
    assert (await answered(upstream, request(group)))[2] == b"data: x\n\n" * 2


async def test_an_upstream_that_dies_in_an_event_stream_is_noticed_m12(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def events(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n"
            b"\r\n9\r\ndata: x\n\n\r\n"
        )
        await writer.drain()
        writer.close()

    server.answer = events
    answer = await upstream.send(request(server), None)
    body = aiter(stream_of(answer))
    assert await anext(body) == b"data: x\n\n"
    with pytest.raises(Unavailable) as failure:
        await anext(body)
    assert failure.value.code is Code.UPSTREAM_PROTOCOL


async def test_many_answers_under_way_keep_to_their_own_octets(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def echo(writer: asyncio.StreamWriter) -> None:
        name = server.latest[writer].split(b" ")[1]
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(5):
            writer.write(b"%x\r\n%b\r\n" % (len(name), name))
            await writer.drain()
            await asyncio.sleep(0.002)
        writer.write(b"0\r\n\r\n")

    server.answer = echo

    async def one(number: int) -> None:
        target = b"/%d" % number
        answer = await answered(upstream, request(server, target), pieces(b"x" * number))
        assert answer[2] == target * 5

    await asyncio.gather(*[one(number) for number in range(1, 40)])
