"""Open channels where the store's server announces nothing: they end with their session (P4, J16).

Two gateways' parts over a real server, and the gateways' own timers.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.secret import StoreUrl
from tests.support.live_channels import ended, opened
from tests.support.redis_servers import RealServer, redis_server_binary, running
from tests.support.store_watcher import until
from tests.support.world import World

pytestmark = pytest.mark.e2e


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with running(RealServer(redis_server_binary(), tmp_path)) as started:
        yield started


@pytest.fixture
async def stores(server: RealServer) -> AsyncIterator[list[RedisStore]]:
    url = StoreUrl(f"unix://{server.socket_path}")
    patient = StoreSettings(url, connect_timeout=3, command_timeout=3, slot_timeout=3, budget=9)
    made = [RedisStore(patient) for _ in range(2)]
    yield made
    for store in made:
        await store.aclose()


@pytest.mark.parametrize("why", ["an ACL forbids it", "the store is full"])
async def test_a_logout_at_another_worker_closes_a_websocket_though_nothing_is_announced(
    server: RealServer, stores: list[RedisStore], why: str
) -> None:
    if why == "an ACL forbids it":
        server.command("ACL", "SETUSER", "default", "-client|tracking")
    here, there = stores
    world = World(store=here)
    other = world.replica(store=there)
    browser, here_end, there_end = await opened(world, "/live/bare/x")
    if why == "the store is full":
        await until(here.is_watched)
        server.command("CONFIG", "SET", "maxmemory", "1")
        await until(lambda: not here.is_watched())
    assert not here.is_watched()
    elsewhere = world.browser(other)
    elsewhere.cookies = dict(browser.cookies)
    answer = await elsewhere.fetch("/bff/logout", "POST")
    assert answer.status == 200
    for _ in range(10):
        world.clock.advance(0.5)  # no deadline is near
        await asyncio.sleep(0.25)
        if here_end.closed:
            break
    await ended(here_end, there_end, within=10)
    for gateway in (world.gateway, other):
        await gateway.aclose()
