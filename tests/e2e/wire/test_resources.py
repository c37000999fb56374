"""What connections cost the process: open files (F35) and memory."""

import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Program, free_port, running

pytestmark = pytest.mark.e2e

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LIVE = b"GET /live HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@contextlib.contextmanager
def small_server(log: Path, open_files: int) -> Iterator[tuple[Program, int]]:
    port = free_port()
    command = f'ulimit -n {open_files}; exec "$0" -m tests.support.small_server {port}'
    with running(["sh", "-c", command, sys.executable], log) as program:
        program.wait_until_answering(f"http://127.0.0.1:{port}/")
        yield program, port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def ask(link: socket.socket, octets: bytes = GET) -> bytes:
    """The answer's first line; empty when there is none any more."""
    try:
        link.sendall(octets)
        return link.recv(65536).partition(b"\r\n")[0]
    except OSError:
        return b""


def test_with_few_open_files_some_are_served_others_told_and_it_passes_f35(tmp_path: Path) -> None:
    with (
        small_server(tmp_path / "log", 128) as (program, port),
        contextlib.ExitStack() as stack,
    ):
        links = [stack.enter_context(connect(port)) for _ in range(200)]
        lines = [ask(link) for link in links]
        assert lines.count(b"HTTP/1.1 200 OK") >= 30
        assert lines.count(b"HTTP/1.1 503 Service Unavailable") >= 10
        assert set(lines) <= {b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Service Unavailable", b""}
        # Those who were let in are served on.
        served = [link for link, line in zip(links, lines, strict=True) if b"200" in line]
        assert {ask(link) for link in served} == {b"HTTP/1.1 200 OK"}
        for link in links:
            link.close()
        assert until_served(port)
        assert "only 128 open files" in program.output
        assert "Traceback" not in program.output


def test_without_any_open_file_left_the_server_lives_and_recovers_f35(tmp_path: Path) -> None:
    with small_server(tmp_path / "log", 128) as (program, port):
        with connect(port) as inside:
            assert ask(inside, GET.replace(b"/ ", b"/hog ")) == b"HTTP/1.1 200 OK"
            for _ in range(20):
                with connect(port) as outside:
                    assert ask(outside) == b""
            assert ask(inside) == b"HTTP/1.1 200 OK"  # who is connected is not affected
            assert ask(inside, GET.replace(b"/ ", b"/free ")) == b"HTTP/1.1 200 OK"
        assert until_served(port)
        assert program.stop() == 0


def until_served(port: int) -> bool:
    for _ in range(100):
        with connect(port) as link:
            if ask(link) == b"HTTP/1.1 200 OK":
                return True
        time.sleep(0.1)
    return False


def resident(program: Program) -> int:
    """Octets of memory the program holds."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    ("octets", "most"),
    [pytest.param(LIVE, 4_000, id="wire"), pytest.param(GET, 8_000, id="keep-alive")],
)
def test_an_idle_connection_costs_little_memory(tmp_path: Path, octets: bytes, most: int) -> None:
    with (
        small_server(tmp_path / "log", 4096) as (program, port),
        contextlib.ExitStack() as stack,
    ):

        def hold(count: int) -> int:
            for _ in range(count):
                assert ask(stack.enter_context(connect(port)), octets)
            return resident(program)

        before = hold(200)  # with what is needed once
        each = (hold(1000) - before) / 1000
    print(f"octets per idle connection: {each:.0f}")  # noqa: T201  worth knowing when it fails
    assert each < most
