"""Workers as the supervisor sees them, with real processes that do very little."""

import asyncio
import logging
import os
import signal

import pytest

from gateway.workers.crew import Generation
from gateway.workers.worker import manner
from tests.support.small_workers import (
    PATIENCE,
    Body,
    breaks,
    complains,
    generation_of,
    hired,
    raises,
    raves,
    retires,
    serves,
    silent,
    until,
)


async def test_a_worker_that_serves_answers_and_drains() -> None:
    worker = await hired(serves)
    assert worker.state == "starting"
    assert await worker.started == ""
    assert worker.state == "ready"
    assert await worker.ask("metrics", 5.0) == "metrics"
    worker.drain()
    assert worker.state == "draining"
    assert await worker.ended == 0
    assert not worker.is_serving
    assert await worker.ask("metrics", 5.0) is None
    worker.kill()  # harmless: its process id may be somebody else's by now


async def test_a_worker_that_owes_answers_is_left_alone_and_blocks_nobody() -> None:
    worker = await hired(silent)
    await worker.started
    answers = await asyncio.gather(*(worker.ask("metrics", 0.05) for _ in range(20)))
    assert answers == [None] * 20
    assert await worker.ask("metrics", PATIENCE * 2) is None  # not even asked
    worker.kill()
    assert await worker.ended == -signal.SIGKILL


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (breaks, "a worker ended with exit code 3 before it was ready"),
        (complains, "no certificates"),
        (raises, "a worker ended with exit code 70 before it was ready"),
    ],
)
async def test_a_worker_that_does_not_start_says_why(body: Body, why: str) -> None:
    worker = await hired(body)
    assert await worker.started == why
    assert await worker.ended > 0
    assert not worker.has_started


async def test_a_worker_that_writes_what_is_no_message_is_let_go() -> None:
    worker = await hired(raves)
    assert await worker.started == ""
    async with asyncio.timeout(PATIENCE):
        assert await worker.ended == 0


async def test_a_generation_tells_of_every_seat_that_did_not_start(crew: list[Generation]) -> None:
    generation, _ = generation_of(crew, serves, complains, serves)
    assert await generation.begin() == ["no certificates"]
    assert len(generation.serving()) == 2


async def test_a_killed_worker_is_replaced_and_counted(crew: list[Generation]) -> None:
    generation, counted = generation_of(crew, serves, serves)
    assert await generation.begin() == []
    before = generation.serving()
    os.kill(before[0].pid, signal.SIGKILL)
    await before[0].ended
    await until(lambda: len(generation.serving()) == 2)
    assert before[0] not in generation.workers
    assert before[1] in generation.workers
    assert len(counted) == 1


async def test_a_worker_that_dies_again_and_again_gets_ever_longer_pauses(
    crew: list[Generation], caplog: pytest.LogCaptureFixture
) -> None:
    generation, counted = generation_of(crew, serves, breaks)
    clock = asyncio.get_running_loop().time
    with caplog.at_level(logging.ERROR):
        await generation.begin()
        begun = clock()
        await until(lambda: len(counted) >= 3)
    assert clock() - begun > 0.6  # 0.1, 0.2 and 0.4 s
    assert len(generation.serving()) == 1
    assert "ended with exit code 3; replacing it" in caplog.text


async def test_nobody_is_replaced_when_the_generation_drains(crew: list[Generation]) -> None:
    generation, counted = generation_of(crew, serves, serves, breaks)
    await generation.begin()
    generation.drain()
    async with asyncio.timeout(PATIENCE):
        await generation.gone()
    assert generation.workers == set()
    assert len(counted) <= 1


async def test_a_retired_worker_is_told_for_how_long_and_none_takes_its_place(
    crew: list[Generation],
) -> None:
    generation, counted = generation_of(crew, retires)
    await generation.begin()
    (worker,) = generation.serving()
    generation.retire(0.25)
    assert worker.state == "draining"
    assert generation.serving() == []
    assert await worker.ended == 25
    await generation.gone()
    assert counted == []


def test_an_exit_is_told_in_words() -> None:
    assert manner(0) == "ended with exit code 0"
    assert manner(-9) == "was ended by SIGKILL"
