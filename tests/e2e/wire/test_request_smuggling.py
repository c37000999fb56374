"""Request smuggling (F26, sections L and M): one party's body is the other party's next request.

The effect would be that an upstream gets a request nobody sent, or that a client gets the answer
to somebody else's. Each row tries to hide a request in the body of another; it must never be
seen upstream, and what is seen there must be what a strict reader reads.
"""

import asyncio

import pytest

from tests.support.serving import serving
from tests.support.strict_http import read_answers, read_requests
from tests.support.world import World

pytestmark = pytest.mark.e2e

HOST = b"Host: app.example\r\n"
HIDDEN = b"GET /public/SMUGGLED HTTP/1.1\r\nHost: app.example\r\nX-Hidden: 1\r\n\r\n"
NEXT = b"GET /public/next HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def post(fields: bytes, body: bytes, method: bytes = b"POST") -> bytes:
    return method + b" /public/front HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


def length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


CODED = b"Transfer-Encoding: chunked\r\n"
AS_CHUNK = b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n" + LAST_CHUNK
BOTH = LAST_CHUNK + HIDDEN

ATTACKS = {
    # Two lengths, or a length and a coding.
    "CL.TE": post(length(BOTH) + CODED, BOTH),
    "TE.CL": post(CODED + b"Content-Length: 4\r\n", AS_CHUNK),
    "CL.CL": post(b"Content-Length: 0\r\n" + length(HIDDEN), HIDDEN),
    "CL, CL": post(b"Content-Length: 0, %d\r\n" % len(HIDDEN), HIDDEN),
    "CL.0 in a GET": post(length(HIDDEN), HIDDEN, b"GET"),
    "CL.0 in a HEAD": post(length(HIDDEN), HIDDEN, b"HEAD"),
    "CL.0 in a DELETE": post(length(HIDDEN), HIDDEN, b"DELETE"),
    "CL.0 in an OPTIONS": post(length(HIDDEN), HIDDEN, b"OPTIONS"),
    # A coding that one of two readers does not recognise.
    **{
        f"TE as {field!r}": post(field + length(BOTH), BOTH)
        for field in (
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Transfer-Encoding:\tchunked\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n",
            b"Transfer-Encoding:\x0cchunked\r\n",
            b"Transfer-Encoding: chunked\x00\r\n",
            b"Transfer-Encoding: \xa0chunked\r\n",
            b'Transfer-Encoding: "chunked"\r\n',
            b"Transfer-Encoding:\r\n chunked\r\n",
            b" Transfer-Encoding: chunked\r\n",
            b"X: x\nTransfer-Encoding: chunked\r\n",
            b"X: x\rTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding: identity, chunked\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Transfer-Encoding: chunked;x=y\r\n",
            b"transfer-ENCODING: ChUnKeD\r\n",
        )
    },
    "TE under another spelling": post(b"Transfer_Encoding: chunked\r\n" + length(BOTH), BOTH),
    "CL under another spelling": post(CODED + b"Content_Length: 4\r\n", AS_CHUNK),
    "only another spelling": post(b"Content_Length: 5\r\n" + length(HIDDEN), HIDDEN),
    # Connection cannot name the framing away (L1, L3).
    "Connection: Content-Length": post(b"Connection: Content-Length\r\n" + length(HIDDEN), HIDDEN),
    "Connection: Transfer-Encoding": post(b"Connection: Transfer-Encoding\r\n" + CODED, AS_CHUNK),
    # Lengths that are no numbers.
    **{
        f"CL as {value!r}": post(b"Content-Length: " + value + b"\r\n", HIDDEN)
        for value in (b"+%d" % len(HIDDEN), b"-1", b"0x10", b"1e1", b"0 ", b"\xd9\xa1", b"")
    },
    # Chunks that end in two places.
    "a chunk size with a sign": post(CODED, b"+" + AS_CHUNK),
    "a chunk size that overflows": post(CODED, b"10000000000000000\r\n" + LAST_CHUNK + HIDDEN),
    "a line feed in an extension": post(CODED, b"0;\n" + b"\r\n" + HIDDEN),
    "an extension that hides a chunk": post(CODED, b"2;\nxx\r\n4c\r\n" + LAST_CHUNK + HIDDEN),
    "a lone line feed as terminator": post(CODED, b"0\n\n" + HIDDEN),
    "a chunk longer than it says": post(CODED, b"1\r\nx" + LAST_CHUNK + HIDDEN),
    "a chunk without its line end": post(CODED, b"1\r\nx0\r\n\r\n" + HIDDEN),
    "white space behind the size": post(CODED, b"0 \r\n\r\n" + HIDDEN),
    # Trailers (L9).
    "trailers that frame": post(CODED, b"0\r\n" + length(HIDDEN) + b"\r\n" + NEXT + HIDDEN),
    "a trailer that is a request": post(CODED, b"0\r\nGET /public/SMUGGLED HTTP/1.1\r\n\r\n"),
    # HTTP/1.0, Expect, upgrades.
    "a coding in HTTP/1.0": post(CODED, AS_CHUNK).replace(b"1.1", b"1.0", 1),
    "an expectation, and the body at once": post(
        b"Expect: 100-continue\r\n" + length(HIDDEN), HIDDEN
    ),
    "a malformed expectation": post(b"Expect: y 100-continue\r\n" + length(HIDDEN), HIDDEN),
    "h2c with a body": post(b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + length(HIDDEN), HIDDEN),
    "h2c, then another protocol": post(b"Connection: Upgrade\r\nUpgrade: h2c\r\n", HIDDEN, b"GET"),
    "a WebSocket that is none": post(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n",
        HIDDEN,
        b"GET",
    ),
    "CONNECT": b"CONNECT app.example:443 HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
    # The request line and the fields.
    "a bare CR before a request": post(b"X: x\r", b"") + HIDDEN,
    "an encoded line end in the target": b"GET /public/%0d%0aGET%20/public/SMUGGLED HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "two hosts": b"GET /public/front HTTP/1.1\r\n" + HOST + b"Host: evil\r\n\r\n" + HIDDEN,
    "HTTP/0.9": b"GET /public/front\r\n" + HOST + b"\r\n" + HIDDEN,
    "a body behind Connection: close": post(b"Connection: close\r\n", HIDDEN, b"GET"),
}  # fmt: skip


@pytest.mark.parametrize("split", [None, 7, 1], ids=["at once", "by sevens", "by ones"])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_hidden_request_is_seen_by_nobody_f26(attack: str, split: int | None) -> None:
    octets = ATTACKS[attack]
    world = World()
    async with serving(world) as server, server.talk() as talk:
        if split is None:
            talk.send(octets + NEXT)
        else:
            pieces = [octets[at : at + split] for at in range(0, len(octets), split)]
            await talk.drip(*pieces, NEXT, pause=0)
        method = octets.partition(b" ")[0]
        answers = read_answers(await talk.rest(), [method])
        # Somebody else, on another connection, gets the answer to what they asked.
        other = read_answers(await server.say(NEXT), [])
    assert [answer.status for answer in other] == [200]
    targets = [request.target for request in world.api.received]
    assert not any(b"SMUGGLED" in target for target in targets)
    assert not any(
        name == b"x-hidden" for request in world.api.received for name, _ in request.fields
    )
    strict = [
        (request.method.decode(), request.target, request.body)
        for request in read_requests(octets + NEXT)
        if request.whole
    ]
    passed = [
        (request.method, request.target, body)
        for request, body in zip(world.api.received, world.api.bodies, strict=True)
    ]
    assert passed.pop() == ("GET", b"/public/next", b"")  # the other one's
    assert [request for request in strict if request in passed] == passed
    assert len(answers) <= len(strict) + 1  # at most the refusal of what nobody can read
    assert answers[-1].closes  # and closed it is: `rest` has read to the end


async def test_two_clients_who_attack_at_the_same_time_get_their_own_answers_f26() -> None:
    world = World()
    async with serving(world) as server:
        said = await asyncio.gather(*(server.say(octets + NEXT) for octets in ATTACKS.values()))
    assert len(said) == len(ATTACKS)
    assert not any(b"SMUGGLED" in request.target for request in world.api.received)
