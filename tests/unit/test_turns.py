"""A turn of the event loop begins so many requests and no more."""

import asyncio
from typing import Any, cast

import uvloop

from gateway.server.exchange import Exchange
from gateway.server.turns import MOST, Turns

MANY = 5 * MOST + 3


def begun_in_turns(arriving: list[int]) -> list[list[int]]:
    """Which requests begin in which turn, when so many become ready in each."""
    turns: list[list[int]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        line, over = Turns(), loop.create_future()
        numbers = iter(range(sum(arriving)))

        def begin(exchange: Any) -> None:
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

    uvloop.run(run())
    return turns


def test_whoever_becomes_ready_at_once_begins_in_order_and_not_all_in_one_turn() -> None:
    turns = begun_in_turns([MANY])
    assert [number for turn in turns for number in turn] == list(range(MANY))
    assert max(map(len, turns)) <= MOST


def test_who_comes_later_waits_behind_those_who_wait() -> None:
    turns = begun_in_turns([MANY, 2, 0, 3])
    assert [number for turn in turns for number in turn] == list(range(MANY + 5))


def test_a_few_begin_at_once() -> None:
    assert begun_in_turns([MOST])[0] == list(range(MOST))
