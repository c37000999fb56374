"""Who leaves when somebody else comes, and that nobody stays for ever."""

import asyncio
from dataclasses import replace

from gateway.workers.crew import Generation
from gateway.workers.succession import MOST_LEAVING, Succession
from tests.support.small_workers import (
    PATIENCE,
    Body,
    hiring,
    retires,
    serves,
    silent,
    spins,
    until,
)
from tests.support.world import settings_of

BASE = settings_of()
SHORT = replace(BASE, limits=replace(BASE.limits, shutdown_grace=0.5))


async def reigning(crew: list[Generation], succession: Succession, body: Body) -> Generation:
    """Put a generation of one such worker in force."""
    succession._hire = hiring(body)
    made = succession.prepare(SHORT, SHORT.store, seats=1)
    crew.append(made)
    assert await made.begin() == []
    succession.current = made
    return made


def successions() -> Succession:
    return Succession(hiring(serves), lambda: None)


async def test_an_old_generation_lingers_and_is_forgotten_when_it_has_gone(
    crew: list[Generation],
) -> None:
    succession = successions()
    first = await reigning(crew, succession, retires)
    second = await reigning(crew, succession, serves)
    succession.retire(first, 60.0)
    assert succession.living == {first, second}
    assert second.number == first.number + 1
    await until(lambda: succession.living == {second})
    assert not succession._force


async def test_who_lingers_when_the_next_one_leaves_is_given_less_time(
    crew: list[Generation],
) -> None:
    succession = successions()
    first = await reigning(crew, succession, silent)
    second = await reigning(crew, succession, silent)
    succession.retire(first, 600.0)
    long = succession._force[first].when()
    succession.retire(second, 600.0)
    assert succession._force[first].when() < long
    assert succession._force[second].when() >= long
    # Time that is given is never given back.
    short = succession._force[first].when()
    succession.drain(first)
    assert succession._force[first].when() <= short


async def test_a_reload_has_to_wait_while_too_many_leave(crew: list[Generation]) -> None:
    succession = successions()
    for _ in range(MOST_LEAVING):
        old = await reigning(crew, succession, serves)  # ends at SIGTERM alone
        await reigning(crew, succession, serves)
        succession.retire(old, 600.0)
    assert len(succession.living) == 2 * MOST_LEAVING
    oldest = min(succession.living, key=lambda one: one.number)
    async with asyncio.timeout(PATIENCE):
        await succession.room()  # has the oldest finish
    assert oldest not in succession.living
    assert len(succession.living) == 2 * MOST_LEAVING - 1


async def test_winding_down_ends_who_lingers_as_well(crew: list[Generation]) -> None:
    succession = successions()
    first = await reigning(crew, succession, serves)
    await reigning(crew, succession, serves)
    succession.retire(first, 600.0)
    async with asyncio.timeout(PATIENCE):
        await succession.wind_down(asyncio.Event())
    assert succession.living == set()


async def test_who_does_not_end_is_ended_by_force_or_by_insisting(
    crew: list[Generation],
) -> None:
    succession = successions()
    first = await reigning(crew, succession, spins)
    insisting = asyncio.Event()
    insisting.set()
    async with asyncio.timeout(PATIENCE):
        await succession.wind_down(insisting)  # does not wait
        assert succession.living == {first}
        await succession.end()
    assert first.workers == set()
