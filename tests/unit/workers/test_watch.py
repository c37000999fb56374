"""A worker that hangs is found and replaced; one that may be innocent is left alone."""

import asyncio
import signal
from dataclasses import replace

import pytest

from gateway.workers.crew import Generation
from gateway.workers.watch import Watch
from tests.support.small_workers import (
    Body,
    closes,
    generation_of,
    serves,
    silent,
    spins,
    until,
)
from tests.support.world import settings_of

BASE = settings_of()
PATIENCE = 0.2
IMPATIENT = replace(BASE, listen=replace(BASE.listen, worker_silence=PATIENCE))


class Watched:
    """A generation under watch, with looks of its own time."""

    def __init__(self, generation: Generation, counted: list[int]) -> None:
        self.generation = generation
        self.replaced = counted
        self.ended: list[int] = []
        self.watch = Watch(lambda: [generation], lambda: self.ended.append(1))

    async def look(self, *, late: float = 0.0) -> None:
        await self.watch.look(late)

    async def wait(self) -> None:
        """Longer than a worker may be silent."""
        await asyncio.sleep(PATIENCE * 1.5)


async def watched(crew: list[Generation], *bodies: Body) -> Watched:
    made = Watched(*generation_of(crew, *bodies, settings=IMPATIENT))
    assert await made.generation.begin() == []
    return made


@pytest.mark.parametrize("hangs", [silent, spins], ids=lambda body: body.__name__)
async def test_a_worker_that_hangs_is_ended_and_replaced(
    crew: list[Generation], hangs: Body, capfd: pytest.CaptureFixture[str]
) -> None:
    here = await watched(crew, hangs, serves)
    numbers = {worker.pid for worker in here.generation.serving()}
    await here.look()  # asks
    await here.wait()
    await here.look()
    await until(lambda: len(here.replaced) == 1 and len(here.generation.serving()) == 2)
    assert len(here.ended) == 1
    assert len(numbers & {worker.pid for worker in here.generation.serving()}) == 1
    if hangs is spins:  # it has said where
        assert "in spins" in capfd.readouterr().err


async def test_workers_that_answer_are_left_alone(crew: list[Generation]) -> None:
    here = await watched(crew, serves, serves)
    before = here.generation.serving()
    for _ in range(3):
        await here.look()
        await here.wait()
    assert here.ended == []
    assert set(here.generation.serving()) == set(before)


async def test_who_is_asked_nothing_owes_nothing(crew: list[Generation]) -> None:
    here = await watched(crew, silent)
    await here.wait()
    await here.look()  # the first time it is asked
    assert here.ended == []


async def test_one_at_a_time_and_everybody_gets_all_the_patience_again(
    crew: list[Generation],
) -> None:
    here = await watched(crew, silent, silent, serves)
    await here.look()
    await here.wait()
    await here.look()
    await here.look()
    assert len(here.ended) == 1
    await until(lambda: len(here.generation.serving()) == 3)
    await here.wait()
    await here.look()
    assert len(here.ended) == 2
    await until(lambda: len(here.generation.serving()) == 3)
    await here.wait()
    await here.look()
    assert len(here.ended) == 2


async def test_a_supervisor_that_was_held_up_itself_blames_nobody(crew: list[Generation]) -> None:
    here = await watched(crew, silent)
    await here.look()
    await here.wait()
    await here.look(late=1.0)  # a suspended machine, or one without time for anybody
    await here.look()
    assert here.ended == []
    await here.wait()
    await here.look()
    assert len(here.ended) == 1


async def test_a_stopped_watch_looks_no_more(crew: list[Generation]) -> None:
    here = await watched(crew, serves)
    watching = asyncio.create_task(here.watch.run())
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait({watching})
    assert watching.cancelled()


async def test_a_worker_that_comes_back_in_time_is_forgiven(crew: list[Generation]) -> None:
    here = await watched(crew, serves)
    (worker,) = here.generation.serving()
    worker._signal(signal.SIGSTOP)
    await here.look()
    worker._signal(signal.SIGCONT)
    await until(lambda: worker.silence() == 0.0)
    await here.wait()
    await here.look()
    assert here.ended == []


async def test_a_worker_that_hangs_while_it_leaves_is_ended_and_not_replaced(
    crew: list[Generation],
) -> None:
    here = await watched(crew, silent, serves)
    here.generation.retire(60.0)
    await here.look()
    await here.wait()
    await here.look()
    assert len(here.ended) == 1
    assert here.replaced == []


async def test_a_worker_that_closes_has_all_the_time_it_needs_h9(crew: list[Generation]) -> None:
    """It may be in the middle of a refresh, and the new token must not be lost."""
    here = await watched(crew, closes, serves)
    here.generation.retire(60.0)
    await until(lambda: len(here.generation.running()) == 1)
    for _ in range(3):
        await here.look()
        await here.wait()
    assert here.ended == []
