"""The running program: slow clients, hostile octets in its log, and SIGTERM under way."""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.e2e.test_wire import Echo, read_all, settings_with, statuses
from tests.support.processes import Program, free_port, gateway_command, running
from tests.support.recording_upstream import Recording, recording_upstream
from tests.support.world import CLIENT_SECRET, RING_KEY

pytestmark = pytest.mark.e2e

LIMITS = {
    "header_timeout": "1s",
    "body_idle": "1s",
    "write_idle": "2s",
    "keepalive": "2s",
    "shutdown_grace": "5s",
}


@dataclass
class Home:
    """A gateway with one public route."""

    port: int
    program: Program

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def say(self, octets: bytes) -> bytes:
        with self.connect() as link:
            link.sendall(octets)
            return read_all(link)

    @property
    def host(self) -> bytes:
        return b"Host: localhost:%d\r\n" % self.port


@contextlib.contextmanager
def home(folder: Path, upstream: int) -> Iterator[Home]:
    port, admin = free_port(), free_port()
    route = {
        "path": "/",
        "upstream": f"http://127.0.0.1:{upstream}/",
        "access": "public",
        "token": "none",
    }
    settings = settings_with(port, admin, route) | {"limits": LIMITS}
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(settings))
    environ = {"RING_KEY": RING_KEY, "CLIENT_SECRET": CLIENT_SECRET}
    with running(gateway_command("run", "-c", str(file)), folder / "log", environ) as program:
        program.wait_until_answering(f"http://127.0.0.1:{admin}/readyz")
        yield Home(port, program)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Recording]:
    with recording_upstream() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Recording) -> Iterator[Home]:
    with home(tmp_path_factory.mktemp("home"), upstream.port) as started:
        yield started


def lines(program: Program) -> list[dict[str, str]]:
    """Every line of the log; each must be one JSON document."""
    return [json.loads(line) for line in program.output.splitlines()]


def test_a_stalled_upload_is_408_and_never_whole_upstream_f25(
    gateway: Home, upstream: Recording
) -> None:
    upstream.take()
    head = b"POST /up HTTP/1.1\r\n" + gateway.host + b"Content-Length: 1000\r\n\r\n"
    answer = gateway.say(head + b"half")
    assert statuses(answer) == [408]
    assert b"connection: close" in answer
    deadline = time.monotonic() + 5
    while not upstream.strange and time.monotonic() < deadline:
        time.sleep(0.02)
    assert upstream.take() == []
    assert all(b"1000" in octets for octets in upstream.strange)  # begun, and broken off
    refused = [line for line in lines(gateway.program) if line.get("code") == "request.timeout"]
    assert len(refused) == 1


def test_a_client_that_never_finishes_its_header_is_408(gateway: Home) -> None:
    assert statuses(gateway.say(b"GET /x HTTP/1.1\r\nX: ")) == [408]


def test_nothing_a_client_sends_forges_a_line_of_the_log(gateway: Home) -> None:
    forged = b'\\r\\n{"log":"audit","event":"session.ended"}\r\n{"log":"audit","FORGED":1}'
    for octets in (
        b"GET /" + forged + b" HTTP/1.1\r\n" + gateway.host + b"\r\n",
        b"GET /%0d%0a{FORGED} HTTP/1.1\r\n" + gateway.host + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + forged + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + gateway.host + b"X-Request-Id: FORGED\r\n FORGED\r\n\r\n",
        b"FORGED\x00\x1b[31m / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + gateway.host + b"Transfer-Encoding: chunked\r\n\r\nFORGED\r\n\r\n",
    ):
        before = len(lines(gateway.program))
        assert statuses(gateway.say(octets))[0] == 400
        (line,) = lines(gateway.program)[before:]
        assert (line["event"], line["outcome"]) == ("request.refused", "refused")
    assert "FORGED" not in gateway.program.output


def test_sigterm_lets_what_is_under_way_finish_and_exits_with_0_f32(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    Echo.release.clear()
    with home(tmp_path, server.server_port) as gateway, gateway.connect() as link:
        with gateway.connect() as idle:
            idle.sendall(b"GET /x HTTP/1.1\r\n" + gateway.host + b"\r\n")
            answer = b""
            while not answer.endswith(b"}"):  # head and body may come in two pieces
                answer += idle.recv(65536)
            assert b"200 OK" in answer
            link.sendall(b"GET /held HTTP/1.1\r\n" + gateway.host + b"\r\n")
            octets = b""
            while b"first " not in octets:
                octets += link.recv(65536)
            os.kill(gateway.program.process.pid, signal.SIGTERM)
            assert read_all(idle) == b""  # nobody waits for it
        with pytest.raises(OSError, match="refused"):
            gateway.connect()
        assert gateway.program.process.poll() is None
        Echo.release.set()
        octets += read_all(link)
        assert octets.endswith(b"first last.")
        assert gateway.program.process.wait(10) == 0
        assert "Traceback" not in gateway.program.output
    server.shutdown()
    server.server_close()


def test_sigterm_ends_what_outlives_the_grace_and_exits_with_0_f32(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    Echo.gone.clear()
    with home(tmp_path, server.server_port) as gateway, gateway.connect() as link:
        link.sendall(b"GET /slow HTTP/1.1\r\n" + gateway.host + b"\r\n")
        assert b"200 OK" in link.recv(65536)
        begun = time.monotonic()
        os.kill(gateway.program.process.pid, signal.SIGTERM)
        with contextlib.suppress(ConnectionError):
            assert not read_all(link).endswith(b"0\r\n\r\n")  # it must not look whole
        assert gateway.program.process.wait(15) == 0
        assert time.monotonic() - begun > 3  # the grace was given
        assert Echo.gone.wait(5)  # and the API knows
        assert "Traceback" not in gateway.program.output
    server.shutdown()
    server.server_close()
