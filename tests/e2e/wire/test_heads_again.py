"""Requests whose very octets have come before: read the same, whatever lies between them (K4, M16).

The server keeps parsed heads by their octets, and fields by theirs, when they come a second time.
A head may only be kept, and only be found, where a request begins and ends with it.
"""

import json
import re
from typing import Any

import pytest

from gateway.server.heads import LONGEST_HEAD, MOST_BLOCKS, MOST_FIELDS, MOST_HEADS
from gateway.settings import Limits
from tests.support.serving import Served, Talk, served, serving
from tests.support.world import SESSION, World, settings_of

HEAD = b"GET /a?b=%2F HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nCookie: k=v\r\n\r\n"


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was asked, body included."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    told = {
        "method": scope["method"],
        "target": scope["gateway.raw_target"].decode(),
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "fields": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "body": body.decode(),
    }
    octets = json.dumps(told).encode()
    length = str(len(octets)).encode()
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    await send(start)
    await send({"type": "http.response.body", "body": octets})


def kept(server: Served) -> int:
    return len(server.server.clients.heads)


def blocks(server: Served) -> int:
    return server.server.clients.heads.blocks


async def asked_twice(talk: Talk, octets: bytes) -> Any:
    await asked(talk, octets)
    return await asked(talk, octets)


async def asked(talk: Talk, octets: bytes) -> Any:
    talk.send(octets)
    return json.loads((await talk.answer()).body)


async def test_the_same_octets_are_read_the_same_on_any_connection() -> None:
    async with served(telling) as server:
        async with server.talk() as talk:
            first = await asked(talk, HEAD)
            assert kept(server) == 0  # it may never come again
            assert await asked(talk, HEAD) == first
            assert kept(server) == 1
            assert [await asked(talk, HEAD) for _ in range(3)] == [first] * 3
        async with server.talk() as other:
            assert await asked(other, HEAD) == first
    assert first["target"] == "/a?b=%2F"
    assert first["fields"] == [["host", "x"], ["x-a", "1"], ["cookie", "k=v"]]


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
async def test_the_same_octets_in_two_packets_are_one_request(cut: int) -> None:
    async with served(telling) as server, server.talk() as talk:
        whole = await asked_twice(talk, HEAD)
        await talk.drip(HEAD[:cut], HEAD[cut:], pause=0.001)
        assert json.loads((await talk.answer()).body) == whole
        assert await asked(talk, HEAD) == whole


async def test_a_known_head_within_a_body_is_that_body_and_no_request() -> None:
    length = str(len(HEAD)).encode()
    async with served(telling) as server, server.talk() as talk:
        await asked_twice(talk, HEAD)
        await talk.drip(
            b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n", HEAD
        )
        told = json.loads((await talk.answer()).body)
        assert (told["method"], told["body"]) == ("POST", HEAD.decode())
        chunk = b"%x\r\n" % len(HEAD)
        head = b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        await talk.drip(head + chunk, HEAD, b"\r\n0\r\n\r\n")
        assert json.loads((await talk.answer()).body)["body"] == HEAD.decode()
        assert (await asked(talk, HEAD))["method"] == "GET"


async def test_a_known_head_behind_a_half_head_is_part_of_it() -> None:
    async with served(telling) as server, server.talk() as talk:
        await asked_twice(talk, HEAD)
        # The second packet is, octet by octet, a known request; as a whole this is another one.
        await talk.drip(b"GET /other HTTP/1.1\r\nHost: x\r\nX-Half: ", HEAD)
        answer = await talk.answer()
        assert (answer.status == 400) or json.loads(answer.body)["target"] == "/other"
    assert all(code for code, _ in server.refused)


async def test_known_heads_in_one_packet_are_as_many_requests_in_their_order() -> None:
    async with served(telling) as server, server.talk() as talk:
        await asked_twice(talk, HEAD)
        other = HEAD.replace(b"/a", b"/z")
        talk.send(HEAD + other + HEAD)
        told = [json.loads((await talk.answer()).body)["path"] for _ in range(3)]
        assert told == ["/a", "/z", "/a"]


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"X-A: 1", b"Connection: close"),
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HEAD.replace(b"X-A: 1", b"Connection: upgrade\r\nUpgrade: websocket"),
        HEAD.replace(b"GET", b"POST").replace(b"X-A: 1", b"Content-Length: 2")[:-4] + b"\r\n\r\nab",
        HEAD.replace(b"X-A: 1", b"X-A: " + b"a" * LONGEST_HEAD),
        HEAD + HEAD,
    ],
)
async def test_what_is_not_one_plain_head_is_not_kept(head: bytes) -> None:
    async with served(telling) as server:
        for _ in range(3):
            async with server.talk() as talk:
                await asked(talk, head)
        assert (kept(server), blocks(server)) == (0, 0)


async def test_what_was_refused_is_refused_again_and_not_kept() -> None:
    bad = HEAD.replace(b"Host: x", b"Host: x\r\nHost: y")
    async with served(telling) as server:
        for _ in range(3):
            assert b"400" in (await server.say(bad))[:16]
        assert (kept(server), blocks(server)) == (0, 0)
        assert len(server.refused) == 3


async def test_strangers_do_not_decide_how_much_is_kept() -> None:
    async with served(telling, Limits(max_connections=10)) as server, server.talk() as talk:
        for number in range(MOST_HEADS + 20):
            await asked_twice(talk, HEAD.replace(b"X-A: 1", b"X-A: %d" % number))
        assert (kept(server), blocks(server)) == (MOST_HEADS, MOST_BLOCKS)
        assert (await asked(talk, HEAD))["path"] == "/a"


async def test_heads_that_come_once_are_not_kept() -> None:
    async with served(telling) as server, server.talk() as talk:
        for number in range(100):
            await asked(talk, HEAD.replace(b"X-A: 1", b"X-A: %d" % number))
        assert (kept(server), blocks(server)) == (0, 0)


async def session_octets(world: World) -> bytes:
    world.api.pieces = (b"ok",)
    world.api.fields = ((b"content-type", b"text/plain"), (b"content-length", b"2"))
    browser = await world.logged_in()
    cookie = f"Cookie: {SESSION}={browser.cookies[SESSION].value}"
    return f"GET /api/x HTTP/1.1\r\nHost: app.example\r\nX-CSRF: 1\r\n{cookie}\r\n\r\n".encode()


def carried(world: World, name: bytes) -> list[bytes]:
    return [value for one in world.api.received for field, value in one.fields if field == name]


async def test_the_same_octets_are_judged_anew_where_the_world_has_changed_d3_h7() -> None:
    """What is kept follows from the octets alone: never the session, the token or the id."""
    world = World()
    octets = await session_octets(world)
    async with serving(world) as server, server.talk() as talk:
        for _ in range(3):
            talk.send(octets)
            assert (await talk.answer()).status == 200
        world.clock.advance(400)  # the token runs out, and another one goes along
        talk.send(octets)
        assert (await talk.answer()).status == 200
        assert len(set(carried(world, b"authorization"))) == 2
        assert len(set(carried(world, b"x-request-id"))) == 4
        assert kept(server) == 1
        world.store.lose_everything()
        talk.send(octets)
        answer = await talk.answer()
        assert answer.status == 401
        assert len(world.api.received) == 4


async def test_one_octet_of_another_cookie_is_another_request() -> None:
    world = World()
    mine, theirs = await session_octets(world), await session_octets(world)
    async with serving(world) as server, server.talk() as talk:
        for octets in (mine, theirs, mine, theirs):
            talk.send(octets)
            assert (await talk.answer()).status == 200
    tokens = carried(world, b"authorization")
    assert tokens[0] == tokens[2] != tokens[1] == tokens[3]


async def test_a_head_of_many_fields_is_not_worth_its_room_k10() -> None:
    many = b"".join(b"x%d: 1\r\n" % number for number in range(MOST_FIELDS))
    async with served(telling) as server, server.talk() as talk:
        await asked_twice(talk, b"GET / HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")
        assert (kept(server), blocks(server)) == (0, 0)


# -- fields that have come before, behind another request line -----------------------------------

LINES = [
    b"GET /other?q=1 HTTP/1.1",
    b"GET /%2e%2e/a?b HTTP/1.1",
    b"HEAD /a HTTP/1.1",
    b"DELETE /a/7 HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"POST /a HTTP/1.1",
    b"get /a HTTP/1.1",
    b"BREW /a HTTP/1.1",
    b"GET  /a HTTP/1.1",
    b"GET /a  HTTP/1.1",
    b"GET /a HTTP/1.0",
    b"GET /a HTTP/1.1 ",
    b"GET /a HTTP/2.0",
    b"GET /a RTSP/1.0",
    b"GET /a b HTTP/1.1",
    b"GET /a#b HTTP/1.1",
    b"GET /a|b HTTP/1.1",
    b"GET /\xc3\xa4 HTTP/1.1",
    b"GET http://x/a HTTP/1.1",
    b"GET //x/a HTTP/1.1",
    b"GET a HTTP/1.1",
    b"GET",
    b"",
    b"\r\nGET /a HTTP/1.1",
    b"GET /a\rb HTTP/1.1",
    b"CONNECT x:1 HTTP/1.1",
    b"GET /" + b"a" * 3000 + b" HTTP/1.1",
]


LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
DATE = re.compile(rb"\r\ndate: [^\r]*")


async def answered(line: bytes, *, before: tuple[bytes, ...]) -> tuple[bytes, int]:
    """What the server says to this line with `HEAD`'s fields, after others, and to `LAST`."""
    block = HEAD[HEAD.index(b"\r\n") :]
    async with served(telling, Limits(max_target_bytes=2000)) as server:
        async with server.talk() as talk:
            for octets in before:
                await asked(talk, octets)
            await talk.drip(line + block, LAST)
            said = await talk.rest()
        return DATE.sub(b"", said), blocks(server)


@pytest.mark.parametrize("line", LINES)
async def test_fields_that_have_come_before_change_nothing_about_any_request_line_k1_k10(
    line: bytes,
) -> None:
    known, kept_then = await answered(line, before=(HEAD, HEAD.replace(b"/a", b"/b")))
    assert kept_then == 1
    assert known == (await answered(line, before=()))[0]


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n", b"\n"])
async def test_an_empty_line_in_front_does_not_make_a_request_line_a_field_m6(
    before: bytes,
) -> None:
    """The parser skips it; what lies behind the first line end is then a whole request."""
    hidden = before + HEAD
    async with served(telling) as server, server.talk() as talk:
        for _ in range(3):
            await asked(talk, hidden)
        assert blocks(server) == 0
        talk.send(b"DELETE /victim HTTP/1.1" + hidden)
        assert (await talk.answer()).status == 400


async def test_what_is_known_of_the_same_fields_has_a_bound_however_many_routes_there_are() -> None:
    routes = [
        {"path": f"/r{number}/", "upstream": "http://api.internal/", "access": "public"}
        for number in range(20)
    ]
    world = World(settings_of({"routes": routes}))
    world.api.pieces, world.api.fields = (b"ok",), ((b"content-length", b"2"),)
    head = "GET /r{}/x HTTP/1.1\r\nHost: app.example\r\n\r\n"
    async with serving(world) as server, server.talk() as talk:
        for number in range(20):
            talk.send(head.format(number).encode())
            assert (await talk.answer()).status == 200
        (block,) = server.server.clients.heads._blocks.values()
        kept = block.scope["gateway.same_fields"].values()
        assert [len(request.known_of_fields) <= 8 for request in kept] == [True]


async def test_a_head_that_is_too_long_is_not_kept_although_its_fields_are() -> None:
    async with served(telling) as server, server.talk() as talk:
        await asked_twice(talk, HEAD)
        long = HEAD.replace(b"/a", b"/" + b"a" * LONGEST_HEAD)
        await asked_twice(talk, long)
        await asked(talk, long)
        assert kept(server) == 1


async def test_what_lies_behind_known_fields_is_the_next_request_m16() -> None:
    async with served(telling) as server, server.talk() as talk:
        await asked_twice(talk, HEAD)
        talk.send(HEAD.replace(b"/a", b"/c") + HEAD.replace(b"/a", b"/d"))
        told = [json.loads((await talk.answer()).body)["path"] for _ in range(2)]
        assert told == ["/c", "/d"]


async def test_a_request_for_something_else_with_the_same_fields_is_judged_by_its_own_target() -> (
    None
):
    world = World()
    octets = await session_octets(world)
    async with serving(world) as server, server.talk() as talk:
        for target, status in (
            (b"/api/x", 200),
            (b"/api/y", 200),
            (b"/api/z?a=%2F", 200),
            (b"/api/z?access_token=x", 400),  # H14
            (b"/api/../secret", 400),  # A4
            (b"/api/admin/x", 403),  # another route, another scope
            (b"/elsewhere", 404),
            (b"/api/x", 200),
        ):
            talk.send(octets.replace(b"/api/x", target))
            assert (await talk.answer()).status == status, target
        assert blocks(server) == 1
    wanted = [b"/v1/x", b"/v1/y", b"/v1/z?a=%2F", b"/v1/x"]
    assert [one.target for one in world.api.received] == wanted


async def test_the_same_fields_with_another_method_are_another_request_a5_c1() -> None:
    world = World()
    octets = await session_octets(world)
    async with serving(world) as server, server.talk() as talk:
        for _ in range(2):
            talk.send(octets)
            assert (await talk.answer()).status == 200
        # GET may come without Origin; this may not.
        talk.send(octets.replace(b"GET", b"DELETE"))
        assert (await talk.answer()).status == 403
    assert [one.method for one in world.api.received] == ["GET", "GET"]
