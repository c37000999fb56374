"""A server whose place another has taken (F31): nobody new, and time for those who are there."""

import asyncio
import time

import pytest

from gateway.server.departure import Departure
from gateway.settings import Limits
from tests.support.patient import Patient
from tests.support.serving import served
from tests.support.strict_http import read_answers
from tests.support.switching import ASK, HANDSHAKE, Switching

pytestmark = pytest.mark.e2e

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
LONG = 600.0
NO_GRACE = Limits(shutdown_grace=0.0)


class Channels:
    """What is open for long, and when it was told to go."""

    def __init__(self, takes: float = 0.0) -> None:
        self.takes = takes
        self.told: list[float] = []

    def leaving_takes(self) -> float:
        return self.takes

    def go_away(self, within: float) -> None:
        self.told.append(within)


async def test_a_connection_that_lies_idle_is_answered_once_more() -> None:
    app = Patient(may=True)
    async with served(app, NO_GRACE) as server, server.talk() as talk, server.talk() as silent:
        talk.send(GET)
        await talk.answer()
        await asyncio.sleep(1.3)  # a shutdown closes what has been idle for a second
        server.departure.leave(LONG)
        await asyncio.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        for one in (talk, silent):
            one.send(GET)
            (answer,) = read_answers(await one.rest(), [])
            assert (answer.status, answer.closes) == (200, True)
        await server.stopped()  # nobody is left to wait for
    assert app.asked == 3


async def test_what_is_under_way_may_take_longer_than_the_grace() -> None:
    app = Patient()
    async with served(app, NO_GRACE) as server, server.talk() as talk:
        talk.send(GET)
        await asyncio.sleep(0.05)
        server.departure.leave(LONG)
        await asyncio.sleep(0.3)
        app.may.set()
        (answer,) = read_answers(await talk.rest(), [])
        assert (answer.status, answer.closes) == (200, True)
        await server.stopped()
    assert app.cancelled == 0


async def test_a_wire_goes_on_until_the_leisure_ends() -> None:
    app = Switching()
    async with served(app, NO_GRACE) as server, server.talk() as talk:
        talk.send(ASK)
        assert await talk.exactly(len(HANDSHAKE)) == HANDSHAKE
        server.departure.leave(0.8)
        await asyncio.sleep(0.3)
        talk.send(b"still there")
        assert await talk.exactly(11) == b"still there"
        assert await talk.rest() == b""
        await server.stopped()
        assert app.ends[0].losses == 1


async def test_who_has_leisure_can_be_told_to_stop_and_to_stop_at_once() -> None:
    app = Patient()
    async with served(app, Limits(shutdown_grace=LONG)) as server, server.talk() as talk:
        talk.send(GET)
        await asyncio.sleep(0.05)
        server.departure.leave(LONG)
        await asyncio.sleep(0.2)
        server.departure.insist()
        await asyncio.sleep(0.3)
        assert not server.serving.done()  # it has its grace
        server.departure.insist()
        await server.stopped()
    assert app.cancelled == 1


async def test_channels_are_told_as_late_as_it_can_be_done_without_haste() -> None:
    channels = Channels(takes=0.2)
    async with served(Switching(), NO_GRACE, lasting=channels) as server, server.talk() as talk:
        talk.send(ASK)
        await talk.exactly(len(HANDSHAKE))
        server.departure.leave(1.0)
        await asyncio.sleep(0.3)
        assert channels.told == []
        await talk.rest()
        await server.stopped()
    first, last = channels.told
    assert 0.0 < first <= 0.2
    assert last == 0.0  # whoever came in between


async def test_channels_that_take_long_get_half_of_the_time() -> None:
    channels = Channels(takes=LONG)
    limits = Limits(shutdown_grace=0.4)
    async with served(Switching(), limits, lasting=channels) as server, server.talk() as talk:
        talk.send(ASK)
        await talk.exactly(len(HANDSHAKE))
        server.departure.leave(1.0)
        await talk.rest()
        await server.stopped()
    first, last = channels.told
    assert 0.0 < first <= 0.5
    assert last == 0.2


async def test_dates_do_not_stand_still_while_others_leave() -> None:
    app = Patient(may=True)
    async with served(app, NO_GRACE) as server, server.talk() as talk:
        server.departure.leave(LONG)
        await asyncio.sleep(2.2)
        talk.send(GET)
        (answer,) = read_answers(await talk.rest(), [])
    (date,) = [value for name, value in answer.fields if name.lower() == b"date"]
    sent = time.strptime(date.decode(), "%a, %d %b %Y %H:%M:%S GMT")
    begun = time.gmtime(time.time() - 2.2)
    assert sent >= begun


def test_what_was_said_first_holds_if_it_is_sooner() -> None:
    assert not Departure().has_begun
    departure = Departure()
    departure.leave(10.0)
    until = departure.until
    departure.leave(20.0)
    assert (departure.until, departure.leisure) == (until, 10.0)
    departure.leave(5.0)
    assert departure.until < until
    assert departure.has_begun
    assert not departure.is_due


def test_who_says_it_twice_means_it() -> None:
    departure = Departure()
    departure.leave(10.0)
    said = []
    for _ in range(2):
        departure.insist()
        said.append((departure.is_due, departure.at_once))
    assert said == [(True, False), (True, True)]
