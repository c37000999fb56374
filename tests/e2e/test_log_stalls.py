"""Whoever takes the log stalls, or its disk is full: lines are lost, requests are not (F35)."""

import asyncio
import json
import os
import signal
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.echo_server import echo_server
from tests.support.http_answer import statuses
from tests.support.load import Load, loaded
from tests.support.open_gateway import OpenGateway, open_gateway

pytestmark = pytest.mark.e2e

REFUSALS = 12_000  # so many lines are more than a pipe, and than two workers keep
PATIENCE = 30.0


class Reader:
    """The one who is supposed to read the log."""

    def __init__(self, folder: Path) -> None:
        self.pipe = folder / "pipe"
        os.mkfifo(self.pipe)
        self._end = os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK)
        self._octets = b""
        self._thread: threading.Thread | None = None

    def read_on(self) -> None:
        os.set_blocking(self._end, True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while piece := os.read(self._end, 65536):
            self._octets += piece

    def lines(self, event: str) -> list[dict[str, Any]]:
        whole = self._octets.rpartition(b"\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]  # every one is a whole one
        return [line for line in lines if line["event"].startswith(event)]

    def close(self) -> None:
        """To be called when nobody can write any more."""
        if self._thread is not None:
            self._thread.join(PATIENCE)
        os.close(self._end)


@contextmanager
def unread(folder: Path) -> Iterator[tuple[OpenGateway, Reader]]:
    """A gateway whose log nobody reads for now."""
    reader = Reader(folder)
    with echo_server() as port:
        route = {"upstream": f"http://127.0.0.1:{port}/"}
        try:
            with open_gateway(folder, {"/api/": route}, workers=2, log_to=reader.pipe) as gateway:
                yield gateway, reader
        finally:
            reader.close()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def request(gateway: OpenGateway, path: bytes, *, last: bool = False) -> bytes:
    close = b"Connection: close\r\n" if last else b""
    return b"GET %b HTTP/1.1\r\n" % path + gateway.host + close + b"\r\n"


async def refused(gateway: OpenGateway, count: int) -> Load:
    """Provoke so many refusals, with proper requests in between; return what came of it."""
    wrong, right = request(gateway, b"/nowhere"), request(gateway, b"/api/x")
    load = Load(gateway.port, [wrong] * 19 + [right], pause=0)
    async with asyncio.timeout(120), loaded(load):
        while load.statuses[404] < count:  # noqa: ASYNC110  the load tells nobody
            await asyncio.sleep(0.05)
    return load


def lost(lines: list[dict[str, Any]]) -> int:
    """Audit lines lost, by each process's own last word."""
    return sum({line.get("worker"): line["lost_audit_lines"] for line in lines}.values())


async def test_a_log_that_nobody_reads_delays_nobody_and_tells_later_what_is_lost_f35(
    tmp_path: Path,
) -> None:
    with unread(tmp_path) as (gateway, reader):
        load = await refused(gateway, REFUSALS)
        assert load.lost == []
        assert load.statuses.keys() == {404, 200}
        assert gateway.ready()["status"] == "ready"
        dropped = gateway.metric("gateway_log_lines_lost_total")
        assert dropped > 1000
        reader.read_on()
        until(lambda: lost(reader.lines("log lines were lost")) == dropped)
        # Every refusal is in the log or in the count, and each process counted once.
        await asyncio.sleep(0.5)
        assert len(reader.lines("request.refused")) + dropped == load.statuses[404]
        assert len(reader.lines("log lines were lost")) <= 2
        assert statuses(gateway.say(request(gateway, b"/later", last=True))) == [404]
        until(lambda: len(reader.lines("request.refused")) + dropped == load.statuses[404] + 1)
        assert gateway.metric("gateway_log_lines_lost_total") == dropped


async def test_while_nobody_reads_a_worker_is_replaced_and_the_gateway_stops_in_order_f35(
    tmp_path: Path,
) -> None:
    """The supervisor forks and logs, too, and must not be held up either."""
    with unread(tmp_path) as (gateway, _):
        await refused(gateway, 2000)  # more than the pipe holds
        for _ in range(3):
            before = workers(gateway)
            os.kill(before[0], signal.SIGKILL)
            until(lambda gone=before[0]: len({*workers(gateway)} - {gone}) == 2)  # type: ignore[misc]  # bound early
        assert statuses(gateway.say(request(gateway, b"/api/x", last=True))) == [200]
        assert gateway.program.stop() == 0  # one that hangs is killed, and that is not 0


def workers(gateway: OpenGateway) -> list[int]:
    try:
        found = gateway.ready()["workers"]
    except (urllib.error.URLError, OSError):
        return []
    return [one["process"] for one in found if one["state"] == "ready"]


async def test_a_full_disk_costs_lines_and_no_request_f35(tmp_path: Path) -> None:
    with echo_server() as port:
        route = {"upstream": f"http://127.0.0.1:{port}/"}
        full = Path("/dev/full")
        with open_gateway(tmp_path, {"/api/": route}, workers=2, log_to=full) as gateway:
            load = await refused(gateway, 1000)
            assert load.lost == []
            assert load.statuses.keys() == {404, 200}
            assert gateway.ready()["status"] == "ready"
            until(
                lambda: (
                    gateway.metric('gateway_log_lines_lost_total{worker="0",log="audit"')
                    + gateway.metric('gateway_log_lines_lost_total{worker="1",log="audit"')
                    == load.statuses[404]
                )
            )
            assert gateway.metric("gateway_log_lines_lost_total{log=") > 0  # the supervisor's
            assert gateway.program.output == ""  # nobody complains on standard error
