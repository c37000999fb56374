"""How a server stops (F32): nobody new, last words, time to finish, and then the end."""

import asyncio

import pytest

from gateway.settings import Limits
from tests.support.patient import Patient
from tests.support.serving import PATIENCE, served
from tests.support.strict_http import read_answers
from tests.support.switching import ASK, HANDSHAKE, Switching

pytestmark = pytest.mark.e2e

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"


async def test_a_stopping_server_accepts_nobody_new() -> None:
    app = Patient()
    async with served(app) as server, server.talk() as talk:
        talk.send(GET)
        await asyncio.sleep(0.05)
        server.stop()
        await asyncio.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        app.may.set()
        await server.stopped()


async def test_a_request_under_way_finishes_and_its_answer_is_the_last() -> None:
    app = Patient()
    async with served(app) as server, server.talk() as talk:
        talk.send(GET)
        await asyncio.sleep(0.05)
        server.stop()
        await asyncio.sleep(0.3)
        assert not server.serving.done()
        app.may.set()
        (answer,) = read_answers(await talk.rest(), [])
        assert (answer.status, answer.closes) == (200, True)
        await server.stopped()
    assert app.cancelled == 0


async def test_an_upload_under_way_finishes_too() -> None:
    app = Patient(may=True)
    async with served(app) as server, server.talk() as talk:
        talk.send(POST + b"first")
        await asyncio.sleep(0.05)
        server.stop()
        await asyncio.sleep(0.3)
        talk.send(b" last")
        (answer,) = read_answers(await talk.rest(), [])
        assert (answer.status, answer.closes) == (200, True)
        await server.stopped()
    assert app.bodies == [b"first last"]


async def test_pipelined_requests_are_all_answered_before_the_end() -> None:
    app = Patient()
    async with served(app) as server, server.talk() as talk:
        talk.send(GET * 3)
        await asyncio.sleep(0.05)
        server.stop()
        await asyncio.sleep(0.2)
        app.may.set()
        answers = read_answers(await talk.rest(), [])
        await server.stopped()
    assert [answer.closes for answer in answers] == [False, False, True]


async def test_idle_connections_are_closed_and_hold_nobody_up() -> None:
    app = Patient(may=True)
    async with served(app) as server, server.talk() as idle, server.talk() as silent:
        idle.send(GET)
        await idle.answer()
        server.stop()
        assert await idle.rest() == b""
        assert await silent.rest() == b""
        await server.stopped()


async def test_a_request_that_comes_in_at_that_very_moment_is_still_answered() -> None:
    app = Patient(may=True)
    async with served(app) as server, server.talk() as talk:
        talk.send(GET)
        await talk.answer()
        server.stop()
        await asyncio.sleep(0.3)  # the server has begun to stop
        talk.send(GET)
        (answer,) = read_answers(await talk.rest(), [])
        assert (answer.status, answer.closes) == (200, True)
        await server.stopped()
    assert app.asked == 2


async def test_what_is_under_way_after_the_grace_is_cancelled_and_cut_off() -> None:
    app = Patient()
    async with served(app, Limits(shutdown_grace=0.3)) as server, server.talk() as talk:
        talk.send(GET)
        await asyncio.sleep(0.05)
        server.stop()
        assert await talk.rest() == b""
        await server.stopped()
    assert app.cancelled == 1


async def test_a_second_signal_ends_the_grace() -> None:
    app = Patient()
    async with served(app) as server, server.talk() as talk:
        talk.send(GET)
        await asyncio.sleep(0.05)
        server.stop()
        await asyncio.sleep(0.3)
        server.departure.insist()
        await server.stopped()
    assert app.cancelled == 1


async def test_a_wire_goes_on_during_the_grace_and_ends_with_it() -> None:
    app = Switching()
    async with served(app, Limits(shutdown_grace=0.6)) as server, server.talk() as talk:
        talk.send(ASK)
        assert await talk.exactly(len(HANDSHAKE)) == HANDSHAKE
        server.stop()
        await asyncio.sleep(0.3)
        talk.send(b"still there")
        assert await talk.exactly(11) == b"still there"
        assert await talk.rest() == b""
        await server.stopped()
        assert app.ends[0].losses == 1


async def test_a_wire_is_not_touched_by_the_deadlines_of_http() -> None:
    app = Switching()
    short = Limits(header_timeout=0.3, body_idle=0.3, write_idle=0.3, keepalive=0.3)
    async with served(app, short) as server, server.talk() as talk:
        talk.send(ASK)
        assert await talk.exactly(len(HANDSHAKE)) == HANDSHAKE
        await asyncio.sleep(1.2)
        talk.send(b"still there")
        assert await talk.exactly(11) == b"still there"


async def test_a_closed_wire_whose_peer_takes_nothing_is_given_up() -> None:
    app = Switching(echo=False)
    async with served(app, Limits(write_idle=0.4)) as server, server.talk() as talk:
        talk.send(ASK)
        await talk.exactly(len(HANDSHAKE))
        talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not app.ends[0].may:
            app.wires[0].write(b"y" * 65536)
            await asyncio.sleep(0)
        app.wires[0].close()
        await asyncio.wait_for(app.ends[0].gone.wait(), PATIENCE)
