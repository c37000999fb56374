"""The contract of the `RevocationQueue` port, kept by the fake and on every server (H16)."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest

from gateway.adapters.redis_revocations import KEPT_FOR, RedisRevocations
from gateway.adapters.redis_store import RedisStore
from gateway.ports import RevocationQueue
from tests.support.clock import TurnableClock
from tests.support.memory_revocations import MemoryRevocations
from tests.support.store_servers import SERVERS, Served, patient

LONG = 60.0  # seconds: not over before the test is
SHORT = 0.15  # seconds: over when `fast_forward(SHORT)` returns
MOST = 5  # entries that the queue has room for

A, B, C = b"entry a", b"entry b", bytes(range(256))


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """Two processes' queues on the same data, and one with another prefix."""

    queue: RevocationQueue
    other: RevocationQueue
    stranger: RevocationQueue
    fast_forward: Callable[[float], Awaitable[None]]
    time_to_live: Callable[[], float]


@pytest.fixture(params=["memory", *SERVERS])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield in_memory()
        return
    async with SERVERS[request.param](request) as served, contextlib.AsyncExitStack() as stack:
        ours = patient(served.settings)
        elsewhere = dataclasses.replace(ours, prefix=f"{ours.prefix}x:")
        stores = [RedisStore(settings) for settings in (ours, ours, elsewhere)]
        for opened in stores:
            stack.push_async_callback(opened.aclose)
        key = f"{ours.prefix}v:revocations"
        queue, other, stranger = (
            RedisRevocations(store.client, most_entries=MOST) for store in stores
        )
        yield World(
            queue,
            other,
            stranger,
            fast_forward=lambda seconds: asyncio.sleep(seconds + 0.02),
            time_to_live=partial(_time_to_live, served, key),
        )


def _time_to_live(served: Served, key: str) -> float:
    """Seconds the server keeps the queue; it is asked about database 0, where TLS is in another."""
    if served.settings.url.reveal().endswith("/3"):
        return KEPT_FOR
    milliseconds = served.command("PTTL", key)
    assert isinstance(milliseconds, int)
    return milliseconds / 1000


def in_memory() -> World:
    clock = TurnableClock()
    queue = MemoryRevocations(clock, most_entries=MOST)

    async def turn(seconds: float) -> None:
        clock.advance(seconds)

    return World(queue, queue, MemoryRevocations(clock), turn, time_to_live=lambda: KEPT_FOR)


async def test_an_entry_is_taken_when_it_is_due_and_not_before(world: World) -> None:
    assert await world.queue.put(A, due_in=SHORT)
    assert await world.other.put(C, due_in=LONG)
    assert await world.other.take(9, lease=LONG) == []
    await world.fast_forward(SHORT)
    assert await world.other.take(9, lease=LONG) == [A]
    assert await world.queue.length() == 2


async def test_what_is_due_longest_comes_first_and_no_more_than_asked_for(world: World) -> None:
    for entry, due_in in ((C, 0.0), (A, SHORT), (B, SHORT / 2)):
        await world.queue.put(entry, due_in=due_in)
    await world.fast_forward(SHORT)
    assert await world.other.take(2, lease=LONG) == [C, B]
    assert await world.queue.take(2, lease=LONG) == [A]


async def test_an_entry_that_was_taken_is_hidden_for_its_lease_and_then_comes_back(
    world: World,
) -> None:
    """At least once: whoever took it may have died."""
    await world.queue.put(A, due_in=0.0)
    await world.fast_forward(0.01)
    assert await world.queue.take(9, lease=SHORT) == [A]
    assert await world.other.take(9, lease=SHORT) == []
    await world.fast_forward(SHORT)
    assert await world.other.take(9, lease=SHORT) == [A]


async def test_of_many_that_take_at_once_each_entry_has_one(world: World) -> None:
    entries = {b"entry %d" % number for number in range(MOST)}
    for entry in entries:
        await world.queue.put(entry, due_in=0.0)
    await world.fast_forward(0.01)
    takers = [queue.take(2, lease=LONG) for queue in (world.queue, world.other) for _ in range(5)]
    taken = [entry for batch in await asyncio.gather(*takers) for entry in batch]
    assert len(taken) == MOST
    assert set(taken) == entries


async def test_an_entry_that_was_removed_never_comes_back(world: World) -> None:
    await world.queue.put(A, due_in=0.0)
    await world.queue.put(B, due_in=0.0)
    assert await world.other.remove(A)
    assert not await world.queue.remove(A)
    assert not await world.queue.postpone(A, due_in=0.0)
    await world.fast_forward(0.01)
    assert await world.queue.take(9, lease=0.0) == [B]
    assert await world.queue.length() == 1


async def test_an_entry_that_is_postponed_is_due_then(world: World) -> None:
    await world.queue.put(A, due_in=0.0)
    assert await world.other.postpone(A, due_in=SHORT)
    assert await world.queue.take(9, lease=LONG) == []
    await world.fast_forward(SHORT)
    assert await world.queue.take(9, lease=LONG) == [A]
    assert await world.queue.postpone(A, due_in=0.0)
    await world.fast_forward(0.01)
    assert await world.other.take(9, lease=LONG) == [A]


async def test_a_full_queue_takes_no_new_entry_and_loses_none(world: World) -> None:
    for number in range(MOST):
        assert await world.queue.put(b"entry %d" % number, due_in=0.0)
    assert not await world.queue.put(A, due_in=0.0)
    assert await world.queue.put(b"entry 0", due_in=LONG)  # it is there already
    assert await world.queue.length() == MOST
    await world.fast_forward(0.01)
    taken = await world.other.take(9, lease=LONG)
    assert sorted(taken) == [b"entry %d" % number for number in range(1, MOST)]
    assert await world.other.remove(b"entry 0")
    assert await world.queue.put(A, due_in=0.0)


async def test_a_queue_that_is_empty_or_unknown_has_nothing(world: World) -> None:
    assert await world.queue.length() == 0
    assert await world.queue.take(9, lease=LONG) == []
    assert not await world.queue.remove(A)
    assert not await world.queue.postpone(A, due_in=0.0)
    assert await world.queue.length() == 0


async def test_another_gateway_on_the_same_server_has_a_queue_of_its_own(world: World) -> None:
    await world.stranger.put(A, due_in=0.0)
    await world.fast_forward(0.01)
    assert await world.queue.take(9, lease=LONG) == []
    assert await world.queue.length() == 0


async def test_whatever_changes_an_entry_lets_the_queue_live_on(world: World) -> None:
    """B11: every key has a time to live, and this one must outlast the day an entry has."""
    await world.queue.put(A, due_in=0.0)
    assert world.time_to_live() > KEPT_FOR - 60
    await world.queue.postpone(A, due_in=LONG)
    assert world.time_to_live() > KEPT_FOR - 60
