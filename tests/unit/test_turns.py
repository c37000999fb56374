"""A turn of the event loop begins so many requests and no more."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from gateway.server.exchange import Exchange
from gateway.server.turns import MOST, Turns
from tests.support.store_watcher import until

MANY = 5 * MOST + 3


LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
on_both_loops = pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])


def begun_in_turns(
    arriving: list[int], loop: Callable[[], asyncio.AbstractEventLoop]
) -> list[list[int]]:
    """Which requests begin in which turn, when so many become ready in each."""
    turns: list[list[int]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        line, over = Turns(), loop.create_future()
        numbers = iter(range(sum(arriving)))

        def begin(exchange: Any) -> None:
            time.sleep(0.0001)  # as one that is parsed takes
            turns[-1].append(exchange)

        def turn(left: list[int]) -> None:
            turns.append([])
            following = loop.call_soon(turn, left[1:])  # before whoever has to wait is called
            for _ in range(left[0] if left else 0):
                line.begin(begin, cast("Exchange", next(numbers)), loop)  # a number will do
            if sum(map(len, turns)) == sum(arriving):
                following.cancel()
                over.set_result(None)

        loop.call_soon(turn, arriving)
        async with asyncio.timeout(10):
            await over

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    return turns


@on_both_loops
def test_whoever_becomes_ready_at_once_begins_in_order_and_not_all_in_one_turn(loop: Any) -> None:
    turns = begun_in_turns([MANY], loop)
    assert [number for turn in turns for number in turn] == list(range(MANY))
    assert max(map(len, turns)) <= MOST


@on_both_loops
def test_who_comes_later_waits_behind_those_who_wait(loop: Any) -> None:
    turns = begun_in_turns([MANY, 2, 0, 3], loop)
    assert [number for turn in turns for number in turn] == list(range(MANY + 5))


@on_both_loops
def test_a_few_begin_at_once(loop: Any) -> None:
    assert begun_in_turns([MOST], loop)[0] == list(range(MOST))


@on_both_loops
def test_a_beginning_that_fails_does_not_stop_the_line(loop: Any) -> None:
    begun: list[int] = []

    async def run() -> None:
        here = asyncio.get_running_loop()
        here.set_exception_handler(lambda *_: None)
        line = Turns()

        def begin(exchange: Any) -> None:
            if exchange == MOST + 1:
                raise MemoryError
            begun.append(exchange)

        def crowd() -> None:
            for number in range(MANY):
                line.begin(begin, cast("Exchange", number), here)

        here.call_soon(crowd)
        await until(lambda: len(begun) == MANY - 1)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    assert begun == [number for number in range(MANY) if number != MOST + 1]
