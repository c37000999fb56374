"""How requests are framed, by the table of section M: each input on a real socket, to the answer.

The whole gateway stands behind it. Each row ends the same way: what the upstream saw is what a
strict reader reads, and the next request on the connection is read right, or the connection is
closed.
"""

import pytest

from tests.support.serving import Served, serving
from tests.support.strict_http import Answer, read_answers
from tests.support.world import World

pytestmark = pytest.mark.e2e

HOST = b"Host: app.example\r\n"
NEXT = b"GET /public/next HTTP/1.1\r\nHost: app.example\r\nX-Next: 1\r\nConnection: close\r\n\r\n"
CHUNKED = b"POST /public/x HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n"

KEPT = [
    # Read, answered, and the next request on the connection is read right.
    pytest.param(b"GET /public/x HTTP/1.1\r\nHost: app.example\r\n\r\n", 200, id="plain"),
    pytest.param(
        b"\r\n\r\nGET /public/x HTTP/1.1\r\nHost: app.example\r\n\r\n", 200, id="crlf first"
    ),
    pytest.param(
        b"GET https://app.example/public/x HTTP/1.1\r\nHost: app.example\r\n\r\n",
        200,
        id="absolute-form k1",
    ),
    pytest.param(
        b"GET https://evil.example/public/x HTTP/1.1\r\nHost: app.example\r\n\r\n",
        421,
        id="absolute-form of a stranger k1",
    ),
    pytest.param(
        b"GET https://app.example/public/x HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        421,
        id="absolute-form, strange host k3",
    ),
    pytest.param(
        b"GET /public/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, id="strange host k3"
    ),
    pytest.param(b"GET /public/x HTTP/1.1\r\nHost: app.example:0x1\r\n\r\n", 400, id="bad host k2"),
    pytest.param(b"GET /public/x HTTP/1.1\r\nHost: a/b?c#d\r\n\r\n", 400, id="no host at all k2"),
    pytest.param(b"GET /public/x HTTP/1.1\r\nHost:\r\n\r\n", 400, id="empty host k2"),
    pytest.param(
        b"GET /public/x HTTP/1.1\r\nHost: app.example \t\r\n\r\n", 200, id="space at the end"
    ),
    pytest.param(b"GET /public/x#f HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="fragment"),
    pytest.param(b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="asterisk k1"),
    pytest.param(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 204, id="options asterisk"),
    pytest.param(b"TRACE /public/x HTTP/1.1\r\n" + HOST + b"\r\n", 501, id="trace a5"),
    pytest.param(
        b"POST /public/x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", 200, id="length"
    ),
    pytest.param(
        b"POST /public/x HTTP/1.1\r\n" + HOST + b"Content-Length: 005\r\n\r\nhello", 200, id="zeros"
    ),
    pytest.param(
        b"GET /public/x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
        200,
        id="a body on GET m15",
    ),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", 200, id="chunked"),
    pytest.param(CHUNKED + b"5;a=b;c\r\nhello\r\n000\r\n\r\n", 200, id="extensions m8"),
    pytest.param(
        CHUNKED.replace(b"chunked", b"ChUnKeD") + b"5\r\nhello\r\n0\r\n\r\n", 200, id="case m3"
    ),
    pytest.param(
        CHUNKED + b"5\r\nhello\r\n0\r\nX-Planted: 1\r\nHost: evil.example\r\n\r\n",
        200,
        id="trailers l9",
    ),
    pytest.param(
        b"GET /public/x HTTP/1.1\r\n" + HOST + b"X-Raw: \x80\xff\r\n\r\n", 200, id="obs-text"
    ),
]

CLOSED = [
    # Refused, and the connection closed: nobody knows where the next request would begin.
    pytest.param(b"GET /public/x HTTP/1.1\r\n\r\n", 400, id="no host k2"),
    pytest.param(b"GET /public/x HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, id="two hosts k2"),
    pytest.param(
        b"GET /public/x HTTP/1.1\r\nhost: app.example\r\nHOST: evil.example\r\n\r\n",
        400,
        id="two hosts, spelled apart k2",
    ),
    pytest.param(b"GET @evil HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="userinfo k1"),
    pytest.param(b"GET public HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="no slash k1"),
    pytest.param(b"GET ?x HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="only a query k1"),
    pytest.param(b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="utf-8 in the target"),
    pytest.param(b"GET /a\x00b HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="nul in the target"),
    pytest.param(b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="space in the target"),
    pytest.param(
        b"POST /public/x HTTP/1.1\r\n" + HOST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        id="length, then coding m1",
    ),
    pytest.param(
        b"POST /public/x HTTP/1.1\r\n" + HOST
        + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
        id="coding, then length m1",
    ),
    *(
        pytest.param(
            b"POST /public/x HTTP/1.1\r\n" + HOST + b"Content-Length: " + value + b"\r\n\r\nhello",
            400,
            id=f"length {value!r} m2",
        )
        for value in (
            b"+5", b"-5", b"5 ", b"5\t", b"0x5", b"5,5", b"5, 6", b"5 5", b"5.0", b"", b"five",
            b"9" * 30, b"\xb2",
        )
    ),
    *(
        pytest.param(
            b"POST /public/x HTTP/1.1\r\n" + HOST
            + b"Content-Length: 5\r\nContent-Length: " + value + b"\r\n\r\nhello",
            400,
            id=f"two lengths, {value!r} m2",
        )
        for value in (b"5", b"6", b"05")
    ),
    *(
        pytest.param(
            b"POST /public/x HTTP/1.1\r\n" + HOST
            + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n",
            status,
            id=f"coding {value!r} m3",
        )
        for value, status in (
            (b"identity, chunked", 501), (b"gzip, chunked", 501), (b"gzip,chunked", 501),
            (b"xchunked", 400), (b"chunked, gzip", 400), (b"identity", 400), (b"gzip", 400),
            (b"chunked, chunked", 400), (b"chunked,", 400), (b",chunked", 400), (b"", 400),
            (b"chunked;q=1", 400), (b"\x0bchunked", 400), (b"chunked\x00", 400),
            (b'"chunked"', 400), (b"gzip\r\nTransfer-Encoding: chunked", 501),
            (b"chunked\r\nTransfer-Encoding: chunked", 400),
            (b"chunked\r\nTransfer-Encoding: identity", 400),
        )
    ),
    pytest.param(
        b"POST /public/x HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        id="coding in HTTP/1.0 m4",
    ),
    pytest.param(b"GET /public/x HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400, id="fold m5"),
    pytest.param(b"GET /public/x HTTP/1.1\r\n" + HOST + b"X: a\r\n\tb\r\n\r\n", 400, id="tab m5"),
    pytest.param(
        b"POST /public/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        400,
        id="folded coding m5",
    ),
    pytest.param(b"GET /public/x HTTP/1.1\r\nHost : app.example\r\n\r\n", 400, id="colon m6"),
    pytest.param(b"GET /public/x HTTP/1.1\r\n Host: app.example\r\n\r\n", 400, id="first m6"),
    pytest.param(b"GET /public/x HTTP/1.1\r\n" + HOST + b"X Y: 1\r\n\r\n", 400, id="in a name"),
    pytest.param(b"GET /public/x HTTP/1.1\r\n" + HOST + b": 1\r\n\r\n", 400, id="no name"),
    pytest.param(b"GET /public/x HTTP/1.1\r\n" + HOST + b"X\r\n\r\n", 400, id="no colon"),
    pytest.param(b"GET /public/x HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", 400, id="bare CR m7"),
    pytest.param(b"GET /public/x HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", 400, id="nul l7"),
    pytest.param(b"GET /public/x HTTP/1.1\n" + HOST + b"\n", 400, id="lone LF m7"),
    pytest.param(b"GET /public/x HTTP/1.1\r\nHost: app.example\nX: 1\r\n\r\n", 400, id="one LF m7"),
    pytest.param(b"GET /public/x\r\n" + HOST + b"\r\n", 505, id="HTTP/0.9"),
    pytest.param(b"GET /public/x\r\n\r\n", 505, id="HTTP/0.9, bare"),
    pytest.param(b"GET /public/x HTTP/2.0\r\n" + HOST + b"\r\n", 505, id="HTTP/2.0"),
    pytest.param(b"GET /public/x HTTP/1.2\r\n" + HOST + b"\r\n", 400, id="HTTP/1.2"),
    pytest.param(b"GET /public/x http/1.1\r\n" + HOST + b"\r\n", 400, id="http in small letters"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2 preface"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS hello"),
    pytest.param(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 400, id="PROXY protocol"),
    pytest.param(b"garbage\r\n\r\n", 400, id="garbage"),
    pytest.param(b"FOO /public/x HTTP/1.1\r\n" + HOST + b"\r\n", 501, id="unknown method a5"),
    pytest.param(b"get /public/x HTTP/1.1\r\n" + HOST + b"\r\n", 501, id="small letters"),
    pytest.param(b"A" * 9000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="huge method"),
    pytest.param(b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", 501, id="connect a5"),
    pytest.param(b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, id="414"),
    pytest.param(
        b"GET /public/x HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 65536 + b"\r\n\r\n", 431, id="431"
    ),
    pytest.param(
        b"GET /public/x HTTP/1.1\r\n" + HOST + b"X: 1\r\n" * 256 + b"\r\n", 431, id="257 fields k10"
    ),
    pytest.param(
        b"POST /public/x HTTP/1.1\r\n" + HOST + b"Expect: a-miracle\r\nContent-Length: 5\r\n\r\n",
        417,
        id="expectation m11",
    ),
    pytest.param(
        b"POST /public/x HTTP/1.1\r\n" + HOST
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
        501,
        id="a body behind an upgrade p2",
    ),
]  # fmt: skip

BAD_CHUNKS = [
    # The head is good, so the request begins; its body is not, so it never ends upstream (M8).
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloo\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    b"5;\x00\r\nhello\r\n0\r\n\r\n",
    b"g\r\n\r\n",
    b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
]


def asked_for(world: World) -> list[bytes]:
    return [request.target for request in world.api.received]


async def both(server: Served, octets: bytes) -> list[Answer]:
    return read_answers(await server.say(octets + NEXT), [octets.split(b" ")[0].lstrip()])


@pytest.mark.parametrize(("octets", "status"), KEPT)
async def test_what_is_well_framed_is_answered_and_so_is_the_next(
    octets: bytes, status: int
) -> None:
    world = World()
    async with serving(world) as server:
        first, following = await both(server, octets)
    assert first.status == status
    assert following.status == 200
    passed = [b"/public/x"] if status == 200 else []
    assert asked_for(world) == [*passed, b"/public/next"]
    if status == 200 and octets.startswith(b"POST"):
        assert world.api.bodies[0] == b"hello"
    names = {name for request in world.api.received for name, _ in request.fields}
    assert b"x-planted" not in names


@pytest.mark.parametrize("split", [False, True], ids=["whole", "octet by octet"])
@pytest.mark.parametrize(("octets", "status"), CLOSED)
async def test_what_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(
    octets: bytes,
    status: int,
    split: bool,
) -> None:
    world = World()
    async with serving(world) as server, server.talk() as talk:
        if split and len(octets) < 300:
            await talk.drip(*(bytes([octet]) for octet in octets), NEXT, pause=0)
        else:
            talk.send(octets + NEXT)
        (answer,) = read_answers(await talk.rest(), [b"GET"])
    # In pieces, the first letters of an unknown method cannot be told from garbage.
    assert answer.status in ({status, 400} if split and status == 501 else {status})
    assert answer.closes
    assert asked_for(world) == []
    assert len(world.audit("request.refused")) == 1
    assert "app.example" not in world.audit_text.getvalue()


@pytest.mark.parametrize("chunks", BAD_CHUNKS)
async def test_a_body_that_breaks_off_is_never_whole_upstream_m8(chunks: bytes) -> None:
    world = World()
    async with serving(world) as server:
        (answer,) = await both(server, CHUNKED + chunks)
    assert answer.status == 400
    assert answer.closes
    assert asked_for(world) == []  # the fake remembers what has ended
    assert [line["code"] for line in world.audit("request.refused")] == ["request.malformed"]


@pytest.mark.parametrize("size", [10, 5000])
async def test_chunk_extensions_have_a_bound_m8(size: int) -> None:
    world = World()
    async with serving(world) as server, server.talk() as talk:
        await talk.drip(CHUNKED, *(b"1;" + b"e" * size + b"\r\nx\r\n" for _ in range(40)))
        talk.send(b"0\r\n\r\n" + NEXT)
        answers = read_answers(await talk.rest(), [])
    if size == 10:
        assert [answer.status for answer in answers] == [200, 200]
    else:
        assert [answer.status for answer in answers] == [400]
        assert asked_for(world) == []


async def test_endless_trailers_have_a_bound_l9() -> None:
    world = World()
    async with serving(world) as server, server.talk() as talk:
        await talk.drip(CHUNKED + b"0\r\n", *(b"X: " + b"t" * 1000 + b"\r\n" for _ in range(80)))
        (answer,) = read_answers(await talk.rest(), [])
    assert answer.status == 400
    assert asked_for(world) == []


async def test_a_request_in_http_1_0_is_answered_without_chunks_and_is_the_last() -> None:
    world = World()
    async with serving(world) as server:
        octets = await server.say(b"GET /public/x HTTP/1.0\r\n" + HOST + b"\r\n" + NEXT)
    assert octets.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"chunked" not in octets
    assert octets.endswith(b'\r\n\r\n{"hello":"world"}')
    assert asked_for(world) == [b"/public/x"]


@pytest.mark.parametrize("token", [b"h2c", b"websocket", b"HTTP/2.0"])
async def test_an_upgrade_nobody_offers_gets_a_plain_answer_and_the_upstream_sees_nothing_of_it_p2(
    token: bytes,
) -> None:
    world = World()
    octets = (
        b"GET /public/x HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: " + token + b"\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    )
    async with serving(world) as server:
        (answer,) = await both(server, octets)
    assert answer.status == 200
    assert answer.closes  # nothing after it is HTTP for sure
    assert asked_for(world) == [b"/public/x"]
    names = {name for name, _ in world.api.received[0].fields}
    assert not names & {b"upgrade", b"connection", b"http2-settings"}


async def test_a_refusal_to_head_has_no_body_m9() -> None:
    world = World()
    async with serving(world) as server:
        octets = await server.say(b"HEAD /public/x HTTP/1.1\r\n" + HOST + HOST + b"\r\n")
    (answer,) = read_answers(octets, [b"HEAD"])
    assert (answer.status, answer.body) == (400, b"")
