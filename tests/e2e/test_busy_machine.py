"""A machine that is busy with other things: the gateway is slow then, and nothing else (F35)."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.bearer_api import bearer_api
from tests.support.crew import TOKEN, crewed
from tests.support.load import loaded
from tests.support.people import nobody_noticed, person

pytestmark = pytest.mark.e2e

BUSY = """
import time
until = time.monotonic() + 60  # whatever becomes of the test
while time.monotonic() < until:
    pass
"""


@contextmanager
def busy_loops(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Let so many processes compute for the length of a block."""
    command = [sys.executable, "-c", BUSY]
    loops = [subprocess.Popen(command) for _ in range(count)]  # noqa: S603  our own
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


async def test_f35_who_has_to_share_the_processor_answers_everybody_and_replaces_nobody(
    tmp_path: Path, store: str
) -> None:
    with bearer_api(tmp_path, TOKEN) as api:
        routes = [{"path": "/api/", "upstream": api, "access": "session"}]
        with crewed(tmp_path, store, routes=routes) as crew:
            ada = await person(crew)
            kept = ada.load("kept", clients=12)
            short = ada.load("short", clients=4, each=3)
            before = crew.workers()
            with busy_loops(4) as loops:
                async with loaded(kept, short):
                    await asyncio.sleep(4)
                assert [loop.poll() for loop in loops] == [None] * 4  # all the while
            nobody_noticed(kept, short)
            assert kept.refused == short.refused == 0
            assert min(kept.answered, short.answered) > 20
            assert crew.workers() == before
            assert crew.metric("gateway_worker_restarts_total") == 0
            assert crew.metric("gateway_worker_silences_total") == 0
