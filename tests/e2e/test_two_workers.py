"""Two gateway processes on one real Redis: what one ends, the other does not serve from memory."""

import asyncio
import http.client
import http.server
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.adapters.system import SystemClock, SystemEntropy
from gateway.ports import AuditEvent
from gateway.secret import AccessToken, KeyMaterial, StoreUrl
from gateway.session.manager import Sessions
from gateway.session.model import SessionPolicy, Tokens
from gateway.session.sealing import KeyRing, RingKey, unb64
from tests.support.new_sessions import facts_of_login
from tests.support.processes import Program, free_port, gateway_command, running
from tests.support.redis_servers import RealServer, redis_server_binary
from tests.support.redis_servers import running as serving

pytestmark = pytest.mark.e2e

PATIENCE = 10.0  # a sixth of how long memory is believed that nobody corrects
KEY = "T7Xl2V0pQ9sM4bWc8ZrEYhKj3NnUaGdF1oLiCxSvBqk"


class Silent:
    """An audit log nobody reads."""

    def record(self, event: AuditEvent) -> None:
        pass


class Api(http.server.BaseHTTPRequestHandler):
    """An API that answers everybody."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body after its head would wait for an ACK, 40 ms

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name there
        pass


@dataclass
class Workers:
    """Two processes, and how to make a session for both without a provider."""

    ports: list[int]
    programs: list[Program]
    redis: RealServer
    issuer: str

    def log_in(self, count: int) -> list[str]:
        """The cookies of so many new sessions."""
        return asyncio.run(self._log_in(count))

    async def _log_in(self, count: int) -> list[str]:
        clock, entropy = SystemClock(), SystemEntropy()
        ring = KeyRing([RingKey("e2e", KeyMaterial(unb64(KEY)))], entropy)
        store = RedisStore(StoreSettings(StoreUrl(f"redis://127.0.0.1:{self.redis.port}/0")))
        sessions = Sessions(store, ring, SessionPolicy(), clock, entropy, Silent())
        now = clock.now()
        cookies = []
        for number in range(count):
            facts = facts_of_login(sessions.new_session_id(), self.issuer, f"person-{number}", now)
            tokens = Tokens(AccessToken("a-token"), now + 3600, now, frozenset({"openid"}))
            made = await sessions.create(facts, tokens)
            cookies.append(ring.cookie_value(made.handle))
        await store.aclose()
        return cookies

    def serving(self, number: int) -> list[int]:
        """The processes that serve for one of the supervisors."""
        pid = self.programs[number].process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def visitor(self, number: int, cookie: str) -> "Visitor":
        return Visitor(self.ports[number], self.ports[0], cookie)


class Visitor:
    """One cookie on one kept connection to one of the processes."""

    def __init__(self, port: int, origin_port: int, cookie: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._headers = {
            "host": f"localhost:{origin_port}",
            "cookie": f"__Host-Http-session={cookie}",
            "x-csrf": "1",
            "origin": f"http://localhost:{origin_port}",
        }

    def ask(self, path: str = "/api/x", method: str = "GET") -> int:
        self._connection.request(method, path, headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("workers")
    ports, admins = [free_port(), free_port()], [free_port(), free_port()]
    issuer = f"http://127.0.0.1:{free_port()}"  # nobody is there, and nobody is needed
    api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    api.daemon_threads = True
    threading.Thread(target=api.serve_forever, daemon=True).start()
    redis = RealServer(redis_server_binary(), folder / "r", free_port())
    environ = {"RING_KEY": KEY, "CLIENT_SECRET": "a-client-secret-of-32-characters"}
    with serving(redis):
        commands = []
        for number in range(2):
            file = folder / f"{number}.yaml"
            settings = {
                "public_origin": f"http://localhost:{ports[0]}",
                "listen": {"host": "127.0.0.1", "port": ports[number]},
                "admin": {"host": "127.0.0.1", "port": admins[number]},
                "store": {"url": f"redis://127.0.0.1:{redis.port}/0"},
                "keys": [{"id": "e2e", "secret": {"env": "RING_KEY"}}],
                "providers": {
                    "main": {
                        "issuer": issuer,
                        "client_id": "spa",
                        "client_secret": {"env": "CLIENT_SECRET"},
                    }
                },
                "routes": [
                    {"path": "/api/", "upstream": f"http://127.0.0.1:{api.server_port}/"},
                ],
            }
            file.write_text(yaml.safe_dump(settings))
            commands.append(gateway_command("run", "--config", str(file)))
        with (
            running(commands[0], Path(folder / "g0.log"), environ) as one,
            running(commands[1], Path(folder / "g1.log"), environ) as two,
        ):
            for program, admin in zip((one, two), admins, strict=True):
                program.wait_until_answering(f"http://127.0.0.1:{admin}/readyz")
                program.wait_for("changes in the store are told")
            yield Workers(ports, [one, two], redis, issuer)
    api.shutdown()
    api.server_close()


def commands_of(redis: RealServer, name: str) -> int:
    """How many of these the server has carried out."""
    stats = redis.command("INFO", "commandstats")
    assert isinstance(stats, bytes)
    for line in stats.decode().splitlines():
        if line.startswith(f"cmdstat_{name}:calls="):
            return int(line.partition("=")[2].partition(",")[0])
    return 0


def test_a_session_in_use_is_served_from_memory(workers: Workers) -> None:
    (cookie,) = workers.log_in(1)
    visitor = workers.visitor(1, cookie)
    assert visitor.ask() == 200
    before = commands_of(workers.redis, "mget")
    assert [visitor.ask() for _ in range(200)] == [200] * 200
    assert commands_of(workers.redis, "mget") - before <= 2  # 0, unless the link was just renewed
    visitor.close()


def test_a_session_ended_by_one_process_is_refused_by_the_other_d3(
    workers: Workers, capsys: pytest.CaptureFixture[str]
) -> None:
    latencies = []
    for cookie in workers.log_in(20):
        here, there = workers.visitor(0, cookie), workers.visitor(1, cookie)
        assert there.ask() == 200
        seen: list[tuple[float, int]] = []
        stop, refused = threading.Event(), threading.Event()

        def keep_asking(there: Visitor = there, seen: list[tuple[float, int]] = seen) -> None:
            while not stop.is_set():  # noqa: B023 - joined below
                status = there.ask()
                seen.append((time.monotonic(), status))
                if status == 401:
                    refused.set()  # noqa: B023 - joined below

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            time.sleep(0.02)
            asked = time.monotonic()
            status = here.ask("/bff/logout", "POST")
            assert refused.wait(PATIENCE)
            time.sleep(0.02)  # and asked some more
        finally:
            stop.set()
            asking.join()
        assert status == 200
        latencies.append(max([0.0, *(at - asked for at, status in seen if status == 200)]))
        said = [status for _, status in seen]
        assert said == sorted(said)  # 200 before, 401 from then on, nothing else
        assert {*said} <= {200, 401}
        here.close()
        there.close()
    with capsys.disabled():
        sys.stdout.write(
            "\nfrom asking one process for a logout to the last answer of the other: "
            f"median {statistics.median(latencies) * 1000:.1f} ms, "
            f"longest {max(latencies) * 1000:.1f} ms, of {len(latencies)} logouts\n"
        )


def test_a_process_that_was_suspended_believes_nothing_when_it_goes_on(workers: Workers) -> None:
    """SIGSTOP, a paused machine: the question is read before what happened meanwhile."""
    (cookie,) = workers.log_in(1)
    here, there = workers.visitor(0, cookie), workers.visitor(1, cookie)
    assert there.ask() == 200
    sleepers = workers.serving(1)
    for sleeper in sleepers:
        os.kill(sleeper, signal.SIGSTOP)
    statuses: list[int] = []
    try:
        asking = threading.Thread(target=lambda: statuses.append(there.ask()))
        asking.start()  # it lies in the socket when the process goes on
        assert here.ask("/bff/logout", "POST") == 200
        time.sleep(1.1)
    finally:
        for sleeper in sleepers:
            os.kill(sleeper, signal.SIGCONT)
    asking.join()
    assert statuses == [401]
    here.close()
    there.close()


def test_a_session_in_memory_is_a_503_when_the_store_is_frozen_and_comes_back_f2(
    workers: Workers,
) -> None:
    (cookie,) = workers.log_in(1)
    visitor = workers.visitor(1, cookie)
    assert visitor.ask() == 200
    workers.redis.freeze()
    try:
        time.sleep(1.2)  # what was proven holds for a second
        assert visitor.ask() == 503
    finally:
        workers.redis.thaw()
    deadline = time.monotonic() + 5
    while (status := visitor.ask()) == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == 200
    visitor.close()
