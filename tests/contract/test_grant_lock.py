"""The contract of the `GrantLock` port, kept by the fake and on every server (H8, F11)."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_store import RedisStore
from gateway.ports import Doubt, GrantLock, Held, LookupId, Mine, NotYet, SessionStore
from tests.support.clock import TurnableClock
from tests.support.memory_lock import MemoryLock
from tests.support.memory_store import MemoryStore
from tests.support.store_servers import SERVERS, patient
from tests.support.store_watcher import Told, until

LONG, SHORT = 60.0, 0.15
A, B = LookupId("lookup-a"), LookupId("lookup-b")


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """Two processes' locks on the same data."""

    lock: GrantLock
    other: GrantLock
    store: SessionStore  # of the first
    fast_forward: Callable[[float], Awaitable[None]]
    flush: Callable[[], object]


@pytest.fixture(params=["memory", *SERVERS])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield in_memory()
        return
    async with SERVERS[request.param](request) as served, contextlib.AsyncExitStack() as stack:
        store, other = (RedisStore(patient(served.settings)) for _ in range(2))
        for opened in (store, other):
            stack.push_async_callback(opened.aclose)
        yield World(
            RedisLock(store.client),
            RedisLock(other.client),
            store,
            fast_forward=lambda seconds: asyncio.sleep(seconds + 0.02),
            flush=lambda: served.command("FLUSHALL"),
        )


def in_memory() -> World:
    clock = TurnableClock()
    store = MemoryStore(clock)

    async def turn(seconds: float) -> None:
        clock.advance(seconds)

    locks = MemoryLock(store), MemoryLock(store.another())
    return World(*locks, store, fast_forward=turn, flush=store.lose_everything)


async def taken(lock: GrantLock, owner: str, lease: float = LONG) -> object:
    return await lock.begin(A, owner, lease=lease, keep=LONG)


async def test_one_owner_at_a_time_and_the_others_are_told_how_long(world: World) -> None:
    assert await taken(world.lock, "one") == Mine(Doubt.NONE)
    turn = await taken(world.other, "two", lease=1.0)
    assert isinstance(turn, Held)
    assert LONG - 5 < turn.seconds <= LONG
    assert await world.other.begin(B, "two", lease=1.0, keep=LONG) == Mine(Doubt.NONE)


async def test_of_many_that_begin_at_once_one_gets_it(world: World) -> None:
    turns = await asyncio.gather(
        *(taken(lock, f"{n}") for n in range(20) for lock in (world.lock, world.other))
    )
    # The owner asks twice here, by both locks: its own lock is its own.
    mine = [turn for turn in turns if isinstance(turn, Mine)]
    assert len(mine) == 2
    assert sum(isinstance(turn, Held) for turn in turns) == 38


async def test_given_back_without_a_doubt_it_is_as_if_it_had_never_been(world: World) -> None:
    await taken(world.lock, "one")
    await world.lock.finish(A, "one", doubt=Doubt.NONE, pause=0)
    assert await taken(world.other, "two") == Mine(Doubt.NONE)


@pytest.mark.parametrize("doubt", [Doubt.LOST, Doubt.UNCLEAR])
async def test_a_doubt_is_handed_on_until_somebody_knows(world: World, doubt: Doubt) -> None:
    await taken(world.lock, "one")
    await world.lock.finish(A, "one", doubt=doubt, pause=0)
    assert await taken(world.other, "two") == Mine(doubt)
    await world.other.finish(A, "two", doubt=Doubt.NONE, pause=0)
    assert await taken(world.lock, "three") == Mine(Doubt.NONE)


async def test_an_owner_that_never_finished_leaves_a_doubt_when_its_lease_ends_f11(
    world: World,
) -> None:
    await taken(world.lock, "one", lease=SHORT)
    assert isinstance(await taken(world.other, "two"), Held)
    await world.fast_forward(SHORT)
    assert await taken(world.other, "two") == Mine(Doubt.LOST, taken_over=True)


async def test_a_late_owner_neither_renews_nor_gives_back_what_is_anothers_f11(
    world: World,
) -> None:
    await taken(world.lock, "one", lease=SHORT)
    await world.fast_forward(SHORT)
    await taken(world.other, "two")
    assert await world.other.renew(A, "two", lease=LONG, keep=LONG)
    assert not await world.lock.renew(A, "one", lease=LONG, keep=LONG)
    await world.lock.finish(A, "one", doubt=Doubt.NONE, pause=0)
    assert isinstance(await taken(world.lock, "three"), Held)


async def test_a_lock_that_is_abandoned_is_taken_over_at_once_with_what_was_known(
    world: World,
) -> None:
    await taken(world.lock, "one", lease=SHORT)
    await world.fast_forward(SHORT)
    await taken(world.other, "two")
    await world.other.abandon(A, "three")  # which was not its own
    assert isinstance(await taken(world.lock, "four"), Held)
    await world.other.abandon(A, "two")
    assert await taken(world.lock, "four") == Mine(Doubt.LOST, taken_over=True)
    await world.lock.finish(A, "four", doubt=Doubt.UNCLEAR, pause=0)
    await taken(world.lock, "five")
    await world.lock.abandon(A, "five")
    assert await taken(world.other, "six") == Mine(Doubt.UNCLEAR, taken_over=True)


async def test_a_renewed_lease_begins_anew(world: World) -> None:
    await taken(world.lock, "one", lease=2 * SHORT)
    await world.fast_forward(SHORT)
    assert await world.lock.renew(A, "one", lease=LONG, keep=LONG)
    await world.fast_forward(2 * SHORT)
    assert isinstance(await taken(world.other, "two"), Held)


async def test_a_lease_that_is_over_is_renewed_while_nobody_else_has_it(world: World) -> None:
    await taken(world.lock, "one", lease=SHORT)
    await world.fast_forward(SHORT)
    assert await world.lock.renew(A, "one", lease=LONG, keep=LONG)
    assert isinstance(await taken(world.other, "two"), Held)


async def test_whose_lock_was_taken_over_takes_it_back_by_a_sign_of_life_h9(world: World) -> None:
    await taken(world.lock, "one", lease=SHORT)
    await world.fast_forward(SHORT)
    assert await taken(world.other, "two") == Mine(Doubt.LOST, taken_over=True)
    assert await world.lock.renew(A, "one", lease=LONG, keep=LONG)
    assert not await world.other.renew(A, "two", lease=LONG, keep=LONG)
    await world.other.finish(A, "two", doubt=Doubt.NONE, pause=0)
    assert isinstance(await taken(world.other, "three"), Held)


async def test_who_has_taken_it_over_has_it_for_good_by_beginning_again(world: World) -> None:
    await taken(world.lock, "one", lease=SHORT)
    await world.fast_forward(SHORT)
    assert await taken(world.other, "two", lease=SHORT) == Mine(Doubt.LOST, taken_over=True)
    assert await taken(world.other, "two") == Mine(Doubt.LOST)
    await world.fast_forward(SHORT)
    assert not await world.lock.renew(A, "one", lease=LONG, keep=LONG)
    assert isinstance(await taken(world.lock, "three"), Held)


async def test_who_could_not_say_whether_it_took_over_leaves_the_one_before_its_right(
    world: World,
) -> None:
    await taken(world.lock, "one", lease=SHORT)
    await world.fast_forward(SHORT)
    await taken(world.other, "two")
    await world.other.abandon(A, "two")
    assert isinstance(await taken(world.other, "three"), Mine)
    assert await world.lock.renew(A, "one", lease=LONG, keep=LONG)


async def test_a_lock_that_was_lost_with_the_stores_data_is_taken_again(world: World) -> None:
    await taken(world.lock, "one")
    world.flush()
    assert await world.lock.renew(A, "one", lease=LONG, keep=LONG)
    assert isinstance(await taken(world.other, "two"), Held)


async def test_after_a_grant_that_failed_nobody_gets_it_for_a_while(world: World) -> None:
    await taken(world.lock, "one")
    await world.lock.finish(A, "one", doubt=Doubt.NONE, pause=2 * SHORT)
    turn = await taken(world.other, "two")
    assert isinstance(turn, NotYet)
    assert 0 < turn.seconds <= 2 * SHORT
    assert 0 < await world.other.pause(A) <= 2 * SHORT
    await world.fast_forward(2 * SHORT)
    assert await world.other.pause(A) == 0
    assert await taken(world.other, "two") == Mine(Doubt.NONE)
    assert await world.other.pause(A) == 0


async def test_a_pause_keeps_the_doubt(world: World) -> None:
    await taken(world.lock, "one")
    await world.lock.finish(A, "one", doubt=Doubt.UNCLEAR, pause=SHORT)
    await world.fast_forward(SHORT)
    assert await taken(world.other, "two") == Mine(Doubt.UNCLEAR)


async def test_a_doubt_is_forgotten_with_the_session(world: World) -> None:
    await world.lock.begin(A, "one", lease=SHORT, keep=SHORT)
    await world.lock.finish(A, "one", doubt=Doubt.UNCLEAR, pause=0)
    await world.fast_forward(SHORT)
    assert await taken(world.other, "two") == Mine(Doubt.NONE)


async def test_a_lease_and_a_pause_longer_than_any_are_over_f34(world: World) -> None:
    """The store's clock was set back, or another server with another clock has taken over."""
    await taken(world.lock, "one", lease=3600.0)
    assert await taken(world.other, "two") == Mine(Doubt.LOST, taken_over=True)
    await world.other.finish(A, "two", doubt=Doubt.NONE, pause=3600.0)
    assert await world.lock.pause(A) == 0
    assert isinstance(await taken(world.lock, "three"), Mine)


async def test_nobody_has_what_was_never_taken(world: World) -> None:
    await world.lock.finish(A, "one", doubt=Doubt.UNCLEAR, pause=LONG)
    assert await world.lock.pause(A) == 0
    assert await taken(world.lock, "one") == Mine(Doubt.NONE)


async def test_who_watches_is_told_of_every_lock_and_of_no_session(world: World) -> None:
    told = Told()
    world.store.watch(told)
    await until(world.store.is_watched)
    told.of.clear()
    await taken(world.lock, "one")
    await until(lambda: A in told.of_locks)
    told.of_locks.clear()
    await world.lock.finish(A, "one", doubt=Doubt.NONE, pause=0)
    await until(lambda: A in told.of_locks)
    assert told.of == []


@pytest.mark.parametrize("server", [name for name in SERVERS if name != "TLS"])
async def test_a_lock_taken_back_after_its_key_was_deleted_has_a_time_to_live(
    server: str, request: pytest.FixtureRequest
) -> None:
    """Its hash would lose its last field when it is given back, and its time to live with it."""
    async with SERVERS[server](request) as served, contextlib.AsyncExitStack() as stack:
        store = RedisStore(patient(served.settings))
        stack.push_async_callback(store.aclose)
        lock = RedisLock(store.client)
        await lock.begin(A, "late", lease=SHORT, keep=LONG)
        served.command("DEL", f"{served.settings.prefix}g:{A}")
        assert await lock.renew(A, "late", lease=SHORT, keep=LONG)
        await lock.finish(A, "late", doubt=Doubt.LOST, pause=1.0)
        left = served.command("PTTL", f"{served.settings.prefix}g:{A}")
        assert isinstance(left, int)
        assert 0 < left <= LONG * 1000
