"""A store that is full refuses what needs memory: no refresh token is spent that it cannot replace.

Redis judges a Lua step by its first write, and lets the others pass. A step that began with a
deletion would be carried out by a full server, and a grant be made whose tokens only this process
has: a deploy would log everybody out who had one (F4, H9).
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_store import RedisStore
from gateway.errors import Code, Unavailable
from gateway.ports import Doubt, LookupId, Mine
from gateway.secret import StoreUrl
from tests.support.redis_servers import RealServer, redis_server_binary, running
from tests.support.store_servers import patient
from tests.support.world import World

pytestmark = pytest.mark.e2e

LONG = 60.0
FULL, ROOMY = "1", "0"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with running(RealServer(redis_server_binary(), tmp_path_factory.mktemp("redis"))) as started:
        yield started


@pytest.fixture
async def store(server: RealServer) -> AsyncIterator[RedisStore]:
    opened = client(server)
    yield opened
    await opened.aclose()


def client(server: RealServer) -> RedisStore:
    return RedisStore(patient(StoreSettings(StoreUrl(f"unix://{server.socket_path}"))))


def memory(server: RealServer, most: str) -> None:
    server.command("CONFIG", "SET", "maxmemory", most)


async def test_no_grant_begins_and_those_under_way_may_end(
    server: RealServer, store: RedisStore
) -> None:
    lock = RedisLock(store.client)
    held, dead, free = LookupId("held"), LookupId("dead"), LookupId("free")
    for lookup, lease in ((held, LONG), (dead, 0.001), (free, LONG)):
        await lock.begin(lookup, "one", lease=lease, keep=LONG)
    await lock.finish(free, "one", doubt=Doubt.LOST, pause=0)
    memory(server, FULL)
    for lookup in (LookupId("new"), dead, free):
        with pytest.raises(Unavailable):
            await lock.begin(lookup, "two", lease=LONG, keep=LONG)
    assert server.command("EXISTS", "gw:g:new") == 0
    assert await lock.renew(dead, "one", lease=LONG, keep=LONG)
    await lock.finish(dead, "one", doubt=Doubt.UNCLEAR, pause=0)
    assert await lock.renew(held, "one", lease=LONG, keep=LONG)
    await lock.abandon(held, "one")
    memory(server, ROOMY)
    assert await lock.begin(dead, "two", lease=LONG, keep=LONG) == Mine(Doubt.UNCLEAR)
    assert await lock.begin(free, "two", lease=LONG, keep=LONG) == Mine(Doubt.LOST)
    assert await lock.begin(held, "two", lease=LONG, keep=LONG) == Mine(Doubt.LOST, taken_over=True)


async def test_no_refresh_token_is_spent_and_a_deploy_meanwhile_costs_nobody_the_session(
    server: RealServer, store: RedisStore
) -> None:
    world = World(store=store)
    browsers = [await world.logged_in() for _ in range(3)]
    world.clock.advance(400)
    memory(server, FULL)
    for browser in browsers:
        answer = await browser.fetch("/api/x")
        assert (answer.status, answer.json()["code"]) == (503, Code.STORE_UNAVAILABLE)
        assert answer.all("set-cookie") == []
    assert world.provider.seen("/token") == len(browsers)  # their logins'
    await world.gateway.aclose()
    memory(server, ROOMY)
    other = client(server)
    new = world.replica(store=other)
    for browser in browsers:
        there = world.browser(new)
        there.cookies = browser.cookies
        assert (await there.fetch("/api/x")).status == 200
    await new.aclose()
    await other.aclose()
