"""Browsers leave while the store's answer is on its way: nobody else is given it (F18).

CVE-2023-28858, through the whole gateway: a cancelled command left its reply to the next user of
the connection. Every answer here has to name its own person and nobody else, and the API behind it
has to be shown that person's token.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.crew import Crew, crewed
from tests.support.echo_server import echo_server
from tests.support.hang_ups import reset
from tests.support.load import answer
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.e2e

PATIENCE = 20.0
LATE = 0.1  # seconds that each answer of the store takes
PEOPLE = 40
VISITORS, VISITS = 100, 10
PATHS = ("/bff/session", "/api/x")
NAMED = re.compile(rb"person-[0-9]+")


@pytest.fixture
def api() -> Iterator[str]:
    with echo_server() as port:
        yield f"http://127.0.0.1:{port}/"


def asking(crew: Crew, path: str, cookie: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nhost: localhost:{crew.port}\r\n"
        f"sec-fetch-site: same-origin\r\nx-csrf: 1\r\ncookie: {cookie}\r\n\r\n"
    ).encode()


async def visit(crew: Crew, request: bytes, leaves_after: float) -> tuple[int, set[bytes]] | None:
    """The status and whom the answer names; None for a browser that left before it came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", crew.port)
    writer.write(request)
    try:
        async with asyncio.timeout(leaves_after):
            status, _, body = await answer(reader)
    except TimeoutError:
        return None
    finally:
        reset(writer)
    return status, set(NAMED.findall(body))


async def test_f18_browsers_that_leave_before_the_store_answers_leave_it_to_nobody(
    tmp_path: Path, store: str, api: str
) -> None:
    dice = random.Random(18)  # noqa: S311  repeatable, not secret
    outcomes: Counter[str] = Counter()
    server = ("127.0.0.1", urlsplit(store).port or 0)
    async with TcpProxy(server) as proxy, AsyncExitStack() as stack:
        late = f"redis://127.0.0.1:{proxy.port}/0"
        routes = [{"path": "/api/", "upstream": api, "access": "session"}]
        opening = crewed(tmp_path, late, routes=routes, session={"cache_bytes": 0})
        crew = await asyncio.to_thread(stack.enter_context, opening)
        people = [f"person-{number}" for number in range(PEOPLE)]
        cookies = {one: await crew.log_in(one, f"token-of-{one}") for one in people}

        async def come(path: str, person: str, leaves_after: float) -> None:
            request = asking(crew, path, cookies[person])
            found = await visit(crew, request, leaves_after)
            if found is None:
                outcomes["left"] += 1
                return
            assert found == (200, {person.encode()})
            outcomes["stayed"] += 1

        async def come_and_go() -> None:
            for _ in range(VISITS):
                moment = dice.choice((PATIENCE, dice.uniform(0.001, 2 * LATE)))
                await come(dice.choice(PATHS), dice.choice(people), moment)

        proxy.latency = LATE
        await asyncio.gather(*(come_and_go() for _ in range(VISITORS)))
        proxy.heal()
        assert outcomes["left"] > 100
        assert outcomes["stayed"] > 300
        for path in PATHS:
            for person in people:
                await come(path, person, PATIENCE)
        assert crew.metric("gateway_worker_restarts_total") == 0
