"""A worker that lives and does nothing: people are helped meanwhile, and it is replaced."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.bearer_api import bearer_api
from tests.support.crew import TOKEN, crewed, lives
from tests.support.load import Load, loaded, ports_of

pytestmark = pytest.mark.e2e


async def test_a_frozen_worker_is_replaced_and_only_its_own_connections_break(
    tmp_path: Path, store: str
) -> None:
    listen = {"host": "127.0.0.1", "workers": 2, "worker_silence": "3s"}
    with bearer_api(tmp_path, TOKEN) as api:
        routes = [{"path": "/api/", "upstream": api, "access": "session"}]
        with crewed(tmp_path, store, routes=routes) as crew:
            crew.write(listen={**listen, "port": crew.port})
            await crew.reload()  # the patience is that of the configuration in force
            request = (
                f"GET /api/x HTTP/1.1\r\nhost: localhost:{crew.port}\r\n"
                f"sec-fetch-site: same-origin\r\nx-csrf: 1\r\ncookie: {await crew.log_in()}\r\n\r\n"
            ).encode()
            kept = Load(crew.port, [request], clients=8, pause=0.01)
            short = Load(crew.port, [request], clients=4, pause=0.01, per_connection=1)
            async with loaded(kept, short):
                await crew.until(lambda: kept.answered > 100)
                frozen, other = crew.workers()
                os.kill(frozen, signal.SIGSTOP)
                its_own = ports_of(frozen, crew.port)
                before = short.answered
                await crew.until(lambda: short.answered > before + 50)  # by the other one
                await crew.until(lambda: not lives(frozen))
                await crew.until(lambda: len(crew.workers()) == 2)
                after = short.answered
                await crew.until(lambda: short.answered > after + 50)
            assert other in crew.workers()
            assert kept.statuses.keys() | short.statuses.keys() == {200}
            assert {one.port for one in kept.lost + short.lost} <= its_own
            assert kept.refused == short.refused == 0
            assert crew.metric('gateway_worker_silences_total{consequence="replaced"}') == 1
            assert crew.metric("gateway_worker_restarts_total") == 1
            await crew.until(lambda: crew.said("has not answered for"))
            assert await asyncio.to_thread(crew.program.stop) == 0
