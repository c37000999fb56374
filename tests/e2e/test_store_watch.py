"""Watching the store under every fault: what is not proven is not claimed, and it heals.

A real redis-server; a proxy where the fault lies on the way. The link may claim to hold for one
second after its last proof; `SOON` leaves half a second to a busy machine.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.ports import LookupId, StoredRecord
from gateway.secret import Password, StoreUrl
from tests.support.redis_servers import RealServer, free_port, redis_server_binary, running
from tests.support.store_watcher import Told, until
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.e2e

SOON = 1.5  # seconds
LATER = 10.0  # seconds, until all is well again
A = LookupId("lookup-a")
RECORD = StoredRecord(1, b"sealed")


def redis_server(folder_of: pytest.TempPathFactory) -> RealServer:
    return RealServer(redis_server_binary(), folder_of.mktemp("redis"), port=free_port())


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with running(redis_server(tmp_path_factory)) as started:
        yield started


@pytest.fixture
async def proxy(server: RealServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(("127.0.0.1", server.port)) as started:
        yield started


@pytest.fixture
async def store(proxy: TcpProxy) -> AsyncIterator[RedisStore]:
    opened = RedisStore(StoreSettings(StoreUrl(f"redis://127.0.0.1:{proxy.port}/0")))
    yield opened
    await opened.aclose()


@pytest.fixture
async def told(store: RedisStore) -> Told:
    watcher = Told()
    store.watch(watcher)
    await until(store.is_watched)
    watcher.of.clear()
    return watcher


async def is_lost(store: RedisStore, told: Told) -> None:
    await until(lambda: None in told.of and not store.is_watched(), SOON)
    told.of.clear()


async def is_well_again(server: RealServer, store: RedisStore, told: Told) -> None:
    await until(store.is_watched)
    assert None in told.of, "what was kept before the new link is not to be believed"
    told.of.clear()
    server.command("SET", "gw:s:lookup-a", bytes(8), "PX", "60000")
    await until(lambda: told.of == [A])


async def test_f2_a_frozen_server_is_known_to_be_and_comes_back(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    server.freeze()
    try:
        await is_lost(store, told)
    finally:
        server.thaw()
    await is_well_again(server, store, told)


async def test_f1_a_stopped_server_is_known_at_once_and_comes_back(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    for _ in range(2):
        server.stop()
        await is_lost(store, told)
        server.start()
        await is_well_again(server, store, told)


async def test_a_silent_way_is_known_and_comes_back(
    server: RealServer, proxy: TcpProxy, store: RedisStore, told: Told
) -> None:
    """A partition: nothing is reset, nothing arrives."""
    proxy.mute = True
    await is_lost(store, told)
    proxy.heal()
    await is_well_again(server, store, told)


async def test_a_link_that_is_deaf_alone_is_known_though_the_store_answers(
    server: RealServer, proxy: TcpProxy, store: RedisStore, told: Told
) -> None:
    """Reads and writes work; only announcements are lost. Nothing but the proof shows it."""
    proxy.mute_subscribers = True
    await is_lost(store, told)
    assert await store.read(A) is None
    assert not store.is_watched()
    proxy.heal()
    await is_well_again(server, store, told)


@pytest.mark.parametrize("way", ["reset_all", "close_all"])
async def test_connections_cut_on_the_way_are_known_at_once(
    way: str, server: RealServer, proxy: TcpProxy, store: RedisStore, told: Told
) -> None:
    for _ in range(3):
        getattr(proxy, way)()
        await is_lost(store, told)
        await is_well_again(server, store, told)


async def test_a_killed_link_is_known_at_once(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    assert server.command("CLIENT", "KILL", "TYPE", "pubsub") == 1
    await is_lost(store, told)
    await is_well_again(server, store, told)


async def test_killing_the_other_connections_costs_nothing(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    for _ in range(5):
        await store.ping()
        server.command("CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(0.25)
        assert store.is_watched()
    assert told.of == []


async def test_f4_garbage_on_the_link_costs_the_link(
    server: RealServer, proxy: TcpProxy, store: RedisStore, told: Told
) -> None:
    for garbage in (
        b"-ERR no\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"*-1\r\n",
        b"*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n*0\r\n",
        b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$1\r\nx\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ):
        proxy.garbage = garbage
        server.command("SET", "gw:s:x", "1", "PX", "60000")
        await is_lost(store, told)
        proxy.heal()
        await is_well_again(server, store, told)


async def test_a_link_to_yesterdays_primary_is_known_when_the_pool_has_moved_on(
    server: RealServer,
    proxy: TcpProxy,
    store: RedisStore,
    told: Told,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """After a failover behind one name both servers are alive, and the link hears the wrong one."""
    with running(redis_server(tmp_path_factory)) as successor:
        proxy.target = ("127.0.0.1", successor.port)
        server.command("CLIENT", "KILL", "TYPE", "normal")
        await is_lost(store, told)
        await is_well_again(successor, store, told)
        assert server.command("PUBSUB", "NUMSUB", "__redis__:invalidate") == [
            b"__redis__:invalidate",
            0,
        ]


async def test_a_worker_that_was_held_up_trusts_nothing_when_it_goes_on(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    """SIGSTOP, a paused machine, a blocked event loop: no turn of the loop comes in between."""
    time.sleep(1.1)  # noqa: ASYNC251 - this is the fault
    assert not store.is_watched()
    await until(store.is_watched)
    server.command("SET", "gw:s:lookup-a", bytes(8), "PX", "60000")
    await until(lambda: A in told.of)


async def test_a_full_server_is_not_relied_upon_and_still_answers_reads(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    """F4: it refuses the proof like every write, so nobody knows; reads go to it."""
    server.command("SET", "gw:s:lookup-a", bytes(7) + b"\x01sealed", "PX", "60000")
    await until(lambda: told.of == [A])
    server.command("CONFIG", "SET", "maxmemory", "1")
    await is_lost(store, told)
    assert await store.read(A) == RECORD
    server.command("CONFIG", "SET", "maxmemory", "0")
    await is_well_again(server, store, told)


ALL_BUT_TRACKING = "~* &* +@all -client"
ALL_BUT_THE_CHANNEL = "~* resetchannels +@all"


@pytest.mark.parametrize("rules", [ALL_BUT_TRACKING, ALL_BUT_THE_CHANNEL])
async def test_a_store_that_may_not_be_watched_works_and_says_so_once(
    rules: str, server: RealServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    server.command("ACL", "SETUSER", "limited", "on", ">seeded-password", *rules.split())
    url = StoreUrl(f"redis://127.0.0.1:{server.port}/0")
    settings = StoreSettings(url, username="limited", password=Password("seeded-password"))
    store = RedisStore(settings)
    told = Told()
    store.watch(told)
    await store.create(A, RECORD, ttl=60, indexes=[], index_ttl=60)
    await until(lambda: bool(caplog.records))
    for _ in range(3):
        assert await store.read(A) == RECORD
        assert not store.is_watched()
        await asyncio.sleep(0.2)
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert "NoPermissionError" in line.getMessage()
    assert "docs/operations.md" in line.getMessage()
    for secret in ("seeded", "limited", "127.0.0.1"):  # D14
        assert secret not in caplog.text
    await store.aclose()


async def test_a_server_without_client_tracking_works_and_is_not_asked_over_and_over(
    server: RealServer, caplog: pytest.LogCaptureFixture, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A proxy in front of Redis, most often."""
    without = redis_server(tmp_path_factory)
    without.settings = ('rename-command CLIENT ""',)
    with running(without):
        store = RedisStore(StoreSettings(StoreUrl(f"redis://127.0.0.1:{without.port}/0")))
        store.watch(Told())
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(1.0)
        assert await store.read(A) is None
        assert not store.is_watched()
        stats = without.command("INFO", "errorstats")
        assert isinstance(stats, bytes)
        assert b"errorstat_ERR:count=1\r\n" in stats
        assert len(caplog.records) == 1
        await store.aclose()


async def test_closing_ends_the_link_and_believes_nothing_more(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    await store.aclose()
    assert not store.is_watched()
    assert told.of == [None]
    assert asyncio.all_tasks() - proxies_tasks() == {asyncio.current_task()}
    connected = server.command("CLIENT", "LIST", "TYPE", "pubsub")
    await until(lambda: server.command("CLIENT", "LIST", "TYPE", "pubsub") == b"")
    assert connected is not None


def proxies_tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if "TcpProxy" in repr(task.get_coro())}


async def test_closing_ends_whatever_the_link_is_just_doing(server: RealServer) -> None:
    """`asyncio.wait_for` of Python 3.11 swallows a cancellation that comes at the wrong moment."""
    dice = random.Random(7)  # noqa: S311 - repeatable, not secret
    for _ in range(300):
        store = RedisStore(StoreSettings(StoreUrl(f"redis://127.0.0.1:{server.port}/0")))
        store.watch(Told())
        for _ in range(dice.randrange(40)):
            await asyncio.sleep(0)
        await asyncio.sleep(dice.choice((0, 0, 0.001, 0.003)))
        async with asyncio.timeout(LATER):
            await store.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_while_the_server_is_frozen_ends(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    server.freeze()
    try:
        await asyncio.sleep(0.4)
        async with asyncio.timeout(LATER):
            await store.aclose()
    finally:
        server.thaw()
    assert not store.is_watched()


async def test_a_store_watched_before_its_loop_runs_opens_the_link_at_the_first_read(
    server: RealServer,
) -> None:
    store = RedisStore(StoreSettings(StoreUrl(f"redis://127.0.0.1:{server.port}/0")))
    await asyncio.to_thread(store.watch, Told())  # where no loop runs
    await asyncio.sleep(0.2)
    assert not store.is_watched()
    await store.read(A)
    await until(store.is_watched)
    await store.aclose()


async def test_the_proofs_leave_nothing_behind_and_are_told_to_nobody_else(
    server: RealServer, store: RedisStore, told: Told
) -> None:
    other = RedisStore(StoreSettings(StoreUrl(f"redis://127.0.0.1:{server.port}/0")))
    others = Told()
    other.watch(others)
    await until(other.is_watched)
    others.of.clear()
    await asyncio.sleep(1.0)
    keys = server.command("KEYS", "*")
    assert isinstance(keys, list)
    assert 0 < len(keys) < 20
    assert all(key.startswith(b"gw:w:") for key in keys)
    await other.aclose()
    await store.aclose()
    await until(lambda: server.command("KEYS", "*") == [])
    assert others.of == [None]  # of its own closing
    assert told.of == [None]
