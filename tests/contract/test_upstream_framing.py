"""Malformed framing on real connections: the answer is refused, and the next request is right.

The whole table of what is malformed is in `tests/support/answer_cases.py`; here is one of each
kind, on connections that were in use before (F20, F21).
"""

import asyncio
import socket
import struct

import pytest

from gateway.errors import Code, Refused
from gateway.ports import Upstream
from tests.support.raw_upstream import OK, RawUpstream
from tests.support.upstream_calls import answered, failure_of, pieces, request, stream_of

_HEAD = b"HTTP/1.1 200 OK\r\n"


async def asks_again(upstream: Upstream, server: RawUpstream) -> None:
    """The next requests are parsed right, whatever went before."""
    for number in range(3):
        body = b"answer %d" % number
        server.answer = b"HTTP/1.1 201 X\r\nx: %d\r\ncontent-length: 8\r\n\r\n" % number + body
        found = await answered(upstream, request(server))
        assert found == (201, ((b"x", b"%d" % number), (b"content-length", b"8")), body)


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n" + _HEAD + b"content-length: 2\r\n\r\nok",
        b"RTSP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 999 X\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\x00K\r\ncontent-length: 2\r\n\r\nok",
        _HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        _HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nok",
        _HEAD + b"content-length: 18446744073709551615\r\n\r\nok",
        _HEAD + b"transfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        _HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        _HEAD + b"transfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
        _HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nokX\r\n0\r\n\r\n",
        _HEAD + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        _HEAD + b"x: a\rb\r\ncontent-length: 2\r\n\r\nok",
        _HEAD + b"x: a\x00b\r\ncontent-length: 2\r\n\r\nok",
        _HEAD + b"x: " + b"a" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok",
        _HEAD + b"x: a\r\n" * 1000 + b"content-length: 2\r\n\r\nok",
        b"HTTP/1.1 103 X\r\n\r\n" * 100 + _HEAD + b"content-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nok",
        b"HTTP/1.1 100 X\r\ncontent-length: 6\r\n\r\nHTTP/1",
    ],
)
async def test_a_malformed_answer_is_refused_and_its_connection_closed_f21_m13(
    upstream: Upstream, server: RawUpstream, octets: bytes
) -> None:
    await answered(upstream, request(server))  # so that there is a connection to be reused
    server.answer = octets
    assert await failure_of(upstream, request(server)) is Code.UPSTREAM_PROTOCOL
    await asyncio.wait_for(server.lost.wait(), 5)
    assert server.connections == 1
    await asks_again(upstream, server)
    assert server.connections == 2


@pytest.mark.parametrize(
    "octets",
    [
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OK + b"\r\n",
        _HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + OK,
        _HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
    ],
)
async def test_an_answer_behind_the_answer_is_given_to_nobody(
    upstream: Upstream, server: RawUpstream, octets: bytes
) -> None:
    server.answer = octets
    assert (await answered(upstream, request(server)))[2] == b"ok"
    await asks_again(upstream, server)
    assert server.connections == 2


async def test_an_answer_nobody_asked_for_ends_the_connection_it_came_on(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def twice(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    server.answer = twice
    assert (await answered(upstream, request(server)))[2] == b"ok"
    await asyncio.wait_for(server.lost.wait(), 5)
    await asks_again(upstream, server)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("status", [204, 304])
async def test_without_a_body_the_next_request_follows_at_once_m9(
    upstream: Upstream, server: RawUpstream, method: str, status: int
) -> None:
    server.answer = b"HTTP/1.1 %d X\r\netag: x\r\ncontent-length: 0\r\n\r\n" % status
    assert (await answered(upstream, request(server, method=method)))[0] == status
    await asks_again(upstream, server)
    assert server.connections == 1


async def test_an_answer_to_head_is_its_fields_m9(upstream: Upstream, server: RawUpstream) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    answer = await upstream.send(request(server, method="HEAD"), None)
    assert answer.body == b""
    assert answer.fields == ((b"content-length", b"1000"),)
    await asks_again(upstream, server)
    assert server.connections == 1


@pytest.mark.parametrize("cut", ["close", "reset"])
async def test_only_an_end_in_order_ends_a_body_without_length_m12(
    upstream: Upstream, server: RawUpstream, cut: str
) -> None:
    async def until_the_end(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()
        await asyncio.sleep(0.1)
        if cut == "reset":
            plain = writer.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()

    server.answer = until_the_end
    if cut == "reset":
        assert await failure_of(upstream, request(server)) is Code.UPSTREAM_PROTOCOL
    else:
        assert (await answered(upstream, request(server)))[2] == b"all of it"
    await asks_again(upstream, server)


_WHOLE = _HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


@pytest.mark.parametrize("cut", range(0, len(_WHOLE), 3))
async def test_an_answer_cut_anywhere_never_looks_whole_f20_m12(
    upstream: Upstream, server: RawUpstream, cut: int
) -> None:
    async def some(writer: asyncio.StreamWriter) -> None:
        writer.write(_WHOLE[:cut])
        await writer.drain()
        writer.close()

    server.answer = some
    assert await failure_of(upstream, request(server)) is Code.UPSTREAM_PROTOCOL
    await asks_again(upstream, server)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "HEAD"])
async def test_a_body_is_framed_whatever_the_method_m15(
    upstream: Upstream, server: RawUpstream, method: str
) -> None:
    server.answer = b"HTTP/1.1 204 X\r\n\r\n"
    length = ((b"content-length", b"5"),)
    await answered(upstream, request(server, method=method, fields=length), pieces(b"he", b"llo"))
    await answered(upstream, request(server, method=method), pieces(b"he", b"llo"))
    await answered(upstream, request(server, method=method), pieces())
    assert server.bodies == [b"hello", b"hello", b""]
    assert server.connections == 1
    await asks_again(upstream, server)


@pytest.mark.parametrize(
    "parts", [(b"hell",), (b"hello!",), (b"hel", b"lo", b"!"), (), (b"he", b"l"), (b"h", b"e" * 99)]
)
async def test_a_body_of_another_length_is_no_request_and_no_desync_m15(
    upstream: Upstream, server: RawUpstream, parts: tuple[bytes, ...]
) -> None:
    what = request(server, method="POST", fields=((b"content-length", b"5"),))
    with pytest.raises(Refused) as refusal:
        await answered(upstream, what, pieces(*parts))
    assert refusal.value.code is Code.BODY_MALFORMED
    await asks_again(upstream, server)
    assert all(not body for body in server.bodies)  # never was a body complete


async def test_a_small_request_with_a_body_is_one_packet(
    upstream: Upstream, server: RawUpstream
) -> None:
    what = request(server, method="POST", fields=((b"content-length", b"5"),))
    answer = await upstream.send(what, pieces(b"hello"))
    assert answer.body == b"ok"
    assert server.bodies == [b"hello"]


async def test_an_answer_that_came_at_once_is_octets_and_one_that_goes_on_is_a_stream(
    upstream: Upstream, server: RawUpstream
) -> None:
    for framing in (
        b"content-length: 2\r\n\r\nok",
        b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ):
        server.answer = _HEAD + framing
        assert (await upstream.send(request(server), None)).body == b"ok"

    async def slowly(writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"content-length: 2\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"ok")

    server.answer = slowly
    answer = await upstream.send(request(server), None)
    assert [piece async for piece in stream_of(answer)] == [b"ok"]
    await asks_again(upstream, server)
    assert server.connections == 1
