"""Operations that outlive their callers, without a store: one `Event` says when each may end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.adapters.shielded import NotAnswered, Shielded

LONG = 30.0  # seconds; no test waits for it
SHORT = 0.02


class Ending:
    """Operations that end when the test says so, and tell whether they did."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.begun = 0
        self.ended = 0
        self.cancelled = 0

    def returning(self, result: str) -> Callable[[], Coroutine[Any, Any, str]]:
        async def operation() -> str:
            self.begun += 1
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            self.ended += 1
            return result

        return operation


@pytest.fixture
async def ending() -> Ending:
    return Ending()


def shielded(slots: int = 8, *, slot_timeout: float = LONG, budget: float = LONG) -> Shielded:
    return Shielded(slots=slots, slot_timeout=slot_timeout, budget=budget)


async def test_a_result_and_a_failure_reach_the_caller(ending: Ending) -> None:
    async def failing() -> None:
        raise LookupError

    operations = shielded()
    ending.may_end.set()
    assert await operations.run(ending.returning("done")) == "done"
    with pytest.raises(LookupError):
        await operations.run(failing)


async def test_f18_an_operation_goes_on_when_its_caller_is_cancelled(ending: Ending) -> None:
    operations = shielded()
    caller = asyncio.create_task(operations.run(ending.returning("done")))
    await asyncio.sleep(SHORT)
    caller.cancel()
    await asyncio.wait((caller,))
    assert (ending.begun, ending.ended, ending.cancelled) == (1, 0, 0)
    ending.may_end.set()
    await operations.aclose()
    assert (ending.ended, ending.cancelled) == (1, 0)


async def test_f2_a_caller_waits_for_the_budget_and_the_operation_goes_on(ending: Ending) -> None:
    operations = shielded(budget=SHORT)
    with pytest.raises(NotAnswered):
        await operations.run(ending.returning("late"))
    assert (ending.begun, ending.ended) == (1, 0)
    ending.may_end.set()
    await operations.aclose()
    assert (ending.ended, ending.cancelled) == (1, 0)


async def test_an_operation_without_a_slot_never_begins(ending: Ending) -> None:
    operations = shielded(2, slot_timeout=SHORT)
    working = [asyncio.create_task(operations.run(ending.returning(name))) for name in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(NotAnswered):
        await operations.run(ending.returning("c"))
    ending.may_end.set()
    assert await asyncio.gather(*working) == ["a", "b"]
    assert ending.begun == 2


async def test_a_slot_is_held_until_the_operation_ends_not_until_its_caller_leaves(
    ending: Ending,
) -> None:
    operations = shielded(1, slot_timeout=SHORT, budget=SHORT)
    for _ in range(2):
        with pytest.raises(NotAnswered):
            await operations.run(ending.returning("x"))
    assert ending.begun == 1
    ending.may_end.set()
    await asyncio.sleep(SHORT)
    assert await operations.run(ending.returning("y")) == "y"


async def test_callers_who_leave_while_waiting_for_a_slot_lose_none(ending: Ending) -> None:
    operations = shielded(1)
    first = asyncio.create_task(operations.run(ending.returning("first")))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(operations.run(ending.returning("never"))) for _ in range(20)]
    await asyncio.sleep(0)
    for caller in waiting:
        caller.cancel()
    ending.may_end.set()
    await asyncio.wait((first, *waiting))
    assert await operations.run(ending.returning("last")) == "last"
    assert ending.begun == 2


async def test_a_failure_nobody_waited_for_is_no_noise(
    ending: Ending, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio logs a task whose exception was never looked at; with a stalled store, each one."""

    async def failing_late() -> None:
        await ending.may_end.wait()
        raise LookupError

    operations = shielded(budget=SHORT)
    with pytest.raises(NotAnswered):
        await operations.run(failing_late)
    ending.may_end.set()
    await operations.aclose()
    await asyncio.sleep(0)
    assert caplog.records == []


async def test_after_closing_nothing_begins(ending: Ending) -> None:
    operations = shielded()
    await operations.aclose()
    for _ in range(20):
        with pytest.raises(NotAnswered):
            await operations.run(ending.returning("x"))
    assert ending.begun == 0
    await operations.aclose()
