"""The running program: slow clients, hostile octets in its log, and SIGTERM under way."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.echo_server import Echo, echo_server
from tests.support.http_answer import read_all, statuses
from tests.support.open_gateway import OpenGateway, open_gateway
from tests.support.processes import Program
from tests.support.recording_upstream import Recording, recording_upstream

pytestmark = pytest.mark.e2e

PATIENCE = 10.0
LIMITS = {
    "header_timeout": "1s",
    "body_idle": "1s",
    "write_idle": "2s",
    "keepalive": "2s",
    "shutdown_grace": "5s",
}


def home(folder: Path, upstream: int) -> contextlib.AbstractContextManager[OpenGateway]:
    route = {"upstream": f"http://127.0.0.1:{upstream}/"}
    return open_gateway(folder, {"/": route}, workers="auto", limits=LIMITS)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Recording]:
    with recording_upstream() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Recording) -> Iterator[OpenGateway]:
    with home(tmp_path_factory.mktemp("home"), upstream.port) as started:
        yield started


def lines(program: Program) -> list[dict[str, str]]:
    """Every line of the log; each must be one JSON document."""
    return [json.loads(line) for line in program.output.splitlines()]


def settled(program: Program) -> list[dict[str, str]]:
    """Every line, once no more come: they are written a moment after what they tell of."""
    before = -1
    while before < len(program.output):
        before = len(program.output)
        time.sleep(0.2)
    return lines(program)


def test_a_stalled_upload_is_408_and_never_whole_upstream_f25(
    gateway: OpenGateway, upstream: Recording
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
    gateway.program.wait_for("request.timeout")
    refused = [line for line in lines(gateway.program) if line.get("code") == "request.timeout"]
    assert len(refused) == 1


def test_a_client_that_never_finishes_its_header_is_408(gateway: OpenGateway) -> None:
    assert statuses(gateway.say(b"GET /x HTTP/1.1\r\nX: ")) == [408]


def test_nothing_a_client_sends_forges_a_line_of_the_log(gateway: OpenGateway) -> None:
    forged = b'\\r\\n{"log":"audit","event":"session.ended"}\r\n{"log":"audit","FORGED":1}'
    for octets in (
        b"GET /" + forged + b" HTTP/1.1\r\n" + gateway.host + b"\r\n",
        b"GET /%0d%0a{FORGED} HTTP/1.1\r\n" + gateway.host + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + forged + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + gateway.host + b"X-Request-Id: FORGED\r\n FORGED\r\n\r\n",
        b"FORGED\x00\x1b[31m / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + gateway.host + b"Transfer-Encoding: chunked\r\n\r\nFORGED\r\n\r\n",
    ):
        before = len(settled(gateway.program))
        assert statuses(gateway.say(octets))[0] == 400
        (line,) = settled(gateway.program)[before:]
        assert (line["event"], line["outcome"]) == ("request.refused", "refused")
    assert "FORGED" not in gateway.program.output


def test_sigterm_lets_what_is_under_way_finish_and_exits_with_0_f32(tmp_path: Path) -> None:
    Echo.release.clear()
    with echo_server() as upstream, home(tmp_path, upstream) as gateway, gateway.connect() as link:
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


def test_sigterm_ends_what_outlives_the_grace_and_exits_with_0_f32(tmp_path: Path) -> None:
    Echo.gone.clear()
    with echo_server() as upstream, home(tmp_path, upstream) as gateway, gateway.connect() as link:
        link.sendall(b"GET /slow HTTP/1.1\r\n" + gateway.host + b"\r\n")
        assert b"200 OK" in link.recv(65536)
        os.kill(gateway.program.process.pid, signal.SIGTERM)
        octets = b""
        with contextlib.suppress(ConnectionError):
            while piece := link.recv(65536):
                octets += piece
        assert octets.count(b"again") > 50  # of a hundred a second: the grace was given
        assert not octets.endswith(b"0\r\n\r\n")  # it must not look whole
        assert gateway.program.process.wait(15) == 0
        assert Echo.gone.wait(PATIENCE)  # and the API knows
        assert "Traceback" not in gateway.program.output
