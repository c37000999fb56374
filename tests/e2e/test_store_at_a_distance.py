"""The way to the store is slow, breaks off, or garbles, and people use the gateway (F3, F4).

The gateway keeps nothing in memory here, so that every request asks the store.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from tests.support.crowd import WITH_A_SESSION, Crowd, busy
from tests.support.outages import (
    Place,
    a_place,
    all_is_well_again,
    is_an_outage,
    nobody_is_logged_out,
)
from tests.support.redis_servers import RealServer, free_port
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.e2e

ASKING = 60
TIMEOUTS = {"connect_timeout": "600ms", "command_timeout": "600ms", "operation_timeout": "1200ms"}
AT_ONCE = 5.0  # seconds; one and a bit is promised
LOOKED_UP = re.compile(rb"keyspace_(?:hits|misses):([0-9]+)")


@dataclass
class Between:
    """A gateway whose store is behind a proxy."""

    place: Place
    port: int  # of the proxy, which each test starts anew


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    port = free_port()
    folder = tmp_path_factory.mktemp("distance")
    with a_place(folder, behind=port, timeouts=TIMEOUTS, session={"cache_bytes": 0}) as place:
        yield Between(place, port)


@pytest.fixture
async def proxy(shared: Between) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(("127.0.0.1", shared.place.server.port))
    proxy.port = shared.port
    async with proxy:
        await shared.place.until_ready()
        yield proxy
        assert shared.place.crew.metric("gateway_worker_restarts_total") == 0
        assert "Traceback" not in shared.place.crew.program.output


def looked_up(server: RealServer) -> int:
    """How many records the server has looked up since it was last told to count.

    Not commands: requests that come at one moment share one, and how many do is chance.
    """
    stats = server.command("INFO", "stats")
    assert isinstance(stats, bytes)
    return sum(int(number) for number in LOOKED_UP.findall(stats))


async def asking(crowd: Crowd, server: RealServer) -> tuple[int, float]:
    """Some people, one after the other in ten rows: records, and the median of their time."""
    server.command("CONFIG", "RESETSTAT")
    began = time.monotonic()
    people = [*crowd.cookies][:ASKING]

    async def row(number: int) -> None:
        for person in people[number::10]:
            await crowd.ask("call", person)

    await asyncio.gather(*(row(number) for number in range(10)))
    took = sorted(one.took for one in crowd.told if one.began >= began)
    assert len(took) == len(people)
    return looked_up(server), took[len(took) // 2]


async def test_f3_a_slow_store_costs_its_delay_and_nothing_is_read_twice(
    shared: Between, proxy: TcpProxy
) -> None:
    place = shared.place
    crowd = await place.crowd()
    normal, quick = await asking(crowd, place.server)
    proxy.latency = 0.1
    slow, late = await asking(crowd, place.server)
    nobody_is_logged_out(crowd)
    assert crowd.count().keys() == {200}
    assert normal >= ASKING
    assert slow <= 1.2 * normal
    assert 0.05 < late - quick < 1.0  # a tenth of a second, twice on a new connection


async def test_f3_a_store_slower_than_the_budget_is_a_503_and_is_not_asked_again(
    shared: Between, proxy: TcpProxy
) -> None:
    place = shared.place
    crowd = await place.crowd()
    normal, _ = await asking(crowd, place.server)
    proxy.latency = 1.5
    slow, late = await asking(crowd, place.server)
    nobody_is_logged_out(crowd)
    assert all(is_an_outage(one) for one in crowd.told[-ASKING:])
    assert slow <= 1.2 * normal
    assert late < AT_ONCE
    proxy.heal()
    await place.until_ready()
    await all_is_well_again(crowd)


REPLIES = (
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    b"-ERR unknown command\r\n",
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    b"+garbage\r\n",
    b"$5\r\ngarbage\r\n",
    b"*2\r\n$-1\r\n:1\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
)


async def test_f4_whatever_the_store_says_instead_is_a_503_and_the_next_answer_is_right(
    shared: Between, proxy: TcpProxy
) -> None:
    crowd = await shared.place.crowd()
    people = [*crowd.cookies][:40]
    for reply in REPLIES:
        proxy.garbage = reply
        told = await asyncio.gather(*(crowd.ask("call", person) for person in people))
        assert all(is_an_outage(one) for one in told), reply
        assert all(one.took < AT_ONCE for one in told)
        proxy.heal()
        told = await asyncio.gather(*(crowd.ask("call", person) for person in people))
        assert {one.status for one in told} == {200}, reply
    nobody_is_logged_out(crowd)


async def test_f4_a_reply_that_breaks_off_anywhere_is_nobody_elses(
    shared: Between, proxy: TcpProxy
) -> None:
    crowd = await shared.place.crowd()
    people = [*crowd.cookies][:10]
    for octets in (*range(20), 40, 100, 400):
        proxy.reset_all()
        proxy.limit_data = octets
        told = await asyncio.gather(*(crowd.ask("me", person) for person in people))
        assert all(is_an_outage(one) for one in told), octets
        proxy.heal()
    await all_is_well_again(crowd)
    nobody_is_logged_out(crowd)


async def test_f4_connections_that_are_reset_under_load_log_nobody_out(
    shared: Between, proxy: TcpProxy
) -> None:
    crowd = await shared.place.crowd(seen_ago=120)
    async with busy(crowd):
        for _ in range(10):
            await asyncio.sleep(0.15)
            proxy.reset_all()
    nobody_is_logged_out(crowd)
    found = crowd.count(lambda one: one.kind in WITH_A_SESSION)
    assert found[200] > 50
    assert found.keys() <= {200, 503}
    await all_is_well_again(crowd)
