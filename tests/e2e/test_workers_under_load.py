"""Workers that die, change and stop under load: what people notice of it (F30, F31, F32).

The requests belong to a session and are passed on to an API that wants its token; the API and the
store are programs of their own. Raw sockets; no request is repeated.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.bearer_api import bearer_api
from tests.support.crew import TOKEN, Crew, crewed
from tests.support.load import Load, answer, loaded, ports_of
from tests.support.people import nobody_noticed, person

pytestmark = pytest.mark.e2e

ASKED = 10_000  # requests, of which none may fail


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, str]]]:
    with bearer_api(tmp_path_factory.mktemp("api"), TOKEN) as api:
        yield [{"path": "/api/", "upstream": api, "access": "session"}]


@pytest.fixture
def crew(tmp_path: Path, store: str, routes: list[dict[str, str]]) -> Iterator[Crew]:
    with crewed(tmp_path, store, routes=routes) as started:
        yield started


async def test_f30_a_killed_worker_loses_only_its_own_requests_and_is_replaced_at_once(
    crew: Crew,
) -> None:
    ada = await person(crew)
    kept = ada.load("kept", clients=12, pause=0.002)
    short = ada.load("short", clients=4, pause=0.002, each=3)
    its_own: set[int] = set()
    async with loaded(kept, short):
        for _ in range(5):
            await asyncio.sleep(0.8)
            victim = crew.workers()[0]
            os.kill(victim, signal.SIGSTOP)  # so that the list of its connections is complete
            its_own |= ports_of(victim, crew.port)
            os.kill(victim, signal.SIGKILL)
            # The supervisor may not have noticed yet: two others than the victim have to serve.
            await crew.until(lambda gone=victim: len({*crew.workers()} - {gone}) == 2)
    lost = kept.lost + short.lost
    assert kept.answered + short.answered > 1000
    assert kept.statuses.keys() | short.statuses.keys() == {200}  # the session among them
    assert kept.wrong == short.wrong == []
    assert kept.refused == short.refused == 0
    assert {one.port for one in lost} <= its_own
    assert len(lost) <= 5 * (kept.clients + short.clients)
    assert crew.metric("gateway_worker_restarts_total") == 5
    assert crew.metric("gateway_worker_silences_total") == 0


async def test_f31_reloads_under_load_fail_nobody(crew: Crew) -> None:
    ada, bob = await person(crew), await person(crew)
    kept = ada.load("kept", clients=12)
    short = bob.load("short", clients=4, each=3)
    # Between two requests of these lies more than a second: their connections are idle when the
    # old workers get to know of the reload.
    idle = bob.load("idle", clients=8, pause=1.3)
    request, said = ada.get("slowly")
    streams = Load(crew.port, [request], clients=4, wanted={request: said})
    everybody = (kept, short, idle, streams)
    reloads = 0
    async with loaded(*everybody):
        while reloads < 3 or sum(load.answered for load in everybody) < ASKED:
            listen = crew.document["listen"]
            crew.write(listen={**listen, "workers": 3 if reloads % 2 else 2})
            await crew.reload()
            reloads += 1
    nobody_noticed(*everybody)
    assert all(load.refused == 0 for load in everybody)
    assert kept.closed >= reloads * kept.clients  # everybody has moved, and was told to
    assert crew.metric('gateway_config_reloads_total{outcome="loaded"}') == reloads
    await crew.until(lambda: crew.program.output.count("configuration.loaded") > reloads)
    loads = [line for line in crew.lines() if line["event"] == "configuration.loaded"]
    assert [line["by"] for line in loads] == ["start", *["reload"] * reloads]


async def test_f31_reloads_on_each_others_heels_fail_nobody_and_do_not_pile_up(
    crew: Crew,
) -> None:
    ada = await person(crew)
    kept = ada.load("kept", clients=8, pause=0.005)
    short = ada.load("short", clients=4, pause=0.005, each=2)
    most = 0
    async with loaded(kept, short):
        for generation in range(2, 7):
            crew.send(signal.SIGHUP)

            def done(wanted: int = generation) -> bool:
                nonlocal most
                found = crew.ready()
                most = max(most, len({one["generation"] for one in found["workers"]}))
                return bool(found["generation"] == wanted)

            await crew.until(done)
    nobody_noticed(kept, short)
    assert most <= 4  # the one in force, the one that starts, and two that leave


async def test_f31_an_answer_that_outlives_a_reload_is_whole(crew: Crew) -> None:
    ada = await person(crew)
    request, said = ada.get("slowly")
    reader, writer = await asyncio.open_connection("127.0.0.1", crew.port)
    with closing(writer):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")  # it has begun
        crew.send(signal.SIGHUP)
        await crew.until(lambda: crew.ready()["generation"] == 2)
        assert f"content-length: {len(said)}".encode() in head.lower()
        assert await reader.readexactly(len(said)) == said
        # That answer was begun before the reload: others may follow, and one of them is the last.
        request, said = ada.get("more")
        last = False
        async with asyncio.timeout(20):
            while not last:
                writer.write(request)
                status, last, body = await answer(reader)
                assert (status, body) == (200, said)
            assert await reader.read() == b""


async def test_f32_sigterm_under_load_answers_everybody_who_got_through(crew: Crew) -> None:
    ada = await person(crew)
    kept = ada.load("kept", clients=12)
    short = ada.load("short", clients=4, each=2)
    async with loaded(kept, short):
        await crew.until(lambda: kept.answered + short.answered > 500)
        crew.send(signal.SIGTERM)
        await crew.until(lambda: crew.program.process.poll() is not None)
    assert crew.program.process.returncode == 0
    nobody_noticed(kept, short)
    assert kept.closed >= kept.clients  # each was told with its last answer
