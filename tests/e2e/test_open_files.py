"""The whole gateway when the system gives it few open files, or none any more (F35)."""

import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crew import Crew, crewed
from tests.support.echo_server import echo_server
from tests.support.http_answer import AnswerReader, Closed
from tests.support.redis_servers import RealServer, free_port, redis_server_binary, running

pytestmark = pytest.mark.e2e

FILES = 128
PAGE = "GET /api/x HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n"
SESSION = (
    "GET /bff/session HTTP/1.1\r\nhost: localhost:{port}\r\nsec-fetch-site: same-origin\r\n"
    "x-csrf: 1\r\ncookie: {cookie}\r\n\r\n"
)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    """One worker, with an API behind it: every request may need a file for each side."""
    with (
        echo_server() as port,
        running(RealServer(redis_server_binary(), tmp_path, port=free_port())) as server,
    ):
        api = {
            "path": "/api/",
            "upstream": f"http://127.0.0.1:{port}/",
            "access": "public",
            "token": "none",
        }
        store = f"redis://127.0.0.1:{server.port}/0"
        with crewed(tmp_path, store, 1, open_files=FILES, routes=[api]) as started:
            yield started


class Client:
    """One connection; whoever is turned away without a word gets 0 for a status."""

    def __init__(self, crew: Crew) -> None:
        self._link = socket.create_connection(("127.0.0.1", crew.port), timeout=10)
        self._reader = AnswerReader(self._link)
        self.body = b""

    def ask(self, request: bytes) -> int:
        try:
            self._link.sendall(request)
            answer = self._reader.read(b"GET")
        except (OSError, Closed):
            return 0
        self.body = answer.body
        return answer.status

    def close(self) -> None:
        self._link.close()


def highest_file(pid: int) -> int:
    return max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())


def states(pid: int, count: int) -> list[str]:
    """What the process does at so many moments: S sleeps, R computes or would if it could."""
    seen = []
    for _ in range(count):
        seen.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
        time.sleep(0.01)
    return seen


def page(crew: Crew) -> bytes:
    return PAGE.format(port=crew.port).encode()


async def session(crew: Crew) -> bytes:
    return SESSION.format(port=crew.port, cookie=await crew.log_in()).encode()


def is_logged_in(client: Client, request: bytes) -> bool:
    return client.ask(request) == 200 and json.loads(client.body)["authenticated"] is True


def until_served(crew: Crew, request: bytes) -> bool:
    for _ in range(200):
        with contextlib.closing(Client(crew)) as client:
            if client.ask(request) == 200:
                return True
        time.sleep(0.1)
    return False


async def test_with_few_open_files_some_are_served_others_told_and_no_session_is_lost_f35(
    crew: Crew,
) -> None:
    mine = await session(crew)
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(contextlib.closing(Client(crew)))
        assert is_logged_in(inside, mine)
        clients = [stack.enter_context(contextlib.closing(Client(crew))) for _ in range(200)]
        found = [client.ask(page(crew)) for client in clients]
        assert found.count(200) >= 30
        assert found.count(503) >= 10
        assert set(found) <= {200, 503, 0}
        # Whoever was let in is served on, to the API and with the session; health stays green.
        served = [client for client, status in zip(clients, found, strict=True) if status == 200]
        assert {client.ask(page(crew)) for client in served} == {200}
        assert is_logged_in(inside, mine)
        assert crew.ready()["status"] == "ready"
    assert until_served(crew, mine)
    assert crew.metric("gateway_worker_restarts_total") == 0
    assert crew.said(f"only {FILES} open files are allowed")
    assert "Traceback" not in crew.program.output


async def test_when_no_file_can_be_opened_newcomers_wait_outside_and_it_passes_f35(
    crew: Crew,
) -> None:
    mine = await session(crew)
    (worker,) = crew.workers()
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(contextlib.closing(Client(crew)))
        assert inside.ask(page(crew)) == 200
        assert is_logged_in(inside, mine)
        limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (highest_file(worker) + 1, limits[1]))
        try:
            clients = [stack.enter_context(contextlib.closing(Client(crew))) for _ in range(40)]
            found = [client.ask(page(crew)) for client in clients]
            assert found[-10:] == [0] * 10
            # It waits, and does not try in circles.
            assert states(worker, 100).count("S") > 50
            # Who is connected is not affected: session, API over the connection that is open.
            assert is_logged_in(inside, mine)
            assert inside.ask(page(crew)) == 200
            assert crew.ready()["status"] == "ready"
        finally:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
        assert until_served(crew, mine)
        assert is_logged_in(inside, mine)
    assert crew.workers() == [worker]
    assert "Traceback" not in crew.program.output
