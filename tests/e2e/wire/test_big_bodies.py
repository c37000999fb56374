"""Bodies of any size pass through a worker that keeps little of them, whoever is slow (M14, F23).

Two gibibytes each way; and where the other side stops reading, the sender has to stop as well: what
is under way then is what the sockets' own buffers hold, and it goes on where it stopped.
"""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.support.big_upstream import PIECE, STRIDE, BigUpstream, big_upstream
from tests.support.open_gateway import OpenGateway, open_gateway

pytestmark = pytest.mark.e2e

MEBIBYTE = 1 << 20
HUGE = 2048 * MEBIBYTE
LARGE = 128 * MEBIBYTE
MOST_MEMORY = 12 * MEBIBYTE
REST = 0.05  # seconds; whoever is in a hurry fills every buffer on the way meanwhile
MOST_UNDER_WAY = 48 * MEBIBYTE
"""Four sockets' buffers: Linux lets each direction of each grow to four or six mebibytes."""


@pytest.fixture
def upstream() -> Iterator[BigUpstream]:
    with big_upstream() as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, upstream: BigUpstream) -> Iterator[OpenGateway]:
    routes = {"/api/": {"upstream": f"http://127.0.0.1:{upstream.port}/"}}
    with open_gateway(tmp_path, routes, limits={"max_body_bytes": None}) as started:
        warm(started)
        yield started


def warm(gateway: OpenGateway) -> None:
    """What is paid once is paid before anything is measured."""
    with gateway.connect() as link:
        ask_down(gateway, link, 4 * MEBIBYTE)
        assert read(link, 4 * MEBIBYTE) == 4 * MEBIBYTE


def ask_down(gateway: OpenGateway, link: socket.socket, size: int) -> None:
    link.sendall(b"GET /api/down/%d HTTP/1.1\r\n" % size + gateway.host + b"\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += link.recv(1)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-length: %d\r\n" % size in head


def read(link: socket.socket, most: int) -> int:
    """Read so many octets, or up to the end; return how many they were."""
    room, got = bytearray(PIECE), 0
    while got < most and (count := link.recv_into(room, min(PIECE, most - got))):
        got += count
    return got


def read_with_rests(link: socket.socket, size: int) -> int:
    """Read so many octets, and rest after every `STRIDE` of them."""
    got = 0
    while got < size and (count := read(link, min(STRIDE, size - got))):
        got += count
        time.sleep(REST)
    return got


def until_it_stops(progress: Callable[[], int]) -> int:
    """Return what the progress comes to when there is none for a second."""
    before, since = progress(), time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.05)
        if progress() != before:
            before, since = progress(), time.monotonic()
    return before


class Upload:
    """Sends a body in a thread, and counts."""

    def __init__(self, gateway: OpenGateway, link: socket.socket, size: int) -> None:
        self.sent = 0
        self._link, self._size = link, size
        head = b"POST /api/up HTTP/1.1\r\n" + gateway.host + b"Content-Length: %d\r\n\r\n" % size
        link.settimeout(30)
        link.sendall(head)
        self._thread = Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        piece = memoryview(bytes(PIECE))
        while self.sent < self._size:
            self.sent += self._link.send(piece[: self._size - self.sent])

    def answer(self) -> bytes:
        self._thread.join(60)
        octets = b""
        while not octets.endswith(b"%d" % self._size):
            piece = self._link.recv(65536)
            assert piece, octets
            octets += piece
        return octets


def test_two_gibibytes_go_down_in_constant_memory(gateway: OpenGateway) -> None:
    before = gateway.most_resident()
    with gateway.connect() as link:
        ask_down(gateway, link, HUGE)
        assert read(link, HUGE) == HUGE
        ask_down(gateway, link, 10)  # and the connection is in step
        assert read(link, 10) == 10
    assert gateway.most_resident() - before < MOST_MEMORY


def test_two_gibibytes_go_up_in_constant_memory(
    gateway: OpenGateway, upstream: BigUpstream
) -> None:
    before = gateway.most_resident()
    with gateway.connect() as link:
        upload = Upload(gateway, link, HUGE)
        assert upload.answer().startswith(b"HTTP/1.1 200")
        ask_down(gateway, link, 10)
        assert read(link, 10) == 10
    assert upstream.taken == HUGE
    assert gateway.most_resident() - before < MOST_MEMORY


def test_two_gibibytes_go_down_to_a_slow_client_in_constant_memory_m14_f23(
    gateway: OpenGateway,
) -> None:
    before = gateway.most_resident()
    with gateway.connect() as link:
        ask_down(gateway, link, HUGE)
        assert read_with_rests(link, HUGE) == HUGE
    assert gateway.most_resident() - before < MOST_MEMORY


def test_two_gibibytes_go_up_to_a_slow_upstream_in_constant_memory_m14_f23(
    gateway: OpenGateway, upstream: BigUpstream
) -> None:
    before = gateway.most_resident()
    upstream.pause = REST
    with gateway.connect() as link:
        upload = Upload(gateway, link, HUGE)
        assert upload.answer().startswith(b"HTTP/1.1 200")
    assert upstream.taken == HUGE
    assert gateway.most_resident() - before < MOST_MEMORY


def test_when_a_client_stops_reading_the_upstream_stops_sending_m14_f23(
    gateway: OpenGateway, upstream: BigUpstream
) -> None:
    before, sent = gateway.most_resident(), upstream.sent
    with gateway.connect() as link:
        ask_down(gateway, link, LARGE)
        under_way = until_it_stops(lambda: upstream.sent) - sent
        assert 0 < under_way < MOST_UNDER_WAY
        assert gateway.most_resident() - before < MEBIBYTE
        assert read(link, LARGE) == LARGE


def test_when_an_upstream_stops_reading_the_client_stops_sending_m14_f23(
    gateway: OpenGateway, upstream: BigUpstream
) -> None:
    before = gateway.most_resident()
    upstream.open.clear()
    with gateway.connect() as link:
        upload = Upload(gateway, link, LARGE)
        under_way = until_it_stops(lambda: upload.sent)
        assert 0 < under_way < MOST_UNDER_WAY
        assert gateway.most_resident() - before < MEBIBYTE
        upstream.open.set()
        assert upload.answer().startswith(b"HTTP/1.1 200")
    assert upstream.taken == LARGE


def test_when_an_upstream_is_slow_to_send_the_client_has_what_there_is_m14(
    gateway: OpenGateway, upstream: BigUpstream
) -> None:
    with gateway.connect() as link:
        ask_down(gateway, link, LARGE)
        assert read(link, MEBIBYTE) == MEBIBYTE
        upstream.open.clear()
        got = [MEBIBYTE]

        def drain() -> None:
            got.append(read(link, LARGE - MEBIBYTE))

        thread = Thread(target=drain, daemon=True)
        thread.start()
        sent = until_it_stops(lambda: upstream.sent)
        assert sent < LARGE
        assert len(got) == 1
        upstream.open.set()
        thread.join(30)
        assert sum(got) == LARGE
