"""Who leaves when somebody else comes, and that nobody stays for ever."""

import asyncio
from dataclasses import replace

import pytest

from gateway.session.timing import Timing
from gateway.workers.crew import Generation
from gateway.workers.succession import MOST_LEAVING, Succession, finishing_takes
from tests.support.small_workers import (
    PATIENCE,
    Body,
    finishes,
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
    long = succession._force[first].serving.when()
    succession.retire(second, 600.0)
    assert succession._force[first].serving.when() < long
    assert succession._force[second].serving.when() >= long
    # Time that is given is never given back.
    short = succession._force[first].serving.when()
    succession.drain(first)
    assert succession._force[first].serving.when() <= short


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


async def test_who_serves_nobody_any_more_is_not_ended_in_the_middle_of_a_grant_h9(
    crew: list[Generation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workers.succession._MARGIN", 0.0)
    succession = successions()
    first = await reigning(crew, succession, finishes)
    (worker,) = first.workers
    async with asyncio.timeout(PATIENCE):
        await succession.wind_down(asyncio.Event())
    assert await worker.ended == 0
    assert not worker.is_unwanted
    assert not succession._force


async def test_nor_does_it_stay_for_ever(
    crew: list[Generation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workers.succession._MARGIN", 0.0)
    monkeypatch.setattr("gateway.workers.succession.finishing_takes", lambda _: 0.1)
    succession = successions()
    first = await reigning(crew, succession, finishes)
    (worker,) = first.workers
    async with asyncio.timeout(PATIENCE):
        await succession.wind_down(asyncio.Event())
    assert await worker.ended < 0
    assert worker.is_unwanted


async def test_who_still_serves_when_its_time_is_up_is_not_waited_for(
    crew: list[Generation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workers.succession._MARGIN", 0.0)
    monkeypatch.setattr("gateway.workers.succession.finishing_takes", lambda _: 3600.0)
    succession = successions()
    await reigning(crew, succession, spins)
    async with asyncio.timeout(PATIENCE):
        await succession.wind_down(asyncio.Event())
    assert succession.living == set()


def test_finishing_takes_as_long_as_a_provider_and_then_a_store_may_h9() -> None:
    for seconds in (5.0, 120.0):
        back_channel = replace(BASE.back_channel, refresh_timeout=seconds)
        takes = finishing_takes(replace(BASE, back_channel=back_channel))
        assert takes >= seconds + Timing().last_tries
