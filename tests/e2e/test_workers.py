"""Several workers under one supervisor: deaths, reloads and stops, with people in the middle.

F numbers name the faults. Real processes, a real store, raw sockets; no request is repeated.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from tests.support.crew import SECRETS, Crew, crewed, document, left_over, lives, memory
from tests.support.load import Load, answer, loaded
from tests.support.processes import Program, gateway_command
from tests.support.redis_servers import free_port

pytestmark = pytest.mark.e2e

PAGE = "GET / HTTP/1.1\r\nhost: localhost:{port}\r\naccept: text/html\r\n{more}\r\n"
SESSION = (
    "GET /bff/session HTTP/1.1\r\nhost: localhost:{port}\r\nsec-fetch-site: same-origin\r\n"
    "x-csrf: 1\r\ncookie: {cookie}\r\n\r\n"
)


@pytest.fixture
def crew(tmp_path: Path, store: str) -> Iterator[Crew]:
    with crewed(tmp_path, store) as started:
        yield started


def page(crew: Crew, more: str = "") -> bytes:
    return PAGE.format(port=crew.port, more=more).encode()


async def session(crew: Crew) -> bytes:
    cookie = await crew.log_in()
    return SESSION.format(port=crew.port, cookie=cookie).encode()


async def ask(crew: Crew, request: bytes) -> tuple[int, bool, bytes]:
    """Ask on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", crew.port)
    try:
        writer.write(request)
        return await answer(reader)
    finally:
        writer.close()


@asynccontextmanager
async def slow_api(seconds: float) -> AsyncIterator[str]:
    """An API that takes its time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(seconds)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow")
            await writer.drain()
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def test_a_reload_brings_the_new_configuration(crew: Crew, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "news.txt").write_text("news")
    news = page(crew).replace(b"GET / ", b"GET /more/news.txt ")
    assert (await ask(crew, news))[0] == 404
    route = {"path": "/more/", "static": str(more), "access": "public"}
    listen = {**crew.document["listen"], "workers": 3}  # their number may change as well
    crew.write(routes=[*crew.document["routes"], route], listen=listen)
    await crew.reload()
    assert (await ask(crew, news))[::2] == (200, b"news")
    assert len(crew.workers()) == 3


async def test_a_reload_that_cannot_be_changes_nothing_and_says_why(crew: Crew) -> None:
    before = crew.workers()
    good = crew.document["routes"]
    crew.write(routes=[{"path": "no-slash", "static": "/nowhere", "access": "pblic"}])
    crew.send(signal.SIGHUP)
    await crew.until(lambda: crew.said("reload refused"))
    errors = [line["event"] for line in crew.lines() if line.get("level") == "error"][:-1]
    assert len(errors) >= 2  # one line each
    assert all(line.startswith("configuration: routes[0].") for line in errors)
    # Every worker starts, but the store they are to use does not answer.
    crew.write(routes=good, store={"url": f"redis://127.0.0.1:{free_port()}/0"})
    crew.send(signal.SIGHUP)
    await crew.until(lambda: crew.said("the store does not answer under the new configuration"))
    await crew.until(lambda: crew.ready()["workers"] == crew.ready()["workers"][:2])
    assert crew.workers() == before
    assert crew.ready()["status"] == "ready"
    assert (await ask(crew, page(crew)))[0] == 200
    assert crew.metric('gateway_config_reloads_total{outcome="refused"}') == 1
    assert crew.metric('gateway_config_reloads_total{outcome="failed"}') == 1


async def test_what_a_reload_cannot_change_is_named_and_stays(crew: Crew) -> None:
    listen = {**crew.document["listen"], "port": free_port()}
    crew.write(listen=listen, admin={"port": free_port()})
    await crew.reload()
    await crew.until(lambda: crew.said("listen.port has changed"))
    await crew.until(lambda: crew.said("admin.port has changed"))
    assert (await ask(crew, page(crew)))[0] == 200


async def test_f33_a_key_is_rotated_by_two_reloads_and_every_session_stays(crew: Crew) -> None:
    old, new = ({"id": name, "secret": {"env": key}} for name, key in KEYS)
    everybody = [await session(crew)]
    load = Load(crew.port, everybody, clients=8)
    async with loaded(load):
        crew.write(keys=[old, new])
        await crew.reload()
        everybody.append(await session(crew))
        crew.write(keys=[new, old])
        await crew.reload()
        everybody.append(await session(crew))
        await asyncio.sleep(0.5)
    assert load.lost == []
    assert load.statuses.keys() == {200}
    assert not any(b'"authenticated":false' in body for body in load.bodies)


KEYS = (("k1", "RING_KEY"), ("k2", "NEW_KEY"))


async def test_f32_requests_under_way_finish_within_the_grace_and_are_cut_after_it(
    tmp_path: Path, store: str
) -> None:
    async with slow_api(1.5) as quick, slow_api(60) as endless:
        routes = [
            {"path": path, "upstream": upstream, "access": "public", "token": "none"}
            for path, upstream in (("/quick/", quick), ("/endless/", endless))
        ]
        limits = {"shutdown_grace": "3s"}
        listen = {"host": "127.0.0.1", "workers": 2, "drain_delay": "500ms"}
        with crewed(tmp_path, store, routes=routes, limits=limits) as crew:
            crew.write(listen={**listen, "port": crew.port})
            await crew.reload()
            slow = page(crew).replace(b"GET / ", b"GET /quick/ ")
            quick_one = asyncio.create_task(ask(crew, slow))
            endless_one = asyncio.create_task(ask(crew, slow.replace(b"/quick/", b"/endless/")))
            await asyncio.sleep(0.5)
            crew.send(signal.SIGTERM)
            # Not ready at once, and still accepting for the length of `drain_delay`.
            await crew.until(lambda: crew.get("/readyz")[0] == 503)
            assert crew.ready()["status"] == "stopping"
            late_one = await ask(crew, page(crew).replace(b"GET / ", b"GET /none "))
            assert late_one[0] == 404
            assert await quick_one == (200, True, b"slow")
            with pytest.raises((OSError, EOFError)):
                await endless_one
            # The API would have taken a minute.
            await crew.until(lambda: crew.program.process.poll() is not None)
            assert crew.program.process.returncode == 0


async def test_f32_a_second_sigterm_ends_everything_at_once(tmp_path: Path, store: str) -> None:
    async with slow_api(60) as endless:
        routes = [{"path": "/", "upstream": endless, "access": "public", "token": "none"}]
        with crewed(tmp_path, store, routes=routes) as crew:
            workers = crew.workers()
            hanging = asyncio.create_task(ask(crew, page(crew)))
            await asyncio.sleep(0.3)
            crew.send(signal.SIGTERM)
            await crew.until(lambda: crew.ready()["status"] == "stopping")
            crew.send(signal.SIGTERM)
            # The grace is thirty seconds, which nobody waits for here.
            await crew.until(lambda: crew.program.process.poll() is not None)
            assert not any(lives(pid) for pid in workers)
            with pytest.raises((OSError, EOFError)):
                await hanging


@pytest.mark.parametrize("after", [0.0, 0.1, 0.2])
def test_who_is_stopped_while_starting_stops(tmp_path: Path, store: str, after: float) -> None:
    port, admin = free_port(), free_port()
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(document(port, admin, tmp_path, store, 4)))
    program = Program(gateway_command("run", "-c", str(file)), tmp_path / "log", SECRETS)
    program.wait_until_answering(f"http://127.0.0.1:{admin}/livez")
    time.sleep(after)
    assert program.stop() == 0
    assert left_over(file) == []
    assert "Traceback" not in program.output


async def test_workers_whose_supervisor_was_killed_finish_and_go(crew: Crew) -> None:
    workers = crew.workers()
    load = Load(crew.port, [page(crew)], clients=4)
    async with loaded(load):
        await asyncio.sleep(0.3)
        crew.send(signal.SIGKILL)
        await crew.until(lambda: not any(lives(pid) for pid in workers))
    assert load.lost == []
    assert load.closed >= load.clients
    assert load.refused > 0  # nobody holds the port any more
    assert crew.said("the supervisor is gone")


async def test_one_machine_two_workers_one_embedded_store(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with crewed(tmp_path, f"embedded:{folder}") as crew:
        load = Load(crew.port, [await session(crew)], clients=8)
        async with loaded(load):
            for _ in range(64):  # the kernel deals connections out by chance
                assert (await ask(crew, page(crew)))[0] == 200
            counts = crew.get("/metrics")[1]
        assert load.lost == []
        assert load.statuses.keys() == {200}
        assert len(load.bodies) == 1
        assert b'"authenticated":true' in load.bodies.pop()
        # The session was valid on both, and the metrics say so of each.
        for number in (0, 1):
            assert f'gateway_requests_total{{worker="{number}",status="2xx"}}' in counts
        assert counts.count("# TYPE gateway_requests_total counter") == 1
        assert crew.metric("gateway_workers") == 2
        assert crew.metric("gateway_worker_silences_total") == 0
        # A worker that answers nobody is left out, and the rest is told all the same.
        frozen = crew.workers()[0]
        os.kill(frozen, signal.SIGSTOP)
        try:
            assert crew.get("/readyz")[0] == 200
            assert 'worker="1"' in crew.get("/metrics")[1]
            assert 'worker="0"' not in crew.get("/metrics")[1]
            assert crew.metric("gateway_worker_silences_total") >= 2
            # Its share of new connections is taken by the other.
            for _ in range(8):
                assert (await ask(crew, page(crew)))[0] == 200
        finally:
            os.kill(frozen, signal.SIGCONT)
        served = crew.workers()
        log = [line for line in crew.lines() if line["event"] == "configuration.loaded"]
        assert len(log) == 1
        crew.send(signal.SIGINT)
        await crew.until(lambda: crew.program.process.poll() is not None)
        assert crew.program.process.returncode == 0
        assert not any(lives(pid) for pid in served)
        assert "starting it again" not in crew.program.output


async def test_a_worker_is_small_and_its_lines_carry_its_number(crew: Crew) -> None:
    for pid in crew.workers():
        assert memory(pid)["VmRSS"] < 60_000_000 // 1024
        assert memory(pid)["Private_Dirty"] < 40 * 1024  # the rest it shares with the others
    foreign = page(crew, "cookie: a=b\r\n").replace(b"localhost", b"elsewhere")
    for _ in range(40):
        assert (await ask(crew, foreign))[0] == 421
    await crew.until(lambda: crew.program.output.count("request.refused") >= 40)
    refusals = [line for line in crew.lines() if line["event"] == "request.refused"]
    assert len(refusals) == 40
    assert {line["worker"] for line in refusals} == {0, 1}
    assert "worker" not in crew.lines()[0]


def test_when_no_worker_can_start_the_program_ends_with_one_line(
    tmp_path: Path, store: str
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    with (
        pytest.raises(AssertionError),
        crewed(tmp_path, store, back_channel={"ca_file": str(bundle)}),
    ):
        pytest.fail("it has started")
    log = (tmp_path / "log").read_text()
    assert "Not started: no worker could start" in log
    assert "Traceback" not in log
