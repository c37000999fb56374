"""Hundreds of slow clients at the running program: others are served, and memory is bounded.

Five hundred connections in each of the five states of slowloris at once (F25); a hundred readers
and a hundred senders of a kibibyte a second each (F23).
"""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.big_upstream import big_upstream
from tests.support.http_answer import statuses
from tests.support.open_gateway import OpenGateway, open_gateway

pytestmark = pytest.mark.e2e

MANY = 500
SLOW = 100
KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20
BODY = 100 * MEBIBYTE
PATIENCE = 20.0
DEADLINES = {"header_timeout": "4s", "body_idle": "4s", "keepalive": "4s"}
NOBODY_TOOK = "its client took nothing"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def enough_open_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = 6 * MANY if hard == resource.RLIM_INFINITY else min(max(soft, 6 * MANY), hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def running(folder: Path, **limits: str | int) -> AsyncIterator[OpenGateway]:
    """A gateway before an upstream of big bodies; both live outside of the test's event loop.

    A body that stalls holds a connection to its upstream, as long as `body_idle` allows; there are
    enough for all of them, so that what is tested is the gateway.
    """
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(big_upstream())
        route = {"upstream": f"http://127.0.0.1:{upstream.port}/", "max_connections": 2 * MANY}
        opening = open_gateway(folder, {"/api/": route}, limits=limits)
        yield await asyncio.to_thread(stack.enter_context, opening)


@asynccontextmanager
async def connected(
    gateway: OpenGateway, count: int, room: int = 65536
) -> AsyncIterator[list[Connection]]:
    """So many connections, whose system and whose reader take about `room` octets at a time."""
    links: list[Connection] = []
    try:
        for _ in range(count):
            link = socket.socket()
            link.setblocking(False)  # noqa: FBT003  the socket module's own signature
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", gateway.port))
            links.append(await asyncio.open_connection(sock=link, limit=room))
        yield links
    finally:
        for _, writer in links:
            writer.transport.abort()


@asynccontextmanager
async def nobody_yet(gateway: OpenGateway) -> AsyncIterator[int]:
    """How many files are open when somebody has been served and nobody is connected."""
    assert await asked(gateway) == [200]
    yield gateway.open_files()


async def rest(connection: Connection) -> bytes:
    """Everything until the gateway closes; a reset counts as closing."""
    octets = b""
    with contextlib.suppress(ConnectionError):
        while piece := await connection[0].read(65536):
            octets += piece
    return octets


async def asked(gateway: OpenGateway) -> list[int]:
    """What somebody gets who asks for something now."""
    async with connected(gateway, 1) as ((reader, writer),):
        writer.write(b"GET /api/down/5 HTTP/1.1\r\n" + gateway.host + b"Connection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            return statuses(await rest((reader, writer)))


def states(host: bytes) -> dict[str, Callable[[int], bytes]]:
    """What a client says at each turn, in the five ways to keep a server waiting."""
    get, post = b"GET /api/x HTTP/1.1\r\n" + host, b"POST /api/up HTTP/1.1\r\n" + host
    return {
        "connected": lambda _: b"",
        "half a request line": lambda turn: b"" if turn else b"GET /api",
        "half of the fields": lambda turn: b"" if turn else get + b"X-Half: ",
        "a field now and then": lambda turn: b"X-%d: 1\r\n" % turn if turn else get,
        "a body that stalls": lambda turn: b"" if turn else post + b"Content-Length: 99\r\n\r\nx",
    }


async def test_slowloris_in_five_ways_five_hundred_times_each_f25(tmp_path: Path) -> None:
    async with (
        running(tmp_path, max_connections=6 * MANY, **DEADLINES) as gateway,
        connected(gateway, 5 * MANY) as links,
    ):
        ways = list(states(gateway.host).values())
        for turn in range(8):
            for number, (_, writer) in enumerate(links):
                writer.write(ways[number % 5](turn))
            assert await asked(gateway) == [200]
            await asyncio.sleep(0.1)
        async with asyncio.timeout(PATIENCE):
            ends = await asyncio.gather(*map(rest, links))
        assert await asked(gateway) == [200]
        for way in range(5):  # of who never said a word nobody speaks of a timeout
            assert {tuple(statuses(end)) for end in ends[way::5]} == {(408,) if way else ()}
        assert "Traceback" not in gateway.program.output


async def test_above_the_cap_everybody_is_told_at_once_and_then_it_passes_f25(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, max_connections=MANY, header_timeout="60s") as gateway:
        async with connected(gateway, MANY):
            for _ in range(50):
                assert await asked(gateway) == [503]
        for _ in range(200):
            if await asked(gateway) == [200]:
                break
            await asyncio.sleep(0.05)
        assert await asked(gateway) == [200]


async def test_a_hundred_slow_readers_and_senders_hold_little_and_are_cut_off_f23(
    tmp_path: Path,
) -> None:
    async with (
        running(tmp_path, write_idle="2s", body_idle="2s") as gateway,
        nobody_yet(gateway) as files,
        connected(gateway, SLOW, room=2 * KIBIBYTE) as readers,
        connected(gateway, SLOW) as senders,
    ):
        before = gateway.most_resident()
        down = b"GET /api/down/%d HTTP/1.1\r\n" % BODY + gateway.host + b"\r\n"
        up = b"POST /api/up HTTP/1.1\r\n" + gateway.host + b"Content-Length: %d\r\n\r\n" % BODY
        for (_, reading), (_, sending) in zip(readers, senders, strict=True):
            reading.write(down)
            sending.write(up)
        for _ in range(3):  # longer than either deadline: slow is not idle
            for reader, _ in readers:
                assert await reader.read(KIBIBYTE)
            for _, writer in senders:
                writer.write(b"x" * KIBIBYTE)
            assert await asked(gateway) == [200]
            await asyncio.sleep(1)
        each = (gateway.most_resident() - before) / (2 * SLOW)
        print(f"octets per slow stream: {each:.0f}")  # noqa: T201  worth knowing when it fails
        assert each < 600 * KIBIBYTE
        async with asyncio.timeout(PATIENCE):  # and now they stop altogether
            assert {tuple(statuses(await rest(sender))) for sender in senders} == {(408,)}
        for _ in range(200):
            if gateway.open_files() <= files + 10:
                break
            await asyncio.sleep(0.1)
        assert gateway.program.output.count(NOBODY_TOOK) == SLOW
        assert gateway.open_files() <= files + 10  # nor are their upstreams kept
