"""Every answer of `tests/support/answer_cases.py`, through the client, on real sockets (F20, F21).

Whatever came: the answer is whole, or the request fails, and then nothing of it looked whole
(M12); and the next requests of the pool are answered right, on the connection that was kept or on
another one.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from gateway.errors import Code, Unavailable
from gateway.ports import Upstream
from tests.support import answer_cases
from tests.support.raw_upstream import RawUpstream
from tests.support.upstream_calls import request

Packets = list[bytes]
Cutting = Callable[[bytes], Packets]


@dataclass(frozen=True)
class Told:
    """What a client got: `failed` says that what it got does not count."""

    status: int
    body: bytes
    failed: Code | None = None


async def told(upstream: Upstream, server: RawUpstream, method: str = "GET") -> Told:
    try:
        answer = await upstream.send(request(server, method=method), None)
    except Unavailable as failure:
        return Told(0, b"", failure.code)
    if isinstance(answer.body, bytes):
        return Told(answer.status, answer.body)
    body = b""
    try:
        async for piece in answer.body:
            body += piece
    except Unavailable as failure:
        return Told(answer.status, body, failure.code)
    finally:
        await answer.body.aclose()
    return Told(answer.status, body)


def says(server: RawUpstream, packets: Packets, *, then_close: bool = False) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        for packet in packets:
            writer.write(packet)
            await writer.drain()
            await asyncio.sleep(0)
        if then_close:
            writer.close()
        elif writer.is_closing():
            server.lost.set()  # the client had closed it before all was said

    server.answer = answer


async def asks_again(upstream: Upstream, server: RawUpstream) -> None:
    """The next requests are answered with what was said to them (F21)."""
    for number in range(2):
        body = b"answer %d" % number
        server.answer = b"HTTP/1.1 201 X\r\ncontent-length: 8\r\n\r\n" + body
        assert await told(upstream, server, "POST") == Told(201, body)


async def behind_it_has_come(packets: Packets) -> None:
    """What follows an answer in packets of its own is on its way, and then here."""
    if len(packets) > 1:
        await asyncio.sleep(0.02)


def at_once(octets: bytes) -> Packets:
    return [octets]


def in_pieces(octets: bytes) -> Packets:
    """Octet by octet; a long one in a few."""
    step = 1 if len(octets) < 200 else len(octets) // 7
    return [octets[at : at + step] for at in range(0, len(octets), step)]


in_packets = pytest.mark.parametrize("packets_of", [at_once, in_pieces])


@in_packets
@pytest.mark.parametrize(("octets", "status", "body"), answer_cases.STAYS)
async def test_an_answer_is_whole_and_so_is_the_next_on_its_connection(
    upstream: Upstream,
    server: RawUpstream,
    octets: bytes,
    status: int,
    body: bytes,
    packets_of: Cutting,
) -> None:
    says(server, packets_of(octets))
    assert await told(upstream, server) == Told(status, body)
    await asks_again(upstream, server)
    assert server.connections == 1


@in_packets
@pytest.mark.parametrize(("octets", "body"), answer_cases.SURPLUS)
async def test_more_than_the_answer_is_given_to_nobody(
    upstream: Upstream, server: RawUpstream, octets: bytes, body: bytes, packets_of: Cutting
) -> None:
    packets = packets_of(octets)
    says(server, packets)
    assert (await told(upstream, server)).body == body
    await behind_it_has_come(packets)
    await asks_again(upstream, server)
    assert server.connections == 2


@in_packets
@pytest.mark.parametrize("octets", answer_cases.CLOSES)
async def test_after_the_last_answer_of_a_connection_comes_another_connection(
    upstream: Upstream, server: RawUpstream, octets: bytes, packets_of: Cutting
) -> None:
    says(server, packets_of(octets))
    assert await told(upstream, server) == Told(200, b"ab")
    await asks_again(upstream, server)
    assert server.connections == 2


@in_packets
@pytest.mark.parametrize(("octets", "body"), answer_cases.UNTIL_THE_END)
async def test_an_answer_without_a_length_ends_with_its_connection(
    upstream: Upstream, server: RawUpstream, octets: bytes, body: bytes, packets_of: Cutting
) -> None:
    says(server, packets_of(octets), then_close=True)
    found = await told(upstream, server)
    assert (found.body, found.failed) == (body, None)
    await asks_again(upstream, server)
    assert server.connections == 2


@in_packets
@pytest.mark.parametrize(("octets", "stays"), answer_cases.TO_HEAD)
async def test_an_answer_to_head_is_its_head_m9(
    upstream: Upstream, server: RawUpstream, octets: bytes, packets_of: Cutting, *, stays: bool
) -> None:
    packets = packets_of(octets)
    says(server, packets)
    assert await told(upstream, server, "HEAD") == Told(200, b"")
    await behind_it_has_come(packets)
    await asks_again(upstream, server)
    assert server.connections == (1 if stays else 2)


@in_packets
@pytest.mark.parametrize("octets", answer_cases.REFUSED)
async def test_what_is_no_answer_or_more_than_one_is_refused_and_its_connection_closed_m12_m13(
    upstream: Upstream, server: RawUpstream, octets: bytes, packets_of: Cutting
) -> None:
    says(server, packets_of(octets))
    found = await told(upstream, server)
    assert found.failed is Code.UPSTREAM_PROTOCOL
    assert found.body in (b"", b"a", b"ab", b"\r\n")  # what had come before the fault
    await asyncio.wait_for(server.lost.wait(), 5)
    await asks_again(upstream, server)
    assert server.connections == 2


@in_packets
@pytest.mark.parametrize("octets", answer_cases.CUT)
async def test_an_answer_cut_short_never_looks_whole_m12(
    upstream: Upstream, server: RawUpstream, octets: bytes, packets_of: Cutting
) -> None:
    says(server, packets_of(octets), then_close=True)
    found = await told(upstream, server)
    assert found.failed is Code.UPSTREAM_PROTOCOL
    await asks_again(upstream, server)
    assert server.connections == 2


def test_there_are_many() -> None:
    tables: list[Sequence[object]] = [
        *(answer_cases.STAYS, answer_cases.SURPLUS, answer_cases.CLOSES, answer_cases.REFUSED),
        *(answer_cases.CUT, answer_cases.UNTIL_THE_END, answer_cases.TO_HEAD),
    ]
    assert sum(len(table) for table in tables) > 300
