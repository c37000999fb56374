"""Connections are used again, waited for in turn, and never lost (H13; F17, F19, F22)."""

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.edge.upstream_group import PoolLimits, Timeouts, UpstreamGroup
from gateway.errors import Code, Unavailable
from tests.support.raw_upstream import OK, RawUpstream
from tests.support.upstream_calls import (
    GROUP,
    answered,
    failure_of,
    of,
    pieces,
    request,
    stream_of,
)

Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]


def limited(server: RawUpstream, limits: PoolLimits) -> UpstreamGroup:
    return of(server, terms=replace(GROUP, limits=limits))


def silently_closing(server: RawUpstream, after: int) -> Answering:
    """Answer so many requests per connection; close it, unsaid, when one more comes."""
    served: dict[asyncio.StreamWriter, int] = {}

    async def answer(writer: asyncio.StreamWriter) -> None:
        served[writer] = served.get(writer, 0) + 1
        if served[writer] > after:
            writer.close()
        else:
            writer.write(OK)
            await writer.drain()

    return answer


async def settled(upstream: Http1Upstream) -> None:
    """Wait until nothing is under way."""
    for _ in range(200):
        if all(state.busy == state.waiting == 0 for state in upstream.states()):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(upstream.states())


async def test_one_connection_serves_one_request_after_another(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    for method in ("GET", "POST", "HEAD", "DELETE") * 5:
        server.answer = b"HTTP/1.1 204 X\r\n\r\n"
        await answered(upstream, request(server, method=method))
    assert server.connections == 1
    (state,) = upstream.states()
    assert (state.busy, state.idle, state.waiting) == (0, 1, 0)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nconnection: close", b"HTTP/1.0 200 OK"])
async def test_a_connection_the_server_closes_is_not_used_again(
    upstream: Http1Upstream, server: RawUpstream, head: bytes
) -> None:
    server.answer = head + b"\r\ncontent-length: 2\r\n\r\nok"
    for _ in range(3):
        assert (await answered(upstream, request(server)))[2] == b"ok"
    assert server.connections == 3


async def test_the_connection_used_last_is_used_first(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    seen: list[asyncio.StreamWriter] = []

    async def noting(writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
        await asyncio.sleep(0.05)
        writer.write(OK)

    server.answer = noting
    await asyncio.gather(*[answered(upstream, request(server)) for _ in range(4)])
    for _ in range(6):
        await answered(upstream, request(server))
    assert len(set(map(id, seen[4:]))) == 1


async def test_a_connection_lies_idle_no_longer_than_it_may(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    group = limited(server, PoolLimits(keepalive=0.2))
    await answered(upstream, request(group))
    await asyncio.wait_for(server.lost.wait(), 5)
    await answered(upstream, request(group, method="POST"))
    assert server.connections == 2
    assert upstream.states()[0].idle == 1


async def test_a_connection_lies_idle_no_longer_than_its_server_says(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 0\r\n\r\n"
    await answered(upstream, request(server))
    await asyncio.wait_for(server.lost.wait(), 5)  # by us: the server itself never closes
    server.answer = OK
    await answered(upstream, request(server, method="POST"))
    await answered(upstream, request(server, method="POST"))
    assert server.connections == 2


async def test_a_connection_grows_no_older_than_it_may(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    group = limited(server, PoolLimits(max_age=0.3))
    for _ in range(3):
        await answered(upstream, request(group))
    assert server.connections == 1
    await asyncio.sleep(0.4)
    await answered(upstream, request(group))
    assert server.connections == 2


async def test_who_waits_is_served_in_turn(upstream: Http1Upstream, server: RawUpstream) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(OK)

    server.answer = slowly
    group = limited(server, PoolLimits(max_connections=1, wait=10))
    await asyncio.gather(*[answered(upstream, request(group, b"/%d" % n)) for n in range(30)])
    assert [head.split(b" ")[1] for head in server.heads] == [b"/%d" % n for n in range(30)]
    assert server.connections == 1


async def test_only_so_many_wait_and_only_so_long(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)
        writer.write(OK)

    server.answer = slowly
    group = limited(server, PoolLimits(max_connections=2, max_waiting=3, wait=0.2))
    calls = [asyncio.create_task(answered(upstream, request(group))) for _ in range(10)]
    await asyncio.sleep(0.1)
    at_once = [call for call in calls if call.done()]
    assert len(at_once) == 5  # two have connections, three wait
    found = await asyncio.gather(*calls, return_exceptions=True)
    codes = [one.code for one in found if isinstance(one, Unavailable)]
    assert codes == [Code.UPSTREAM_OVERLOADED] * 8
    assert (await answered(upstream, request(group)))[2] == b"ok"


async def test_a_full_pool_recovers(upstream: Http1Upstream, server: RawUpstream) -> None:
    async def hold(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(2)

    server.answer = hold
    group = limited(server, PoolLimits(max_connections=4, wait=0.3))
    held = [await upstream.send(request(group), None) for _ in range(4)]
    assert await failure_of(upstream, request(group)) is Code.UPSTREAM_OVERLOADED
    for answer in held:
        await stream_of(answer).aclose()
    server.answer = OK
    assert (await answered(upstream, request(group)))[0] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_request_the_server_cannot_have_seen_is_sent_once_more_h13_f22(
    upstream: Http1Upstream, server: RawUpstream, method: str
) -> None:
    server.answer = silently_closing(server, after=1)
    await answered(upstream, request(server))
    found = await answered(upstream, request(server, method=method))
    assert found[0] == 200
    assert server.connections == 2
    assert len(server.heads) == 3


@pytest.mark.parametrize(
    ("method", "body"),
    [("POST", None), ("PATCH", None), ("PUT", b"x"), ("POST", b"x"), ("GET", b"x")],
)
async def test_what_may_have_been_acted_on_is_never_sent_twice_h13_f22(
    upstream: Http1Upstream, server: RawUpstream, method: str, body: bytes | None
) -> None:
    server.answer = silently_closing(server, after=1)
    await answered(upstream, request(server))
    what = request(server, method=method)
    source = None if body is None else pieces(body)
    assert await failure_of(upstream, what, source) is Code.UPSTREAM_PROTOCOL
    assert len(server.heads) == 2  # each was seen once
    assert (await answered(upstream, request(server)))[2] == b"ok"


@pytest.mark.parametrize("octets", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 X\r\n\r\n"])
async def test_once_an_octet_of_an_answer_has_come_nothing_is_repeated_h13(
    upstream: Http1Upstream, server: RawUpstream, octets: bytes
) -> None:
    await answered(upstream, request(server))

    async def some(writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()
        writer.close()

    server.answer = some
    assert await failure_of(upstream, request(server)) is Code.UPSTREAM_PROTOCOL
    assert len(server.heads) == 2


async def test_a_fresh_connection_that_closes_is_no_reason_to_repeat_h13(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    server.answer = silently_closing(server, after=0)
    assert await failure_of(upstream, request(server)) is Code.UPSTREAM_PROTOCOL
    assert len(server.heads) == 1


async def test_a_server_that_keeps_no_connection_and_does_not_say_so_works_all_the_same_f22(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    server.answer = silently_closing(server, after=1)
    group = limited(server, PoolLimits(max_connections=3, wait=20))
    for _ in range(5):
        calls = [answered(upstream, request(group)) for _ in range(20)]
        assert {status for status, _, _ in await asyncio.gather(*calls)} == {200}


async def test_connections_closed_while_idle_are_not_used_f5(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    async def then_close(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    server.answer = then_close
    await asyncio.gather(*[answered(upstream, request(server)) for _ in range(4)])
    await asyncio.sleep(0.3)
    server.answer = OK
    assert upstream.states()[0].idle == 0
    for _ in range(4):  # POST: nobody would repeat these
        assert (await answered(upstream, request(server, method="POST")))[2] == b"ok"


async def test_who_leaves_the_line_loses_nobody_a_connection(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(OK)

    server.answer = slowly
    group = limited(server, PoolLimits(max_connections=1, wait=10))
    calls = [asyncio.create_task(answered(upstream, request(group))) for _ in range(40)]
    for number, call in enumerate(calls):
        if number % 3:
            await asyncio.sleep(0.003)
            call.cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, tuple) for one in found) >= 14
    await settled(upstream)
    assert (await answered(upstream, request(group)))[2] == b"ok"


@pytest.mark.parametrize("seed", range(4))
async def test_callers_who_leave_take_nothing_with_them_f17(
    upstream: Http1Upstream, server: RawUpstream, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  reproducible, not secret

    async def somehow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(chance.random() * 0.004)
        match chance.randrange(6):
            case 0:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                for _ in range(10):
                    writer.write(b"x" * 10_000)
                    await writer.drain()
                    await asyncio.sleep(0)
            case 1:
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(chance.random() * 0.004)
                writer.write(b"0\r\n\r\n")
            case 2:
                writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            case 3:
                writer.close()
            case _:
                writer.write(OK)
        await writer.drain()

    server.answer = somehow
    times = Timeouts(5, 5, 5)
    limits = PoolLimits(max_connections=5, wait=5)
    group = of(server, terms=replace(GROUP, timeouts=times, limits=limits))
    failures: list[BaseException] = []

    async def one() -> None:
        size = chance.randrange(3)
        parts = [b"x" * 3000] * size
        fields = ((b"content-length", b"%d" % (3000 * size)),) if chance.random() < 0.5 else ()
        what = request(group, method=chance.choice(["GET", "POST"]), fields=fields)
        body = pieces(*parts) if fields or size else None
        call = asyncio.create_task(answered(upstream, what, body))
        await asyncio.sleep(chance.random() * 0.008)
        call.cancel()
        failures.extend(
            found
            for found in await asyncio.gather(call, return_exceptions=True)
            if isinstance(found, BaseException)
        )

    async def many() -> None:
        for _ in range(40):
            await one()

    await asyncio.gather(*[many() for _ in range(20)])
    assert {type(found) for found in failures} <= {asyncio.CancelledError, Unavailable}
    assert len(failures) > 100
    await settled(upstream)
    server.answer = OK
    assert [(await answered(upstream, request(group)))[0] for _ in range(5)] == [200] * 5
    (state,) = upstream.states()
    assert (state.busy, state.waiting) == (0, 0)
    assert state.idle <= 5
    gc.collect()  # a future whose failure nobody saw would say so now


async def test_closing_ends_everything_at_once(server: RawUpstream) -> None:
    async def mute(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    server.answer = mute
    upstream = Http1Upstream()
    group = limited(server, PoolLimits(max_connections=2, wait=10))
    calls = [asyncio.create_task(answered(upstream, request(group))) for _ in range(4)]
    await asyncio.sleep(0.05)
    await asyncio.wait_for(upstream.aclose(), 5)
    found = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
    assert all(isinstance(one, Unavailable) for one in found)
    assert await failure_of(upstream, request(group)) is Code.UPSTREAM_OVERLOADED
    assert all(state.busy == state.idle == 0 for state in upstream.states())


async def test_equal_groups_share_their_connections(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    for _ in range(5):
        await answered(upstream, request(of(server)))
    assert server.connections == 1
    await answered(upstream, request(of(server, terms=replace(GROUP, timeouts=Timeouts()))))
    assert server.connections == 2  # other terms, other connections
