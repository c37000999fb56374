"""Channels are told to go one after the other, so that they do not all come back at once."""

import asyncio

from gateway.errors import Code
from gateway.web.open_channels import PACE, ChannelKind, OpenChannels

GUARD = 10.0  # seconds, for what takes a fraction of one


class Fake:
    """A channel that closes when it is told to, if it wants."""

    kind = ChannelKind.WEBSOCKET

    def __init__(self, home: OpenChannels, *, closes: bool = True) -> None:
        self.home = home
        self.closes = closes
        self.told = 0
        home.add(self)

    def end(self, code: Code) -> None:
        raise AssertionError("no session has ended")

    def visit(self) -> None:
        return

    def go_away(self) -> None:
        self.told += 1
        if self.closes:
            self.home.discard(self)


def several(home: OpenChannels, count: int) -> list[Fake]:
    return [Fake(home) for _ in range(count)]


def told(channels: list[Fake]) -> int:
    return sum(one.told for one in channels)


async def until_told(channels: list[Fake]) -> None:
    async with asyncio.timeout(GUARD):
        while told(channels) < len(channels):  # noqa: ASYNC110  the registry's own timer
            await asyncio.sleep(0.01)


async def test_many_are_told_little_by_little_and_each_once() -> None:
    home = OpenChannels()
    channels = several(home, PACE // 2)
    assert home.leaving_takes() == 0.5
    home.go_away(60.0)
    assert 0 < told(channels) < len(channels) / 2
    await until_told(channels)
    assert {one.told for one in channels} == {1}
    assert len(home) == 0


async def test_a_few_are_told_at_once_however_much_time_there_is() -> None:
    home = OpenChannels()
    channels = several(home, PACE // 20)
    home.go_away(60.0)
    assert told(channels) == len(channels)


async def test_too_many_for_the_time_are_told_faster() -> None:
    home = OpenChannels()
    channels = several(home, 100 * PACE)  # a hundred seconds, at our pace
    home.go_away(0.3)
    assert 0 < told(channels) < len(channels)
    await until_told(channels)


async def test_whoever_is_in_a_hurry_in_between_is_obeyed() -> None:
    home = OpenChannels()
    channels = several(home, 10 * PACE)
    home.go_away(60.0)
    assert told(channels) < len(channels)
    home.go_away(60.0)  # no slower, and nobody twice
    assert told(channels) < len(channels)
    home.go_away()
    assert {one.told for one in channels} == {1}


async def test_who_has_closed_meanwhile_is_told_nothing_and_who_comes_late_is() -> None:
    home = OpenChannels()
    channels = several(home, PACE)
    home.go_away(60.0)
    waiting = [one for one in channels if not one.told]
    for one in waiting:
        home.discard(one)
    late = Fake(home)
    await until_told([late])
    home.go_away()
    assert told(waiting) == 0


async def test_closing_waits_for_nobody_in_particular() -> None:
    home = OpenChannels()
    channels = several(home, 5 * PACE)
    home.go_away(60.0)
    async with asyncio.timeout(GUARD):
        await home.aclose()
    assert {one.told for one in channels} == {1}
    assert len(home) == 0
