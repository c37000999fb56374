"""Workers as the supervisor sees them, with real processes that do very little."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.workers.channel import Channel
from gateway.workers.crew import Generation
from gateway.workers.forking import fork_from_loop
from gateway.workers.worker import Worker, manner
from tests.support.world import settings_of

Body = Callable[[socket.socket], int]
PATIENCE = 20.0  # seconds, for things that take a fraction of one


def serves(line: socket.socket) -> int:
    """Ready at once; answers every question with its own words."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with line.makefile("rwb", buffering=0) as stream:
        stream.write(b'{"event": "ready"}\n')
        for question in stream:
            stream.write(question.replace(b'"ask": ', b'"answer": '))
    return 0


def silent(line: socket.socket) -> int:
    line.sendall(b'{"event": "ready"}\n')
    signal.pause()
    return 0


def breaks(line: socket.socket) -> int:
    return 3


def complains(line: socket.socket) -> int:
    line.sendall(b'{"event": "failed", "why": "no certificates"}\n')
    return 1


def raises(line: socket.socket) -> int:
    raise RuntimeError("a bug")


async def hired(body: Body) -> Worker:
    ours, theirs = socket.socketpair()
    with theirs:
        pid = await fork_from_loop(lambda: body(theirs), {theirs.fileno()})
    return Worker(7, pid, await Channel.over(ours))


@pytest.fixture
async def crew() -> AsyncIterator[list[Generation]]:
    made: list[Generation] = []
    yield made
    for generation in made:
        generation.kill()
        await generation.gone()


def generation_of(crew: list[Generation], *bodies: Body) -> tuple[Generation, list[int]]:
    """A generation whose first workers are these bodies, and every later one the last of them."""
    left = list(bodies)
    counted: list[int] = []

    async def hire(_: Generation, seat: int) -> Worker:
        return await hired(left.pop(0) if len(left) > 1 else left[0])

    settings = settings_of()
    made = Generation(
        1, settings, settings.store, hire, lambda: counted.append(1), seats=len(bodies)
    )
    crew.append(made)
    return made, counted


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  what is waited for happens in another process
            await asyncio.sleep(0.01)


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


def test_an_exit_is_told_in_words() -> None:
    assert manner(0) == "ended with exit code 0"
    assert manner(-9) == "was ended by SIGKILL"
