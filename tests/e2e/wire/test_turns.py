"""Whose turn it is: pipelining, refusals, `Expect`, and answers before the request has ended.

Section M, rules M11, M14 and M16. Each ends with: the next request on the connection is read
right, or the connection is closed, and the client could read what it was told.
"""

import asyncio
import re
from typing import Any

import pytest

from gateway.errors import Code
from gateway.server.protocol import MOST_QUEUED
from gateway.settings import Limits
from tests.support.serving import PATIENCE, served, serving
from tests.support.strict_http import read_answers
from tests.support.world import World

pytestmark = pytest.mark.e2e

HOST = b"Host: app.example\r\n"
SAME = b"Sec-Fetch-Site: same-origin\r\nX-CSRF: 1\r\n"
EXPECT = b"Expect: 100-continue\r\n"


def get(path: bytes, *more: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(more) + b"\r\n"


def post(path: bytes, length: int, *more: bytes) -> bytes:
    fields = b"Content-Length: %d\r\n" % length
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + fields + b"".join(more) + b"\r\n"


LAST = get(b"/last", b"Connection: close\r\n")


class Echo:
    """Answers with the path it was asked for; reads the body only where the path says so.

    `/wait` answers when `go` is set, `/early` before it reads anything, `/stream` begins an
    answer, reads, and goes on.
    """

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.seen: list[str] = []
        self.bodies: list[bytes] = []
        self.cancelled: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.seen.append(path)
        cancel = asyncio.current_task().cancel  # type: ignore[union-attr]
        scope["gateway.connection"].watch(cancel)
        try:
            if path == "/wait":
                await self.go.wait()
            if path.startswith("/read"):
                self.bodies.append(await self.body(receive))
        except asyncio.CancelledError:
            self.cancelled.append(path)
            raise
        finally:
            scope["gateway.connection"].forget(cancel)
        length = b"%d" % len(path)
        fields = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": path.encode()})

    @staticmethod
    async def body(receive: Any) -> bytes:
        octets = bytearray()
        while True:
            message = await receive()
            assert message["type"] == "http.request"
            octets += message["body"]
            if not message["more_body"]:
                return bytes(octets)


def paths(octets: bytes) -> list[bytes]:
    return [answer.body for answer in read_answers(octets, [])]


async def test_pipelined_requests_are_answered_in_order() -> None:
    app = Echo()
    body = b"GET /not-a-request HTTP/1.1\r\n\r\n"
    async with served(app) as server:
        octets = (
            get(b"/1")
            + post(b"/read2", len(body)) + body
            + get(b"/3")
            + b"POST /read4 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
            + LAST
        )  # fmt: skip
        assert paths(await server.say(octets)) == [b"/1", b"/read2", b"/3", b"/read4", b"/last"]
    assert app.bodies == [body, body]


async def test_a_later_request_waits_for_the_answer_to_the_one_before() -> None:
    app = Echo()
    async with served(app) as server, server.talk() as talk:
        talk.send(get(b"/wait") + get(b"/2"))
        await asyncio.sleep(0.1)
        assert app.seen == ["/wait"]
        app.go.set()
        talk.send(LAST)
        assert paths(await talk.rest()) == [b"/wait", b"/2", b"/last"]


async def test_more_requests_at_once_than_may_wait_are_not_read_at_all() -> None:
    app = Echo()
    async with served(app) as server, server.talk() as talk:
        talk.send(get(b"/wait") + get(b"/n") * 500)
        await asyncio.sleep(0.1)
        app.go.set()
        answers = read_answers(await talk.rest(), [])
    assert len(answers) == len(app.seen) == 1 + MOST_QUEUED
    assert [answer.closes for answer in answers] == [False] * MOST_QUEUED + [True]


async def test_an_application_that_waits_for_the_end_lets_nobody_fill_the_queue() -> None:
    """Waiting for a disconnect must not start reading again."""
    seen = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal seen
        seen += 1
        await receive()
        await receive()  # until the client has gone

    async with served(app) as server:
        async with server.talk() as talk:
            for _ in range(50):
                talk.send(get(b"/n") * 20)
                await asyncio.sleep(0.005)
            (connection,) = server.server.clients.connections
            assert len(connection._queue) <= MOST_QUEUED  # type: ignore[attr-defined]
        await server.until_connected(0)
    assert seen == 1


@pytest.mark.parametrize(
    ("behind", "code"),
    [
        (b"GET /x HTTP/1.1\r\n\r\n", Code.HOST_MALFORMED),
        (b"garbage\r\n\r\n", Code.REQUEST_MALFORMED),
        (get(b"/x", b"X: " + b"x" * 70000 + b"\r\n"), Code.FIELDS_TOO_LARGE),
        (get(b"/" + b"x" * 20000), Code.TARGET_TOO_LONG),
        (get(b"/x", b"Expect: wonders\r\nContent-Length: 1\r\n"), Code.EXPECTATION_FAILED),
    ],
)
async def test_a_refusal_never_overtakes_the_answer_to_an_earlier_request(
    behind: bytes, code: Code
) -> None:
    app = Echo()
    async with served(app) as server, server.talk() as talk:
        talk.send(get(b"/wait") + behind + LAST)
        await asyncio.sleep(0.1)
        assert server.refused == []
        app.go.set()
        first, refusal = read_answers(await talk.rest(), [])
    assert first.body == b"/wait"
    assert code.value.encode() in refusal.body
    assert refusal.closes
    assert [told for told, _ in server.refused] == [code]
    assert app.seen == ["/wait"]


async def test_a_head_that_grew_large_behind_another_request_in_one_piece_is_refused_k10() -> None:
    app = Echo()
    async with served(app) as server:
        octets = get(b"/1") + get(b"/2", b"X: " + b"x" * 65530 + b"\r\n") + LAST
        first, refusal = read_answers(await server.say(octets), [])
    assert (first.status, refusal.status) == (200, 431)
    assert app.seen == ["/1"]


async def test_nothing_behind_a_request_that_closes_is_read_m1() -> None:
    app = Echo()
    async with served(app) as server:
        assert paths(await server.say(LAST + get(b"/smuggled") * 3)) == [b"/last"]
    assert app.seen == ["/last"]


async def test_100_is_sent_when_the_application_asks_for_the_body_and_not_before_m11() -> None:
    app = Echo()
    async with served(app) as server, server.talk() as talk:
        talk.send(post(b"/read", 5, EXPECT))
        assert await talk.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        talk.send(b"hello" + LAST)
        assert paths(await talk.rest()) == [b"/read", b"/last"]
    assert app.bodies == [b"hello"]


async def test_a_body_that_did_not_wait_gets_no_100_m11() -> None:
    app = Echo()
    async with served(app) as server:
        octets = await server.say(post(b"/read", 5, EXPECT) + b"hello" + LAST)
    assert paths(octets) == [b"/read", b"/last"]
    assert b"100" not in octets.partition(b"\r\n")[0]


async def test_a_refusal_from_the_head_alone_has_no_100_and_reads_no_body_m11_m16() -> None:
    world = World()
    async with serving(world) as server, server.talk() as talk:
        talk.send(post(b"/api/x", 10_000_000, EXPECT, SAME))
        (answer,) = read_answers(await talk.rest(), [])
    assert answer.status == 401
    assert answer.interim == []
    assert answer.closes  # nobody knows whether the body will still be sent
    assert world.api.received == []


async def test_an_expectation_in_http_1_0_or_without_a_body_means_nothing_m11() -> None:
    app = Echo()
    async with served(app) as server:
        assert paths(await server.say(get(b"/1", EXPECT) + LAST)) == [b"/1", b"/last"]
        old = post(b"/read", 5, EXPECT).replace(b"HTTP/1.1", b"HTTP/1.0") + b"hello"
        octets = await server.say(old)
    assert octets.startswith(b"HTTP/1.1 200")
    assert app.bodies == [b"hello"]


async def test_a_body_above_the_limit_is_413_by_its_length_alone_m16() -> None:
    world = World()
    limits = Limits(max_body_bytes=1000)
    async with serving(world, limits) as server, server.talk() as talk:
        talk.send(post(b"/public/x", 1001, EXPECT))
        (answer,) = read_answers(await talk.rest(), [])
    assert (answer.status, answer.interim) == (413, [])
    assert [line["code"] for line in world.audit("request.refused")] == ["body.too_large"]


async def test_a_chunked_body_above_the_limit_is_413_when_it_gets_there() -> None:
    world = World()
    world.gateways = []
    limits = Limits(max_body_bytes=1000)
    world.settings = _with(world.settings, limits)
    world.gateway = world.replica(world.settings)
    head = b"POST /public/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    async with serving(world, limits) as server, server.talk() as talk:
        talk.send(head + (b"100\r\n" + b"x" * 256 + b"\r\n") * 4)
        (answer,) = read_answers(await talk.rest(), [])
    assert answer.status == 413
    assert world.api.received == []


def _with(settings: Any, limits: Limits) -> Any:
    from dataclasses import replace  # noqa: PLC0415  only here

    return replace(settings, limits=limits)


async def test_a_small_body_that_nobody_wanted_is_passed_over_and_the_next_request_read_m16() -> (
    None
):
    app = Echo()
    async with served(app) as server, server.talk() as talk:
        talk.send(post(b"/early", 40_000) + b"GET /smuggled HTTP/1.1\r\n")
        assert (await talk.answer()).body == b"/early"
        talk.send(b"x" * (40_000 - 24) + LAST)
        assert paths(await talk.rest()) == [b"/last"]
    assert app.seen == ["/early", "/last"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_after_an_early_answer_to_a_large_upload_the_connection_is_closed_m16(
    framing: str,
) -> None:
    app = Echo()
    head = post(b"/early", 1_000_000_000)
    if framing == "chunked":
        head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head)
    async with served(app) as server, server.talk() as talk:
        talk.send(head)
        begun = asyncio.get_running_loop().time()
        (answer,) = read_answers(await talk.rest(), [])
        assert answer.closes
        await asyncio.wait_for(server.until_connected(0), 5)
        assert asyncio.get_running_loop().time() - begun < 5
    assert app.seen == ["/early"]


async def test_the_rest_of_a_small_body_that_never_comes_closes_the_connection_m16() -> None:
    app = Echo()
    async with served(app) as server, server.talk() as talk:
        talk.send(post(b"/early", 100) + b"GET /smuggled HTTP/1.1\r\n\r\n")
        assert (await talk.answer()).body == b"/early"
        assert await asyncio.wait_for(talk.rest(), 5) == b""
    assert app.seen == ["/early"]


async def test_an_answer_is_not_lost_on_a_client_that_still_sends_m16() -> None:
    """A reset would make the client's system throw away what it had not read yet."""
    world = World()
    size = 8_000_000
    async with serving(world) as server, server.talk() as talk:

        async def upload() -> None:
            talk.send(post(b"/api/x", size, SAME))
            for _ in range(size // 100_000):
                talk.send(b"x" * 100_000)
                await asyncio.wait_for(talk.writer.drain(), PATIENCE)

        uploading = asyncio.create_task(upload())
        await asyncio.sleep(0.2)  # the answer lies there, and the client has not looked
        (answer,) = read_answers(await talk.rest(), [])
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)
    assert answer.status == 401
    assert answer.closes


async def test_a_refusal_is_not_lost_on_a_client_that_still_sends_m16() -> None:
    app = Echo()
    async with served(app) as server, server.talk() as talk:
        talk.send(b"garbage\r\n\r\n")
        await asyncio.sleep(0.05)
        talk.send(b"x" * 200_000)
        await asyncio.sleep(0.05)
        (answer,) = read_answers(await talk.rest(), [])
    assert answer.status == 400


async def test_a_client_that_leaves_takes_all_its_requests_along_m14() -> None:
    app = Echo()
    async with served(app) as server:
        async with server.talk() as talk:
            talk.send(get(b"/wait"))
            await asyncio.sleep(0.1)
        await server.until_connected(0)
        await asyncio.sleep(0)
        assert app.cancelled == ["/wait"]
        assert not server.server.server_state.tasks


@pytest.mark.parametrize("sent", [post(b"/wait", 900_000) + b"x" * 100_000, get(b"/wait") * 40])
async def test_a_client_that_leaves_while_nothing_is_read_from_it_is_missed_too_m14(
    sent: bytes,
) -> None:
    app = Echo()
    async with served(app) as server:
        async with server.talk() as talk:
            talk.send(sent)
            await asyncio.sleep(0.1)
            (connection,) = server.server.clients.connections
            assert connection.flow.read_paused  # type: ignore[attr-defined]
        await asyncio.wait_for(server.until_connected(0), 5)
        await asyncio.sleep(0)
        assert app.cancelled == ["/wait"]


async def test_a_client_that_leaves_in_the_middle_of_its_body_ends_what_is_done_for_it_m14() -> (
    None
):
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            while (message := await receive())["type"] == "http.request":
                told.append(message["body"].decode())
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    async with served(app) as server:
        async with server.talk() as talk:
            talk.send(post(b"/", 100) + b"half")
            await asyncio.sleep(0.1)
        await server.until_connected(0)
        await asyncio.sleep(0.05)
    assert told == ["half", "cancelled"]
