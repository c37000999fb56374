"""What every `Upstream` keeps to, against a server that counts octets (sections K, L, M)."""

import asyncio

import pytest

from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.edge.messages import UpstreamRequest
from gateway.edge.upstream_group import UpstreamGroup
from gateway.errors import Code, Unavailable
from gateway.ports import Upstream
from tests.support.processes import free_port
from tests.support.raw_upstream import RawUpstream, raw_upstream
from tests.support.upstream_calls import answered, pieces, request, stream_of


@pytest.mark.parametrize(
    "target",
    [
        b"/a%2Fb",
        b"/a//b",
        b"/%61?q=%2F..%2F&&=x",
        b"/x?",
        b"/x?a=b+c%20d",
        b"/;a=b/(c)",
        b"/~user/'quoted'/[1]",
        b"/%E2%82%AC",
        b"/x?a=b?c",
    ],
)
async def test_the_target_goes_out_as_the_octets_given_k4_k5(
    upstream: Upstream, server: RawUpstream, target: bytes
) -> None:
    await answered(upstream, request(server, target))
    assert server.lines()[0] == b"GET " + target + b" HTTP/1.1"


async def test_exactly_the_given_fields_go_out_in_order_l8_l10(
    upstream: Upstream, server: RawUpstream
) -> None:
    given = ((b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3"), (b"x-empty", b""))
    await answered(upstream, request(server, fields=given))
    sent = [line for line in server.lines()[1:] if not line.lower().startswith(b"host")]
    assert [line.lower().replace(b": ", b":") for line in sent] == [
        name + b":" + value for name, value in given
    ]


async def test_answer_fields_keep_their_order_and_their_repeats_l8(
    upstream: Upstream, server: RawUpstream
) -> None:
    server.answer = (
        b"HTTP/1.1 201 Created\r\nSet-Cookie: a=1\r\nX-One: 1\r\nSet-Cookie: b=2\r\n"
        b"content-length: 0\r\n\r\n"
    )
    status, fields, _ = await answered(upstream, request(server))
    assert status == 201
    assert fields == (
        (b"set-cookie", b"a=1"),
        (b"x-one", b"1"),
        (b"set-cookie", b"b=2"),
        (b"content-length", b"0"),
    )


async def test_one_users_upstream_cookie_never_rides_with_anothers_request(
    upstream: Upstream, server: RawUpstream
) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\nset-cookie: user=ada\r\ncontent-length: 0\r\n\r\n"
    await answered(upstream, request(server))
    await answered(upstream, request(server))
    assert b"cookie" not in server.heads[-1].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_k7(
    upstream: Upstream, server: RawUpstream, status: int
) -> None:
    server.answer = (
        f"HTTP/1.1 {status} X\r\nlocation: {server.origin}/elsewhere\r\ncontent-length: 0\r\n\r\n"
    ).encode()
    got, _, _ = await answered(upstream, request(server))
    assert got == status
    assert len(server.heads) == 1


async def test_a_coded_body_comes_back_as_it_came_l10(
    upstream: Upstream, server: RawUpstream
) -> None:
    octets = b"\x1f\x8b\x08\x00not really gzip"
    server.answer = (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(octets)
    ) + octets
    _, fields, body = await answered(upstream, request(server))
    assert body == octets
    assert (b"content-encoding", b"gzip") in fields


async def test_a_body_is_streamed_framed_and_complete(
    upstream: Upstream, server: RawUpstream
) -> None:
    await answered(upstream, request(server, method="POST"), pieces(b"one", b"", b"two"))
    assert server.bodies[-1] == b"onetwo"
    length = ((b"content-length", b"6"),)
    await answered(upstream, request(server, method="PUT", fields=length), pieces(b"abc", b"def"))
    assert server.bodies[-1] == b"abcdef"
    assert b"transfer-encoding" not in server.heads[-1].lower()


async def test_the_answer_begins_before_it_ends(upstream: Upstream, server: RawUpstream) -> None:
    gate = asyncio.Event()

    async def slowly(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await gate.wait()
        writer.write(b"4\r\nlast\r\n0\r\n\r\n")

    server.answer = slowly
    answer = await upstream.send(request(server), None)
    body = aiter(stream_of(answer))
    assert await anext(body) == b"first"
    gate.set()
    assert [piece async for piece in body] == [b"last"]


async def test_nobody_there_is_said_so_m13(upstream: Upstream) -> None:
    port = free_port()
    what = UpstreamRequest(
        "GET", UpstreamGroup((f"http://127.0.0.1:{port}",)), b"/", ((b"host", b"x"),)
    )
    with pytest.raises(Unavailable) as failure:
        await upstream.send(what, None)
    assert failure.value.code is Code.UPSTREAM_CONNECT


@pytest.mark.parametrize(
    "octets",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"",
    ],
)
async def test_what_is_no_answer_is_a_protocol_failure_and_the_next_request_is_right_m13(
    upstream: Upstream, server: RawUpstream, octets: bytes
) -> None:
    async def once(writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        writer.close()

    server.answer = once
    with pytest.raises(Unavailable) as failure:
        await answered(upstream, request(server))
    assert failure.value.code is Code.UPSTREAM_PROTOCOL
    server.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert (await answered(upstream, request(server)))[2] == b"ok"


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_half_an_answer_never_looks_whole_m12(
    upstream: Upstream, server: RawUpstream, octets: bytes
) -> None:
    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()
        writer.close()

    server.answer = half
    answer = await upstream.send(request(server), None)
    with pytest.raises(Unavailable) as failure:
        _ = [piece async for piece in stream_of(answer)]
    assert failure.value.code is Code.UPSTREAM_PROTOCOL


async def test_an_interim_answer_is_not_the_answer_m10(
    upstream: Upstream, server: RawUpstream
) -> None:
    server.answer = (
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    )
    status, fields, body = await answered(upstream, request(server))
    assert (status, body) == (200, b"ok")
    assert fields == ((b"content-length", b"2"),)


async def test_a_proxy_named_in_the_environment_never_sees_a_token_k8(
    server: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_upstream() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.origin)
        adapter = Http1Upstream()
        await answered(adapter, request(server, fields=((b"authorization", b"Bearer x"),)))
        await adapter.aclose()
        assert proxy.heads == []
    assert len(server.heads) == 1
