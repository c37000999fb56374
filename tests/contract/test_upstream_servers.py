"""Several servers of a group: work is shared, and a bad one is left alone (F19)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.edge.upstream_group import HealthCheck, PoolLimits, Timeouts, UpstreamGroup
from gateway.errors import Code
from tests.support.processes import free_port
from tests.support.raw_upstream import OK, RawUpstream, raw_upstream
from tests.support.upstream_calls import (
    GROUP,
    answered,
    failure_of,
    of,
    pieces,
    request,
    stream_of,
)


@pytest.fixture
async def three() -> AsyncIterator[list[RawUpstream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(raw_upstream()) for _ in range(3)]


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


def counts(servers: list[RawUpstream]) -> list[int]:
    return [len(server.heads) for server in servers]


async def test_equal_servers_take_turns(upstream: Http1Upstream, three: list[RawUpstream]) -> None:
    for _ in range(12):
        await answered(upstream, request(of(*three)))
    assert counts(three) == [4, 4, 4]
    assert {server.connections for server in three} == {1}


async def test_all_of_them_are_sent_the_first_ones_host(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    for _ in range(3):
        await answered(upstream, request(of(*three)))
    hosts = [server.lines()[1] for server in three]
    assert hosts == [b"host: " + three[0].origin.removeprefix("http://").encode()] * 3


async def test_the_server_with_the_fewest_requests_under_way_gets_the_next(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    async def hold(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(1)

    three[0].answer = three[1].answer = hold
    held = []
    for _ in range(3):  # one each; the third server is done with its own at once
        answer = await upstream.send(request(of(*three)), None)
        if not isinstance(answer.body, bytes):
            held.append(answer)
    assert len(held) == 2
    for _ in range(10):
        await answered(upstream, request(of(*three)))
    assert counts(three) == [1, 1, 11]
    for answer in held:
        await stream_of(answer).aclose()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_server_that_cannot_be_reached_costs_nobody_an_answer(
    upstream: Http1Upstream, three: list[RawUpstream], method: str
) -> None:
    group = of(nowhere(), three[0], nowhere(), three[1])
    for number in range(12):
        body = pieces(b"%d" % number) if method == "POST" else None
        found = await answered(upstream, request(group, method=method), body)
        assert found[2] == b"ok"
    assert sum(counts(three)) == 12  # each request was seen once
    out = [state.is_out for state in upstream.states()]
    assert out == [True, False, True, False]


async def test_a_server_that_fails_in_a_row_is_left_alone_and_tried_again_later(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    bad, good = three[:2]
    bad.answer = b"garbage\r\n\r\n"
    group = of(bad, good)
    found: Counter[object] = Counter()
    for _ in range(40):
        try:
            found[(await answered(upstream, request(group)))[0]] += 1
        except Exception as failure:  # noqa: BLE001  counted, whatever it is
            found[type(failure).__name__] += 1
    assert found == {200: 37, "Unavailable": 3}
    assert len(bad.heads) == 3
    await asyncio.sleep(1.1)  # the first pause
    bad.answer = OK
    for _ in range(10):
        await answered(upstream, request(group))
    assert len(bad.heads) >= 7  # one trial, and then its share again


async def test_a_trial_that_fails_costs_one_request(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    bad, good = three[:2]
    bad.answer = b"garbage\r\n\r\n"
    group = of(bad, good)
    for _ in range(20):
        await asyncio.gather(answered(upstream, request(group)), return_exceptions=True)
    assert len(bad.heads) == 3
    await asyncio.sleep(1.1)
    calls = [answered(upstream, request(group)) for _ in range(20)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, Exception) for one in found) == 1
    assert len(bad.heads) == 4


async def test_answers_with_an_error_status_are_answers(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    for server in three:
        server.answer = b"HTTP/1.1 503 X\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
    for _ in range(12):
        assert (await answered(upstream, request(of(*three))))[0] == 503
    assert counts(three) == [4, 4, 4]


async def test_when_all_are_left_alone_one_is_asked_all_the_same(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    group = of(*three)
    for server in three:
        server.answer = b"garbage\r\n\r\n"
    for _ in range(12):
        assert await failure_of(upstream, request(group)) is Code.UPSTREAM_PROTOCOL
    assert all(state.is_out for state in upstream.states())
    for server in three:
        server.answer = OK
    for _ in range(6):
        assert (await answered(upstream, request(group)))[2] == b"ok"


async def test_when_none_can_be_reached_each_is_tried_once(upstream: Http1Upstream) -> None:
    group = of(nowhere(), nowhere(), nowhere())
    code = await asyncio.wait_for(failure_of(upstream, request(group)), 5)
    assert code is Code.UPSTREAM_CONNECT


async def test_a_single_server_is_never_left_alone(
    upstream: Http1Upstream, server: RawUpstream
) -> None:
    server.answer = b"garbage\r\n\r\n"
    for _ in range(10):
        assert await failure_of(upstream, request(server)) is Code.UPSTREAM_PROTOCOL
    server.answer = OK
    assert (await answered(upstream, request(server)))[2] == b"ok"


async def test_a_request_a_dying_server_cannot_have_seen_goes_to_another_f22(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        dying.close()  # no new connections,
        writer.close()  # and no answer on this one

    dying = await asyncio.start_server(serve, "127.0.0.1", 0)
    group = of(f"http://127.0.0.1:{dying.sockets[0].getsockname()[1]}", three[0])
    for _ in range(8):
        assert (await answered(upstream, request(group)))[2] == b"ok"
    await dying.wait_closed()


def checked(*servers: RawUpstream) -> UpstreamGroup:
    check = HealthCheck(b"/health", interval=0.1, timeout=0.5)
    terms = replace(
        GROUP, health=check, timeouts=Timeouts(1, 2, 2), limits=PoolLimits(max_connections=2)
    )
    return of(*servers, terms=terms)


def answering_checks_with(server: RawUpstream, status: int) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        is_check = server.latest[writer].startswith(b"GET /health ")
        head = b"HTTP/1.1 %d X\r\n" % (status if is_check else 200)
        writer.write(head + b"content-length: 2\r\n\r\nok")
        await writer.drain()

    server.answer = answer


def requests(server: RawUpstream) -> int:
    return sum(not head.startswith(b"GET /health ") for head in server.heads)


async def test_a_server_that_says_it_is_ill_gets_nothing_until_it_is_well(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    ill, well = three[:2]
    answering_checks_with(ill, 503)
    answering_checks_with(well, 204)
    group = checked(ill, well)
    await answered(upstream, request(group))  # the checks begin with the first request
    await asyncio.sleep(0.3)
    before = requests(ill)
    for _ in range(10):
        await answered(upstream, request(group))
    assert requests(ill) == before
    answering_checks_with(ill, 200)
    await asyncio.sleep(0.4)
    for _ in range(10):
        await answered(upstream, request(group))
    assert requests(ill) >= before + 4


async def test_a_check_carries_no_token_and_takes_no_connection_of_the_pool(
    upstream: Http1Upstream, three: list[RawUpstream]
) -> None:
    server = three[0]
    group = checked(server)
    await answered(upstream, request(group, fields=((b"authorization", b"Bearer x"),)))
    await asyncio.sleep(0.3)
    checks = [head for head in server.heads if head.startswith(b"GET /health ")]
    assert len(checks) >= 2
    assert not any(b"authorization" in head.lower() for head in checks)
    (state,) = upstream.states()
    assert (state.busy, state.idle) == (0, 1)


async def test_checks_end_with_the_client(three: list[RawUpstream]) -> None:
    upstream = Http1Upstream()
    await answered(upstream, request(checked(three[0])))
    await asyncio.sleep(0.15)
    await upstream.aclose()
    await asyncio.sleep(0.1)
    before = len(three[0].heads)
    await asyncio.sleep(0.4)
    assert len(three[0].heads) == before
