"""Every wait for an upstream has an end, and each end its code (F19, M13)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from gateway.edge.upstream_group import PoolLimits, Timeouts, UpstreamGroup, UpstreamTls
from gateway.errors import Code
from gateway.ports import Upstream
from tests.support.processes import free_port
from tests.support.raw_upstream import OK, RawUpstream, raw_upstream
from tests.support.upstream_calls import GROUP, answered, failure_of, of, pieces, request

_LONG = 60.0


def on(times: Timeouts, *servers: RawUpstream | str) -> UpstreamGroup:
    return of(*servers, terms=replace(GROUP, timeouts=times))


@pytest.fixture
def full() -> Iterator[int]:
    """A port whose queue is full: no connection is refused, and none comes about."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003  the socket module's own signature
            filler.connect_ex(("127.0.0.1", port))
        yield port


async def ask(upstream: Upstream, group: UpstreamGroup, method: str = "GET") -> Code:
    return await asyncio.wait_for(failure_of(upstream, request(group, method=method)), 5)


async def test_a_refused_connection_is_said_at_once(upstream: Upstream) -> None:
    group = on(Timeouts(_LONG, _LONG, _LONG), f"http://127.0.0.1:{free_port()}")
    assert await ask(upstream, group) is Code.UPSTREAM_CONNECT


async def test_a_name_that_does_not_exist_is_no_connection(upstream: Upstream) -> None:
    group = on(Timeouts(4, _LONG, _LONG), "http://no-such-host.invalid:80")
    assert await ask(upstream, group) is Code.UPSTREAM_CONNECT


async def test_a_connection_that_does_not_come_about_has_a_deadline(
    upstream: Upstream, full: int
) -> None:
    group = on(Timeouts(0.2, _LONG, _LONG), f"http://127.0.0.1:{full}")
    assert await ask(upstream, group) is Code.UPSTREAM_CONNECT


async def test_tls_belongs_to_the_connection_and_its_deadline(upstream: Upstream) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    group = replace(on(Timeouts(0.2, _LONG, _LONG), f"https://127.0.0.1:{port}"), tls=UpstreamTls())
    assert await ask(upstream, group) is Code.UPSTREAM_CONNECT
    server.close()
    await server.wait_closed()


async def test_a_header_that_does_not_come_has_a_deadline(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(200):
            writer.write(b"x: y\r\n")  # an octet now and then does not prolong it
            await writer.drain()
            await asyncio.sleep(0.05)

    server.answer = slowly
    group = on(Timeouts(_LONG, 0.3, _LONG), server)
    assert await ask(upstream, group, "POST") is Code.UPSTREAM_TIMEOUT
    await asyncio.wait_for(server.lost.wait(), 5)
    assert len(server.heads) == 1  # a request that may have been acted on is not repeated


async def test_interim_answers_do_not_prolong_it_m10(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def hints(writer: asyncio.StreamWriter) -> None:
        for _ in range(15):
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.2)

    server.answer = hints
    group = on(Timeouts(_LONG, 0.5, _LONG), server)
    assert await asyncio.wait_for(ask(upstream, group), 2.5) is Code.UPSTREAM_TIMEOUT


async def test_a_pause_within_the_answer_has_a_deadline(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def stuck(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        await writer.drain()
        await asyncio.sleep(0.5)

    server.answer = stuck
    group = on(Timeouts(_LONG, _LONG, 0.2), server)
    assert await ask(upstream, group) is Code.UPSTREAM_TIMEOUT
    await asyncio.wait_for(server.lost.wait(), 5)


async def test_a_body_that_trickles_is_no_pause(upstream: Upstream, server: RawUpstream) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
        for _ in range(10):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    server.answer = trickle
    group = on(Timeouts(_LONG, _LONG, 0.5), server)
    assert (await answered(upstream, request(group)))[2] == b"x" * 10


async def test_the_whole_exchange_has_a_deadline(upstream: Upstream, server: RawUpstream) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not server.lost.is_set():
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    server.answer = trickle
    group = on(Timeouts(_LONG, _LONG, _LONG, total=0.4), server)
    assert await ask(upstream, group) is Code.UPSTREAM_TIMEOUT


async def test_waiting_for_a_connection_counts(upstream: Upstream, server: RawUpstream) -> None:
    async def mute(writer: asyncio.StreamWriter) -> None:
        await server.lost.wait()

    server.answer = mute
    limits = PoolLimits(max_connections=1, wait=_LONG)
    slow = replace(on(Timeouts(_LONG, _LONG, _LONG, total=0.3), server), limits=limits)
    codes = await asyncio.gather(*[ask(upstream, slow) for _ in range(3)])
    assert codes == [Code.UPSTREAM_TIMEOUT] * 3


async def test_an_upstream_that_takes_nothing_has_a_deadline(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def deaf(reader: asyncio.StreamReader) -> None:
        await server.lost.wait()

    server.on_body = deaf
    group = on(Timeouts(_LONG, _LONG, 0.3), server)
    what = request(group, method="POST")
    body = pieces(*[b"x" * 2**20] * 64)
    code = await asyncio.wait_for(failure_of(upstream, what, body), 10)
    assert code is Code.UPSTREAM_TIMEOUT


async def test_a_browser_that_pauses_has_a_deadline_and_the_upstream_no_blame(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def paused() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(_LONG)

    async with raw_upstream() as other:
        group = on(Timeouts(1, 1, 0.1), server, other)
        for _ in range(8):
            code = await asyncio.wait_for(
                failure_of(upstream, request(group, method="POST"), paused()), 5
            )
            assert code is Code.UPSTREAM_TIMEOUT
        for _ in range(4):
            await answered(upstream, request(group))
        assert len(server.heads) == len(other.heads)  # neither has been left alone


async def test_a_stalled_upstream_uses_up_its_own_connections_only_f19(
    upstream: Upstream, server: RawUpstream
) -> None:
    async def mute(writer: asyncio.StreamWriter) -> None:
        await server.lost.wait()

    server.answer = mute
    async with raw_upstream() as well:
        limits = PoolLimits(max_connections=4, wait=0.3)
        group = replace(on(Timeouts(1, 1, 1), server), limits=limits)
        stuck = [asyncio.create_task(ask(upstream, group)) for _ in range(20)]
        await asyncio.sleep(0.05)
        for _ in range(20):
            found = await asyncio.wait_for(answered(upstream, request(well)), 0.9)
            assert found[2] == b"ok"
        codes = set(await asyncio.gather(*stuck))
    assert codes == {Code.UPSTREAM_TIMEOUT, Code.UPSTREAM_OVERLOADED}
    server.answer = OK
    assert (await answered(upstream, request(server)))[2] == b"ok"
