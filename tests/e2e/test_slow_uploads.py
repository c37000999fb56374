"""Slow uploads and the upstream they are meant for: its connections come back (F25)."""

import contextlib
import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.echo_server import echo_server
from tests.support.http_answer import read_all, statuses
from tests.support.open_gateway import OpenGateway, open_gateway

pytestmark = pytest.mark.e2e

POOL = 4


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenGateway]:
    with echo_server() as port:
        route = {
            "upstream": f"http://127.0.0.1:{port}/",
            "max_connections": POOL,
            "wait_timeout": "20s",
        }
        folder = tmp_path_factory.mktemp("home")
        with open_gateway(folder, {"/": route}, limits={"body_idle": "2s"}) as started:
            yield started


def upload(gateway: OpenGateway, length: int) -> bytes:
    head = b"POST /up HTTP/1.1\r\n" + gateway.host + b"Connection: close\r\nContent-Length: %d"
    return head % length + b"\r\n\r\n"


def in_use(gateway: OpenGateway) -> float:
    return gateway.metric('gateway_upstream_connections{worker="0",state="in_use"')


def test_uploads_that_drip_do_not_hold_an_upstreams_connections(gateway: OpenGateway) -> None:
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(gateway.connect()) for _ in range(POOL)]
        for link in links:
            link.sendall(upload(gateway, 100_000) + b"x")
        deadline = time.monotonic() + 10
        while in_use(gateway) < POOL and time.monotonic() < deadline:
            drip(links)
        assert in_use(gateway) == POOL
        # The effect: nobody else gets through. It lasts as long as one pause may, and not for ever.
        ask = b"GET /x HTTP/1.1\r\n" + gateway.host + b"Connection: close\r\n\r\n"
        until = time.monotonic() + 20
        with gateway.connect() as other:
            other.sendall(ask)
            while not readable(links[-1]) and time.monotonic() < until:
                drip(links)
            assert statuses(read_all(other)) == [200]
        for link in links:
            answer = read_all(link)
            assert statuses(answer) == [408]
            assert b'"code":"request.timeout"' in answer
    assert in_use(gateway) == 0
    assert statuses(gateway.say(ask)) == [200]


def test_an_upload_that_is_slow_and_steady_passes(gateway: OpenGateway) -> None:
    with gateway.connect() as link:
        link.sendall(upload(gateway, 5000))
        for _ in range(50):
            link.sendall(b"x" * 100)
            time.sleep(0.08)
        answer = read_all(link)
    assert statuses(answer) == [200]
    assert b'"length": 5000' in answer


def drip(links: list[socket.socket]) -> None:
    """An octet on each connection, well within what one pause may take."""
    for link in links:
        with contextlib.suppress(OSError):  # it has had its answer
            link.sendall(b"x")
    time.sleep(0.1)


def readable(link: socket.socket) -> bool:
    return bool(select.select([link], [], [], 0)[0])
