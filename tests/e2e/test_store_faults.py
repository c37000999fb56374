"""The store under every fault Redis can have: trouble is `Unavailable`, soon, and never a verdict.

F numbers name the faults. A real redis-server, frozen, stopped and started again; a proxy where
the fault lies on the way. `GUARD` only tells half a second from the minute a stock client takes.
"""

import asyncio
import dataclasses
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_revocations import KEPT_FOR, RedisRevocations
from gateway.adapters.redis_store import RedisStore
from gateway.errors import Code, Unavailable
from gateway.ports import Doubt, IndexName, LookupId, StoredRecord
from gateway.secret import Password, StoreUrl
from tests.support.redis_servers import RealServer, free_port, redis_server_binary, running
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.e2e

GUARD = 3.0  # seconds
LONG = 60.0

A = LookupId("lookup-a")
RECORD = StoredRecord(1, b"the sealed session of lookup-a, long enough to be cut")
SUBJECT = IndexName("by-subject")

Operation = Callable[[RedisStore], Awaitable[object]]


def create(lookup: LookupId, record: StoredRecord = RECORD) -> Operation:
    return lambda store: store.create(lookup, record, ttl=LONG, indexes=[SUBJECT], index_ttl=LONG)


OPERATIONS: dict[str, Operation] = {
    "read": lambda store: store.read(A),
    "read_many": lambda store: store.read_many([A, LookupId("other")]),
    "create": create(LookupId("new")),
    "replace": lambda store: store.replace(A, RECORD, expected=1, ttl=LONG),
    "end": lambda store: store.end(LookupId("other"), [SUBJECT]),
    "members": lambda store: store.members(SUBJECT),
    "claim": lambda store: store.claim("name", ttl=LONG),
    "end, and keep": lambda store: store.end(LookupId("other"), [SUBJECT], keep=LONG),
    "take": lambda store: store.take(A),
    "claimed": lambda store: store.claimed("name"),
    "mark": lambda store: store.mark([SUBJECT, IndexName("another")], 1.0, ttl=LONG),
    "marks": lambda store: store.marks([SUBJECT, IndexName("another")]),
    "ping": lambda store: store.ping(),
}
WRITES = ("create", "replace", "end", "end, and keep", "take", "claim", "mark")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("redis")
    with running(RealServer(redis_server_binary(), folder, port=free_port())) as started:
        yield started


@pytest.fixture
async def proxy(server: RealServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(("127.0.0.1", server.port)) as started:
        yield started


def settings_for(port: int) -> StoreSettings:
    return StoreSettings(StoreUrl(f"redis://127.0.0.1:{port}/0"))


def patient(port: int) -> StoreSettings:
    return patient_at(f"redis://127.0.0.1:{port}/0")


def patient_at(url: str) -> StoreSettings:
    """Settings for tests of what happens, not of how soon: a busy machine must not fail them."""
    return StoreSettings(
        StoreUrl(url), connect_timeout=3, command_timeout=3, slot_timeout=3, budget=9
    )


@pytest.fixture
async def store(server: RealServer) -> AsyncIterator[RedisStore]:
    opened = RedisStore(settings_for(server.port))
    yield opened
    await opened.aclose()


@pytest.fixture
async def patient_store(server: RealServer) -> AsyncIterator[RedisStore]:
    opened = RedisStore(patient(server.port))
    yield opened
    await opened.aclose()


@pytest.fixture
async def proxied(proxy: TcpProxy) -> AsyncIterator[RedisStore]:
    opened = RedisStore(patient(proxy.port))
    yield opened
    await opened.aclose()


async def outcome(asked: Awaitable[object]) -> object:
    """The answer, or the code of the `Unavailable`; anything else raised fails the test."""
    async with asyncio.timeout(GUARD):
        (result,) = await asyncio.gather(asked, return_exceptions=True)
    if not isinstance(result, BaseException):
        return result
    assert isinstance(result, Unavailable), result
    assert result.retry_after == 1
    return result.code


async def every_outcome(store: RedisStore) -> set[object]:
    asked = [outcome(operation(store)) for operation in OPERATIONS.values()]
    return set(await asyncio.gather(*asked))


DOWN = {Code.STORE_UNAVAILABLE}


async def test_f1_a_stopped_server_is_unavailable_and_the_session_is_there_after_its_return(
    server: RealServer, store: RedisStore
) -> None:
    await create(A)(store)
    server.stop()
    assert await every_outcome(store) == DOWN
    server.start()
    assert await store.read(A) == RECORD
    assert await store.claim("first since", ttl=LONG)


async def test_f2_a_frozen_server_is_unavailable_soon_for_hundreds_at_once(
    server: RealServer, store: RedisStore
) -> None:
    """Stock redis-py stalls for 58 s here. The event loop stays free meanwhile."""
    await create(A)(store)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    heart = asyncio.create_task(beat())
    server.freeze()
    try:
        asked = [outcome(OPERATIONS["read"](store)) for _ in range(300)]
        assert set(await asyncio.gather(*asked)) == DOWN
        assert await every_outcome(store) == DOWN
    finally:
        server.thaw()
        heart.cancel()
    assert beats > 10
    assert await store.read(A) == RECORD


async def test_f2_a_mute_server_is_asked_once_and_given_up(
    proxy: TcpProxy, server: RealServer
) -> None:
    """F3: what did not answer in time is not asked again at once."""
    store = RedisStore(settings_for(proxy.port))
    proxy.mute = True
    for name, operation in OPERATIONS.items():
        before = proxy.connections
        assert await outcome(operation(store)) is Code.STORE_UNAVAILABLE, name
        assert proxy.connections == before + 1, name
    proxy.heal()
    await create(A)(store)
    assert await store.read(A) == RECORD
    await store.aclose()


async def test_f2_waiting_for_a_free_connection_is_bounded_too(proxy: TcpProxy) -> None:
    store = RedisStore(dataclasses.replace(settings_for(proxy.port), max_connections=2))
    proxy.mute = True
    asked = [outcome(OPERATIONS["read"](store)) for _ in range(50)]
    assert set(await asyncio.gather(*asked)) == DOWN
    assert proxy.connections <= 10
    proxy.heal()
    assert await store.read(A) is None
    await store.aclose()


async def test_f3_a_slow_server_is_waited_for_and_asked_once(
    proxy: TcpProxy, proxied: RedisStore, server: RealServer
) -> None:
    await create(A)(proxied)
    server.command("CONFIG", "RESETSTAT")
    proxy.latency = 0.05
    assert await asyncio.gather(*(proxied.read(A) for _ in range(40))) == [RECORD] * 40
    stats = server.command("INFO", "commandstats")
    assert isinstance(stats, bytes)
    assert b"cmdstat_mget:calls=1," in stats  # and as one, for they came in one turn


@pytest.mark.parametrize("name", ["read", "create", "replace", "end", "claim"])
async def test_f4_a_reply_cut_anywhere_is_unavailable_and_the_next_call_is_right(
    name: str, proxy: TcpProxy, proxied: RedisStore
) -> None:
    for octets in range(41 if name == "read" else 5):
        await create(A)(proxied)
        proxy.reset_all()
        await asyncio.sleep(0.01)
        proxy.limit_data = octets
        assert await outcome(OPERATIONS[name](proxied)) is Code.STORE_UNAVAILABLE, octets
        proxy.heal()
        found = await proxied.read(A)
        assert found == RECORD, octets


NO_COMMAND_IS_ANSWERED_SO = (
    b"-READONLY You can't write against a read only replica.\r\n",
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    b"-NOAUTH Authentication required.\r\n",
    b"-NOPERM this user has no permissions\r\n",
    b"-ERR unknown command\r\n",
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    b"-\xff\xfe\r\n",
    b"+garbage that could be taken for a record\r\n",
    b"$37\r\ngarbage that could be taken for value\r\n",
    b":9\r\n",
    b"*1\r\n:9\r\n",
    b"*2\r\n$-1\r\n:1\r\n",
    b"*3\r\n$-1\r\n$-1\r\n$-1\r\n",
    b"*99999999999\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x00\x00\x00\r\n",
)


@pytest.mark.parametrize("reply", NO_COMMAND_IS_ANSWERED_SO, ids=lambda reply: repr(reply[:24]))
async def test_f4_garbage_and_errors_are_unavailable_and_cost_the_connection(
    reply: bytes, proxy: TcpProxy, proxied: RedisStore
) -> None:
    await create(A)(proxied)
    for name, operation in OPERATIONS.items():
        assert await proxied.read(A) == RECORD
        before = proxy.connections
        proxy.garbage = reply
        assert await outcome(operation(proxied)) is Code.STORE_UNAVAILABLE, name
        proxy.heal()
        assert await proxied.read(A) == RECORD
        assert proxy.connections > before, name


async def test_f4_leftovers_on_a_connection_are_never_the_next_reply(
    proxy: TcpProxy, proxied: RedisStore
) -> None:
    """Two replies to one question: the second must not answer whoever asks next."""
    other = StoredRecord(1, b"somebody else's session")
    await create(A)(proxied)
    await create(LookupId("other"), other)(proxied)
    stranger = b"*1\r\n$%d\r\n%b\r\n" % (8 + len(other.sealed), bytes(7) + b"\x01" + other.sealed)
    proxy.garbage = stranger * 2
    await proxied.read(LookupId("other"))
    proxy.heal()
    assert await proxied.read(A) == RECORD


async def test_f4_a_full_server_refuses_writes_and_still_answers_reads(
    server: RealServer, patient_store: RedisStore
) -> None:
    await create(A)(patient_store)
    server.command("CONFIG", "SET", "maxmemory", "1")
    assert await outcome(OPERATIONS["create"](patient_store)) is Code.STORE_UNAVAILABLE
    assert await outcome(OPERATIONS["claim"](patient_store)) is Code.STORE_UNAVAILABLE
    assert await patient_store.read(A) == RECORD
    assert await patient_store.end(A, [], keep=LONG)  # nobody is kept logged in by it
    assert await patient_store.read(A) is None
    server.command("CONFIG", "SET", "maxmemory", "0")
    assert await patient_store.claim("name", ttl=LONG)


async def test_f4_a_replica_is_unavailable_for_writes_until_it_is_primary_again(
    server: RealServer, patient_store: RedisStore
) -> None:
    await create(A)(patient_store)
    server.command("REPLICAOF", "127.0.0.1", "1")
    for name in WRITES:
        assert await outcome(OPERATIONS[name](patient_store)) is Code.STORE_UNAVAILABLE, name
    server.command("REPLICAOF", "NO", "ONE")
    assert await patient_store.replace(A, StoredRecord(2, b"two"), expected=1, ttl=LONG)


async def burst(store: RedisStore, round_: int) -> None:
    """One request alone, then reads and writes at once; each must succeed."""
    alone: tuple[tuple[Operation, object], ...] = (
        (OPERATIONS["read"], RECORD),
        (lambda store: store.claim(f"alone {round_}", ttl=LONG), True),
        (create(LookupId(f"alone {round_}")), True),
        (OPERATIONS["replace"], True),
    )
    operation, expected = alone[round_ % len(alone)]
    assert await operation(store) == expected
    news = [LookupId(f"{round_}-{i}") for i in range(20)]
    answers = await asyncio.gather(
        *(store.read(A) for _ in range(20)),
        *(create(lookup)(store) for lookup in news),
        *(store.claim(f"{lookup}", ttl=LONG) for lookup in news),
    )
    assert answers == [RECORD] * 20 + [True] * 40


async def test_f5_connections_the_server_closed_cost_no_request(
    server: RealServer, patient_store: RedisStore
) -> None:
    """The loop has not even seen the close when the next burst begins: `command` blocks it."""
    await create(A)(patient_store)
    for round_ in range(10):
        await burst(patient_store, round_)
        killed = server.command("CLIENT", "KILL", "TYPE", "normal")
        assert isinstance(killed, int)
        assert killed > 0


def only_we_are_connected(server: RealServer) -> bool:
    about = server.command("INFO", "clients")
    return isinstance(about, bytes) and b"connected_clients:1\r\n" in about


async def test_f5_idle_connections_the_server_timed_out_cost_no_request(
    server: RealServer, patient_store: RedisStore
) -> None:
    await create(A)(patient_store)
    await burst(patient_store, 0)
    server.command("CONFIG", "SET", "timeout", "1")
    async with asyncio.timeout(GUARD * 5):
        while not only_we_are_connected(server):  # noqa: ASYNC110 - known to another process
            await asyncio.sleep(0.25)
    await burst(patient_store, 1)


async def test_f5_a_restart_between_two_bursts_costs_no_request(
    server: RealServer, patient_store: RedisStore
) -> None:
    await create(A)(patient_store)
    for round_ in range(5):
        await burst(patient_store, round_)
        server.stop()
        server.start()


async def test_f5_connections_reset_on_the_way_cost_no_request(
    proxy: TcpProxy, proxied: RedisStore
) -> None:
    await create(A)(proxied)
    for round_ in range(5):
        await burst(proxied, round_)
        proxy.reset_all()
        await asyncio.sleep(0.05)


async def test_f6_when_all_keys_are_lost_sessions_are_gone_and_nothing_fails(
    server: RealServer, patient_store: RedisStore
) -> None:
    await create(A)(patient_store)
    server.command("FLUSHALL")
    server.command("SCRIPT", "FLUSH")
    assert await patient_store.read(A) is None
    assert await patient_store.members(SUBJECT) == []
    assert not await patient_store.replace(A, StoredRecord(2, b"two"), expected=1, ttl=LONG)
    assert not await patient_store.end(A, [SUBJECT])
    assert await create(A)(patient_store)


async def test_a_server_that_forgot_the_scripts_is_taught_them_again(
    server: RealServer, patient_store: RedisStore
) -> None:
    for generation in range(1, 4):
        server.command("SCRIPT", "FLUSH")
        assert await create(LookupId(f"session {generation}"))(patient_store)
        server.command("SCRIPT", "FLUSH")
        assert len(await patient_store.members(SUBJECT)) == generation
        server.command("SCRIPT", "FLUSH")
        newer = StoredRecord(2, b"two")
        lookup = LookupId(f"session {generation}")
        assert await patient_store.replace(lookup, newer, expected=1, ttl=LONG)


DAMAGE: dict[str, tuple[tuple[str | bytes, ...], ...]] = {
    "empty": (("SET", "gw:s:lookup-a", ""),),
    "seven octets": (("SET", "gw:s:lookup-a", b"\x00" * 7),),
    "a hash": (("DEL", "gw:s:lookup-a"), ("HSET", "gw:s:lookup-a", "field", "value")),
    "a list": (("DEL", "gw:s:lookup-a"), ("RPUSH", "gw:s:lookup-a", "value")),
    "a sorted set": (("DEL", "gw:s:lookup-a"), ("ZADD", "gw:s:lookup-a", "1", "value")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_f7_a_damaged_record_is_no_session_for_itself_alone_and_is_kept(
    damage: tuple[tuple[str | bytes, ...], ...], server: RealServer, patient_store: RedisStore
) -> None:
    healthy = LookupId("healthy")
    await create(A)(patient_store)
    await create(healthy)(patient_store)
    for command in damage:
        server.command(*command)
    assert await patient_store.read(A) is None
    assert await patient_store.read_many([healthy, A]) == [RECORD, None]
    assert not await patient_store.replace(A, StoredRecord(2, b"two"), expected=1, ttl=LONG)
    assert not await create(A)(patient_store)
    assert server.command("EXISTS", "gw:s:lookup-a") == 1
    assert await patient_store.end(A, [SUBJECT], keep=LONG)
    assert server.command("EXISTS", "gw:s:lookup-a", "gw:x:lookup-a") in (0, 1)
    assert await patient_store.take(A) is None


@pytest.mark.parametrize(
    "command",
    [("SET", "gw:t:by-subject", "garbage"), ("RPUSH", "gw:t:by-subject", "value")],
    ids=["no number", "a list"],
)
async def test_f7_a_damaged_mark_is_none_and_gives_way_to_a_new_one(
    command: tuple[str, ...], server: RealServer, patient_store: RedisStore
) -> None:
    server.command(*command)
    assert await patient_store.marks([SUBJECT]) == [None]
    await patient_store.mark([SUBJECT], 7.0, ttl=LONG)
    assert await patient_store.marks([SUBJECT]) == [7.0]
    left = server.command("PTTL", "gw:t:by-subject")
    assert isinstance(left, int)
    assert 0 < left <= LONG * 1000


async def test_f18_a_write_whose_caller_left_is_finished_before_the_store_closes(
    server: RealServer,
) -> None:
    """H9: a rotated token is stored even when the browser hangs up meanwhile."""
    store = RedisStore(patient(server.port))
    await create(A)(store)
    server.freeze()
    leaving = asyncio.create_task(store.replace(A, StoredRecord(2, b"two"), expected=1, ttl=LONG))
    await asyncio.sleep(0.05)
    leaving.cancel()
    await asyncio.wait((leaving,))
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0.05)
    waited = not closing.done()
    server.thaw()
    await closing
    assert leaving.cancelled()
    assert waited
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert server.command("GET", "gw:s:lookup-a") == bytes(7) + b"\x02two"


async def test_a_closed_store_is_unavailable(store: RedisStore) -> None:
    await store.ping()
    await store.aclose()
    assert await every_outcome(store) == DOWN
    await store.aclose()


async def test_every_key_has_a_time_to_live(server: RealServer, patient_store: RedisStore) -> None:
    short, long_ = IndexName("short first"), IndexName("long first")
    await create(A)(patient_store)
    await patient_store.replace(A, StoredRecord(2, b"two"), expected=1, ttl=LONG)
    for index, ttls in ((short, (5.0, 50.0)), (long_, (50.0, 5.0))):
        for i, ttl in enumerate(ttls):
            lookup = LookupId(f"{index} {i}")
            await patient_store.create(lookup, RECORD, ttl=ttl, indexes=[index], index_ttl=ttl)
    await patient_store.claim("attempt", ttl=LONG)
    await patient_store.mark([SUBJECT], 1.0, ttl=LONG)
    await create(LookupId("ended"))(patient_store)
    assert await patient_store.end(LookupId("ended"), [SUBJECT], keep=LONG)
    lock = RedisLock(patient_store.client)
    for waiting in (LookupId("held"), LookupId("in doubt")):
        await lock.begin(waiting, "owner", lease=1.0, keep=LONG)
    await lock.finish(LookupId("in doubt"), "owner", doubt=Doubt.LOST, pause=1.0)
    assert await RedisRevocations(patient_store.client).put(b"entry", due_in=1.0)
    keys = server.command("KEYS", "*")
    assert isinstance(keys, list)
    kinds = Counter(key[:5] for key in keys)
    assert kinds == {
        b"gw:s:": 5,
        b"gw:i:": 3,
        b"gw:c:": 1,
        b"gw:t:": 1,
        b"gw:x:": 1,
        b"gw:g:": 2,
        b"gw:v:": 1,
    }
    remaining = {key: server.command("PTTL", key) for key in keys}
    longest = {b"gw:v:revocations": KEPT_FOR}
    for key, left in remaining.items():
        assert isinstance(left, int)
        assert 0 < left <= longest.get(key, LONG) * 1000
    for index in (short, long_):  # the set lives as long as its longest entry
        left = remaining[b"gw:i:" + index.encode()]
        assert isinstance(left, int)
        assert left > 40_000


async def test_an_index_is_swept_when_it_is_written_to(
    server: RealServer, patient_store: RedisStore
) -> None:
    for i in range(5):
        gone = LookupId(f"gone {i}")
        await patient_store.create(gone, RECORD, ttl=0.05, indexes=[SUBJECT], index_ttl=0.05)
    await create(A)(patient_store)
    await asyncio.sleep(0.1)
    await create(LookupId("b"))(patient_store)
    assert server.command("ZCARD", f"gw:i:{SUBJECT}") == 2


async def test_d10_a_dump_names_nothing_but_lookup_ids_and_index_names(
    server: RealServer, patient_store: RedisStore
) -> None:
    await create(A)(patient_store)
    assert server.command("GET", "gw:s:lookup-a") == bytes(7) + b"\x01" + RECORD.sealed
    assert server.command("ZRANGE", f"gw:i:{SUBJECT}", "0", "-1") == [A.encode()]


@pytest.mark.parametrize(
    "fault", ["nobody listens", "wrong password", "not allowed", "unknown name"]
)
async def test_d14_a_failure_names_no_address_and_no_password(
    fault: str, server: RealServer
) -> None:
    server.command("ACL", "SETUSER", "limited", "on", ">right-password", "-@all", "+auth")
    where = {
        "nobody listens": f"redis://limited:right-password@127.0.0.1:{free_port()}/0",
        "wrong password": f"redis://limited:wrong-password@127.0.0.1:{server.port}/0",
        "not allowed": f"redis://limited:right-password@127.0.0.1:{server.port}/0",
        "unknown name": "redis://limited:right-password@no-such-host.invalid:6379/0",
    }[fault]
    store = RedisStore(patient_at(where))
    with pytest.raises(Unavailable) as raised:
        await store.read(A)
    assert raised.value.code is Code.STORE_UNAVAILABLE
    assert raised.value.detail == ""
    assert raised.value.note.startswith("store: ")
    for text in ("password", "limited", "127.0.0.1", "no-such-host", "redis://"):
        assert text not in str(raised.value)
    everything = "".join(traceback.format_exception(raised.value))
    assert "right-password" not in everything
    assert "wrong-password" not in everything
    await store.aclose()


async def test_explicit_credentials_win_over_those_in_the_url(server: RealServer) -> None:
    server.command("ACL", "SETUSER", "gateway", "on", ">pass%2Fword", "~*", "+@all")
    url = f"redis://somebody:else@127.0.0.1:{server.port}/0"
    settings = dataclasses.replace(
        patient_at(url), username="gateway", password=Password("pass%2Fword")
    )
    store = RedisStore(settings)
    await create(A)(store)
    assert await store.read(A) == RECORD
    await store.aclose()


async def test_credentials_in_the_url_are_percent_decoded(server: RealServer) -> None:
    server.command("ACL", "SETUSER", "gate:way", "on", ">p@ss/word", "~*", "+@all")
    url = f"redis://gate%3Away:p%40ss%2Fword@127.0.0.1:{server.port}/2"
    store = RedisStore(patient_at(url))
    await create(A)(store)
    await store.aclose()
    assert server.command("EXISTS", "gw:s:lookup-a") == 0  # it is in database 2


async def test_closing_a_store_whose_server_is_frozen_ends_and_raises_nothing(
    server: RealServer,
) -> None:
    store = RedisStore(settings_for(server.port))
    await asyncio.gather(*(store.ping() for _ in range(5)))
    server.freeze()
    try:
        assert await outcome(OPERATIONS["read"](store)) is Code.STORE_UNAVAILABLE
        async with asyncio.timeout(GUARD):
            await store.aclose()
    finally:
        server.thaw()
