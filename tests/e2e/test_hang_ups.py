"""Clients hang up by the thousand, in every phase, and cost nothing that lasts (F17, M14).

What each leaves behind must be freed at once: what only the garbage collector finds stays for long,
because it comes seldom (`listening.py`), and memory would grow with every reload of a page.
"""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.hang_ups import (
    CHANNELS,
    PATIENCE,
    PHASES,
    Clients,
    PatientUpstream,
    patient_upstream,
)
from tests.support.open_gateway import OpenGateway, open_gateway
from tests.support.watched_gateway import lying_about

pytestmark = pytest.mark.e2e

CONNECTIONS = 50
WARM_UP, ROUNDS = 3_000, 10_000
FEW = 5  # tasks, of a hundred there would be if each were left behind
LEFT = (b"GET /mute", b"POST /up", b"GET /down")
ENDS = {
    "served": (200, b"ok"),
    "not to be connected": (502, b"nowhere/x"),
    "refused": (400, b"%zz"),
}


WAYS = (*PHASES, *CHANNELS, *ENDS)


def route(port: int) -> dict[str, Any]:
    upstream = f"http://127.0.0.1:{port}/"
    return {"upstream": upstream, "max_connections": CONNECTIONS, "websocket": True}


async def every_slot_is_free(clients: Clients, upstream: PatientUpstream) -> bool:
    """Whether as many requests as the pool has connections are under way at the same time."""
    upstream.together = asyncio.Barrier(CONNECTIONS)
    answers = await asyncio.gather(*(clients.ask(b"together") for _ in range(CONNECTIONS)))
    return all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


async def test_ten_thousand_hang_ups_cost_no_connection_and_no_memory_f17_m14(
    tmp_path: Path,
) -> None:
    chance = random.Random(17)  # noqa: S311  reproducible, not secret
    async with patient_upstream() as upstream, AsyncExitStack() as stack:
        opening = open_gateway(tmp_path, {"/api/": route(upstream.port)})
        gateway = await asyncio.to_thread(stack.enter_context, opening)
        clients = Clients(gateway.port, b"localhost:%d" % gateway.port)
        await clients.hang_ups(WARM_UP, chance)
        before = await at_rest(gateway, clients, upstream)
        await clients.hang_ups(ROUNDS, chance)
        after = await at_rest(gateway, clients, upstream)
        assert upstream.late == 0
        assert min(upstream.begun[kind] for kind in LEFT) > 300  # others left earlier still
        for _ in range(5):
            assert (await clients.ask(b"ok")).endswith(b"\r\n\r\nok")
        assert await every_slot_is_free(clients, upstream)
        assert "Traceback" not in gateway.program.output
    print(f"octets per hang-up: {(after[0] - before[0]) / ROUNDS:.0f}")  # noqa: T201  worth knowing
    assert after[0] - before[0] < ROUNDS * 200
    assert after[1] <= before[1] + 2  # open files


async def at_rest(
    gateway: OpenGateway, clients: Clients, upstream: PatientUpstream
) -> tuple[int, int]:
    """Memory and open files, with one connection to the upstream left."""
    async with asyncio.timeout(PATIENCE):
        await upstream.quiet.wait()
    assert (await clients.ask(b"ok")).endswith(b"ok")
    await asyncio.sleep(0.2)  # the last connections of clients are closed
    return gateway.resident(), gateway.open_files()


async def come_and_go(clients: Clients, phase: str, chance: random.Random, count: int) -> None:
    if phase not in ENDS:
        await clients.hang_ups(count, chance, [phase])
        return
    status, target = ENDS[phase]
    for _ in range(count):
        assert (await clients.ask(target)).startswith(b"HTTP/1.1 %d" % status)


async def test_what_a_request_leaves_behind_needs_no_garbage_collector_f17(tmp_path: Path) -> None:
    chance = random.Random(17)  # noqa: S311  reproducible, not secret
    async with patient_upstream() as upstream, AsyncExitStack() as stack:
        routes = {
            "/api/": route(upstream.port),
            "/api/nowhere/": {"upstream": "http://127.0.0.1:1/"},
        }
        opening = open_gateway(tmp_path, routes, module="tests.support.watched_gateway")
        gateway = await asyncio.to_thread(stack.enter_context, opening)
        clients = Clients(gateway.port, b"localhost:%d" % gateway.port)
        (worker,) = gateway.workers()
        found = {}
        for phase in WAYS:
            await come_and_go(clients, phase, chance, 50)  # what is made once is made now
            await at_rest(gateway, clients, upstream)
            tasks = lying_about(worker, gateway.program.log)["tasks"]
            await come_and_go(clients, phase, chance, 100)
            await at_rest(gateway, clients, upstream)
            left = lying_about(worker, gateway.program.log)
            # A few more or fewer: something looks into the store every few seconds.
            found[phase] = left["garbage"], abs(left["tasks"] - tasks) > FEW
        assert found == dict.fromkeys(WAYS, ({}, False))
