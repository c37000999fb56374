"""Clients that hold connections open on purpose: the ways of slowloris (F23, F25, ASVS 15.2.2).

The effect would be that others are not served. So in each of the states many connections are held
while somebody else asks; and none of them is held for longer than its deadline allows.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.errors import Code, Refused
from gateway.server.listening import SPARE
from gateway.settings import Limits
from tests.support.serving import Served, Talk, served, serving
from tests.support.strict_http import read_answers
from tests.support.world import World

pytestmark = pytest.mark.e2e

MANY = 50
SHORT = Limits(header_timeout=0.4, body_idle=0.4, body_total=1.5, write_idle=0.6, keepalive=0.5)
HEAD = b"GET /public/x HTTP/1.1\r\nHost: app.example\r\n"
POST = b"POST /public/x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"POST /public/x HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n"

FLOOD = b"GET /flood HTTP/1.1\r\nHost: h\r\n\r\n"


async def drip_fields(talk: Talk) -> None:
    talk.send(HEAD)
    with contextlib.suppress(ConnectionError):
        for n in range(100):
            await talk.drip(b"X-%d: 1\r\n" % n, pause=0.05)


async def drip_body(talk: Talk) -> None:
    talk.send(POST)
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            await talk.drip(b"x", pause=0.05)


async def drip_nothing_but_line_ends(talk: Talk) -> None:
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            await talk.drip(b"\r\n", pause=0.05)


def sending(octets: bytes) -> Any:
    async def send(talk: Talk) -> None:
        talk.send(octets)

    return send


KINDS = {
    "never says a word": (sending(b""), None),
    "half a request line": (sending(b"GET /publ"), 408),
    "half of the fields": (sending(HEAD), 408),
    "a field now and then": (drip_fields, 408),
    "line ends now and then": (drip_nothing_but_line_ends, 408),
    "a body that stalls": (sending(POST + b"half"), 408),
    "a chunked body that stalls": (sending(CHUNKED + b"3\r\nabc\r\n"), 408),
    "a body now and then": (drip_body, 408),
    "half of the next request": (sending(HEAD + b"\r\nGET /next"), 408),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_others_are_served_meanwhile_and_every_connection_ends_f25(kind: str) -> None:
    hold, status = KINDS[kind]
    world = World()
    async with serving(world, SHORT) as server, contextlib.AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(server.talk()) for _ in range(MANY)]
        holding = [asyncio.create_task(hold(talk)) for talk in talks]
        await server.until_connected(MANY)
        for _ in range(5):
            octets = await server.say(HEAD + b"Connection: close\r\n\r\n")
            assert read_answers(octets, [])[0].status == 200
        async with asyncio.timeout(6):
            ends = [await talk.rest() for talk in talks]
        for task in holding:
            task.cancel()
        await asyncio.gather(*holding, return_exceptions=True)
    for octets in ends:
        answers = read_answers(octets, [])
        if status is None:
            assert answers == []  # a 408 here would be taken for the answer to a later request
        else:
            assert (answers[-1].status, answers[-1].closes) == (status, True)
            assert b'"code":"request.timeout"' in answers[-1].body
    codes = [line["code"] for line in world.audit("request.refused")]
    assert codes == ["request.timeout"] * (0 if status is None else MANY)
    assert all(body == b"" for body in world.api.bodies)  # no half upload counts as a request


async def test_a_connection_lies_idle_only_for_so_long() -> None:
    world = World()
    async with serving(world, SHORT) as server, server.talk() as talk:
        talk.send(HEAD + b"\r\n")
        octets = await asyncio.wait_for(talk.rest(), 5)
    (answer,) = read_answers(octets, [])
    assert not answer.closes  # it was the client's turn


async def test_deadlines_spare_clients_that_keep_them() -> None:
    limits = Limits(header_timeout=1, body_idle=0.6, body_min_rate=0, write_idle=1, keepalive=1)
    world = World()
    async with serving(world, limits) as server, server.talk() as talk:
        for _ in range(3):
            await talk.drip(HEAD[:20], HEAD[20:] + b"\r\n", pause=0.2)
            await talk.until(b"0\r\n\r\n")
        await talk.drip(POST.replace(b"1000", b"5"), *(b"x" for _ in range(5)), pause=0.3)
        await talk.until(b"0\r\n\r\n")
    assert world.api.bodies == [b"", b"", b"", b"xxxxx"]


async def test_a_body_that_drips_ends_though_no_pause_is_too_long_f25() -> None:
    """Without a limit on the whole: uploads of any length have to be possible."""
    world = World()
    async with serving(world, Limits(body_idle=0.5)) as server, server.talk() as talk:
        dripping = asyncio.create_task(drip_body(talk))
        async with asyncio.timeout(4):  # it would drip for 5 s, and could for ever
            octets = await talk.rest()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    (answer,) = read_answers(octets, [])
    assert (answer.status, answer.closes) == (408, True)
    assert [line["code"] for line in world.audit("request.refused")] == ["request.timeout"]
    assert world.api.bodies in ([], [b""])  # no half upload counts as a request


async def test_a_body_that_is_slow_and_steady_passes_f25() -> None:
    world = World()
    async with serving(world, Limits(body_idle=0.5)) as server, server.talk() as talk:
        talk.send(POST.replace(b"1000", b"3000"))
        await talk.drip(*(b"x" * 100 for _ in range(30)), pause=0.08)  # a good 1000 per second
        await talk.until(b"0\r\n\r\n")
    assert world.api.bodies == [b"x" * 3000]


async def test_the_rate_of_a_body_begins_when_it_is_asked_for() -> None:
    """A client that waits for its 100 sends nothing, rightly."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    async with served(app, Limits(body_idle=0.4)) as server, server.talk() as talk:
        talk.send(head)
        await talk.until(b"100 Continue\r\n\r\n")
        await asyncio.sleep(0.25)  # less than a pause may take
        talk.send(b"x")
        assert b"200 OK" in await talk.until(b"0\r\n\r\n")


async def test_an_application_that_is_slow_to_read_is_not_its_clients_fault() -> None:
    """Back-pressure: it is we who do not read, for longer than the client may pause."""
    got = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal got
        await asyncio.sleep(1.5)
        while (message := await receive())["type"] == "http.request":
            got += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    size = 3_000_000
    limits = Limits(header_timeout=0.3, body_idle=0.3, write_idle=0.3, keepalive=0.3)
    async with served(app, limits) as server:
        head = (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size
        )
        octets = await server.say(head + b"x" * size)
    assert octets.endswith(b"0\r\n\r\n")
    assert got == size


async def test_a_slow_body_is_broken_off_at_the_upstream_and_never_whole_there() -> None:
    """The application learns of it where it asks for more."""
    raised: list[Code] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            while True:
                await receive()
        except Refused as refusal:
            raised.append(refusal.code)
            raise

    async with served(app, SHORT) as server, server.talk() as talk:
        talk.send(POST + b"half")
        (answer,) = read_answers(await talk.rest(), [])
    assert answer.status == 408
    assert raised == [Code.REQUEST_TIMEOUT]


async def test_an_answer_that_has_begun_is_cut_off_when_its_upload_stalls_m12() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        while True:
            await receive()

    async with served(app, SHORT) as server, server.talk() as talk:
        talk.send(POST + b"half")
        octets = await talk.rest()
    assert b"so far" in octets
    assert not octets.endswith(b"0\r\n\r\n")


class Flood:
    """An application that writes as fast as it may, and notes how far it got."""

    def __init__(self) -> None:
        self.written = 0
        self.ended: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/public/x":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x"})
            return
        cancel = asyncio.current_task().cancel  # type: ignore[union-attr]
        scope["gateway.connection"].watch(cancel)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                piece = {"type": "http.response.body", "body": b"y" * 65536, "more_body": True}
                await send(piece)
                self.written += 65536
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise


@contextlib.asynccontextmanager
async def narrow(server: Served) -> AsyncIterator[socket.socket]:
    """A client whose system takes little at a time."""
    link = socket.socket()
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.setblocking(False)  # noqa: FBT003  the socket module's own signature
        await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", server.port))
        yield link
    finally:
        link.close()


async def test_a_client_that_reads_nothing_holds_little_memory_and_is_cut_off_f23(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flood()
    caplog.set_level(logging.INFO, "gateway.server")
    async with served(app, SHORT) as server, contextlib.AsyncExitStack() as stack:
        links = [await stack.enter_async_context(narrow(server)) for _ in range(20)]
        for link in links:
            await asyncio.get_running_loop().sock_sendall(
                link, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
            )
        await server.until_connected(len(links))
        await asyncio.sleep(0.2)
        waiting = [
            connection.transport.get_write_buffer_size()  # type: ignore[attr-defined]
            for connection in server.server.clients.connections
        ]
        assert max(waiting) <= 3 * 65536  # one piece above the mark at which it waits
        octets = await server.say(HEAD + b"Connection: close\r\n\r\n")
        assert octets.startswith(b"HTTP/1.1 200")
        await asyncio.wait_for(server.until_connected(0), 8)
        await asyncio.sleep(0)
    assert app.ended == ["cancelled"] * len(links)
    assert app.written < len(links) * 8_000_000  # what the kernel's buffers took, no more
    assert caplog.text.count("took nothing") == len(links)


async def test_a_client_that_reads_slowly_but_steadily_gets_everything_f23() -> None:
    size = 600_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"z" * size})

    loop = asyncio.get_running_loop()
    async with served(app, SHORT) as server, narrow(server) as link:
        await loop.sock_sendall(link, HEAD + b"Connection: close\r\n\r\n")
        octets = b""
        async with asyncio.timeout(20):
            while piece := await loop.sock_recv(link, 16384):
                octets += piece
                await asyncio.sleep(0.06)  # for about four times `write_idle` altogether
    assert octets.endswith(b"z" * size)


async def test_an_answer_nobody_fetches_is_given_up_even_when_it_is_small_f23() -> None:
    """Less than the high-water mark waits, so nobody is told to stop writing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"z" * 65536, "more_body": True})
            connection = next(iter(server.server.clients.connections))
            if connection.transport.get_write_buffer_size():  # type: ignore[attr-defined]
                break
        await send({"type": "http.response.body", "body": b""})

    async with served(app, SHORT) as server, narrow(server) as link:
        await asyncio.get_running_loop().sock_sendall(link, HEAD + b"Connection: close\r\n\r\n")
        await server.until_connected(1)
        await asyncio.wait_for(server.until_connected(0), 10)


async def test_above_the_cap_clients_are_told_so_and_those_below_are_served_f25() -> None:
    world = World()
    limits = Limits(max_connections=10)
    async with serving(world, limits) as server, contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(server.talk()) for _ in range(10)]
        await server.until_connected(10)
        for _ in range(3):
            (answer,) = read_answers(await server.say(HEAD + b"\r\n"), [])
            assert (answer.status, answer.closes) == (503, True)
            assert answer.values(b"retry-after") == [b"1"]
            assert b'"code":"connection.limit"' in answer.body
        held[0].send(HEAD + b"\r\n")
        assert (await held[0].until(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200")
        for talk in held[1:]:
            talk.close()
        await server.until_connected(1)
        octets = await server.say(HEAD + b"Connection: close\r\n\r\n")
        assert octets.startswith(b"HTTP/1.1 200")
    assert [line["code"] for line in world.audit("request.refused")] == ["connection.limit"] * 3


async def test_a_flood_above_the_cap_costs_a_bounded_number_of_sockets_f25() -> None:
    limits = Limits(max_connections=10)
    async with serving(World(), limits) as server, contextlib.AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(server.talk()) for _ in range(10)]
        await server.until_connected(10)
        talks += [await stack.enter_async_context(server.talk()) for _ in range(3 * SPARE)]
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.01)
            most = max(most, server.connected)
        assert most <= 10 + SPARE
        await asyncio.wait_for(server.until_connected(10), 8)
