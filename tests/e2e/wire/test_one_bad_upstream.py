"""An upstream that stalls uses up its own share of connections; others do not notice (F19).

Shown by order, not by time: while every connection to the bad one is taken and dozens of requests
wait for one, hundreds to the good one are answered, and only then the first of those ends.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.hang_ups import Clients
from tests.support.http_answer import statuses
from tests.support.open_gateway import OpenGateway, open_gateway
from tests.support.processes import free_port
from tests.support.raw_upstream import RawUpstream, raw_upstream

pytestmark = pytest.mark.e2e

SHARE = 10
STUCK = 60
ASKED, AT_A_TIME = 240, 20
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n"


async def mute(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def slow_head(writer: asyncio.StreamWriter) -> None:
    await slowly(writer, HEAD)


async def slow_body(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"\r\n")
    await slowly(writer, b"x" * 60)
    await asyncio.sleep(60)


async def slowly(writer: asyncio.StreamWriter, octets: bytes) -> None:
    for octet in octets:
        writer.write(bytes((octet,)))
        await asyncio.sleep(1)


@asynccontextmanager
async def one_of_two(
    folder: Path, answer: Callable[[asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[tuple[OpenGateway, RawUpstream, RawUpstream]]:
    """A gateway, its bad upstream and its good one."""
    async with raw_upstream() as bad, raw_upstream() as good, AsyncExitStack() as stack:
        bad.answer = answer
        limits = {"max_connections": SHARE, "header_timeout": "4s", "idle_timeout": "4s"}
        routes = {
            "/bad/": {"upstream": f"{bad.origin}/", "total_timeout": "4s", **limits},
            "/gone/": {"upstream": f"http://127.0.0.1:{free_port()}/", **limits},
            "/good/": {"upstream": f"{good.origin}/", **limits},
        }
        opening = open_gateway(folder, routes)
        yield await asyncio.to_thread(stack.enter_context, opening), bad, good


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        pytest.param(mute, {504, 503}, id="mute"),
        pytest.param(slow_head, {504, 503}, id="slow head"),
        pytest.param(slow_body, {200, 503}, id="slow body"),
    ],
)
async def test_while_one_upstream_stalls_the_other_answers_everybody_f19(
    tmp_path: Path, answer: Callable[[asyncio.StreamWriter], Awaitable[None]], ends: set[int]
) -> None:
    async with one_of_two(tmp_path, answer) as (gateway, bad, good):
        host = b"localhost:%d" % gateway.port
        to_bad, to_good = (
            Clients(gateway.port, host, b"/bad/"),
            Clients(gateway.port, host, b"/good/"),
        )
        async with asyncio.TaskGroup() as group:
            stuck = [group.create_task(to_bad.ask(b"x")) for _ in range(STUCK)]
            async with asyncio.timeout(10):
                for _ in range(1000):
                    if len(bad.heads) == SHARE:
                        break
                    await asyncio.sleep(0.01)
            answers = await asked(to_good)
            assert answers == Counter({200: ASKED})
            assert not any(task.done() for task in stuck)
            assert good.connections <= SHARE
            assert (bad.connections, len(bad.heads)) == (SHARE, SHARE)
        found = Counter(status for task in stuck for status in statuses(task.result()))
        assert set(found) <= ends
        assert found[503] >= STUCK - 2 * SHARE  # who waited was told so, and never reached it
        assert not any(task.result().endswith(b"x" * 1000) for task in stuck)
        bad.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        assert await asked(to_good) == Counter({200: ASKED})


async def asked(clients: Clients) -> Counter[int]:
    """The statuses of so many requests, a few at a time."""
    found: Counter[int] = Counter()

    async def one_after_another() -> None:
        for _ in range(ASKED // AT_A_TIME):
            found.update(statuses(await clients.ask(b"x")))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(one_after_another())
    return found


async def test_while_one_upstream_refuses_the_other_answers_everybody_f19(tmp_path: Path) -> None:
    async with one_of_two(tmp_path, mute) as (gateway, _, good):
        host = b"localhost:%d" % gateway.port
        refused, answers = await asyncio.gather(
            asked(Clients(gateway.port, host, b"/gone/")),
            asked(Clients(gateway.port, host, b"/good/")),
        )
        assert refused == Counter({502: ASKED})
        assert answers == Counter({200: ASKED})
        assert good.connections <= SHARE
