"""Bombs of fields and cookies (F27, K10, B8, B9).

The effect would be an error of ours, memory that grows, or a browser that can never log in again.
Each bomb is sent on a real socket to the whole gateway; afterwards somebody logs in.
"""

import resource
from pathlib import Path

import pytest

from tests.support.serving import serving
from tests.support.strict_http import Answer, read_answers
from tests.support.world import LOGIN, SESSION, World

pytestmark = pytest.mark.e2e

HOST = b"Host: app.example\r\n"
SAME = b"Sec-Fetch-Site: same-origin\r\nX-CSRF: 1\r\n"
NEXT = b"GET /public/next HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n"


def cookies(*values: bytes) -> bytes:
    return b"".join(b"Cookie: " + value + b"\r\n" for value in values)


BOMBS = {
    "a cookie of 100 KiB": (cookies(b"big=" + b"x" * 102_400), 431),
    "our cookie, 100 KiB long": (cookies(SESSION.encode() + b"=" + b"x" * 102_400), 431),
    "2000 fields": (b"".join(b"X-%d: 1\r\n" % n for n in range(2000)), 431),
    "2000 fields of one name": (b"X: 1\r\n" * 2000, 431),
    "20000 fields without a value": (b"X:\r\n" * 20_000, 431),
    "one name of 70000 octets": (b"X" * 70_000 + b": 1\r\n", 431),
    "a name of 60000 octets": (b"X" * 60_000 + b": 1\r\n", 400),
    "250 cookies on 250 lines": (cookies(*(b"c%d=1" % n for n in range(250))), 401),
    "5000 cookies on one line": (cookies(b"; ".join(b"c%d=1" % n for n in range(5000))), 401),
    "nothing but semicolons": (cookies(b";" * 60_000), 401),
    "nothing but equals signs": (cookies(b"=" * 60_000), 401),
    "50 stale login cookies": (
        cookies(b"; ".join(b"%b=stale%d" % (LOGIN.encode(), n) for n in range(50))),
        401,
    ),
    "two session cookies": (cookies(b"%b=a; %b=b" % (SESSION.encode(), SESSION.encode())), 401),
    "two session cookies on two lines": (
        cookies(SESSION.encode() + b"=a", SESSION.encode() + b"=b"),
        401,
    ),
    "$Version": (cookies(b'$Version="1"; ' + SESSION.encode() + b'="a"; $Path="/"'), 401),
    "quotes that do not end": (cookies(b'a="b; ' + SESSION.encode() + b"=a; c=d"), 401),
    "octets above ASCII": (cookies(SESSION.encode() + b"=\xff\xfe\x80"), 401),
    "1000 Sec-Fetch-Site": (b"Sec-Fetch-Site: same-origin\r\n" * 1000, 431),
    "200 X-Forwarded-For": (b"X-Forwarded-For: 1.2.3.4\r\n" * 200, 401),
    "a Forwarded of 60000 octets": (b"Forwarded: " + b"for=1.2.3.4," * 5000 + b"\r\n", 401),
    "200 ranges": (b"Range: bytes=" + b",".join(b"%d-" % n for n in range(200)) + b"\r\n", 401),
    "a Connection that names 1000 fields": (
        b"Connection: " + b",".join(b"x-%d" % n for n in range(1000)) + b"\r\n",
        401,
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_is_refused_and_nobody_else_notices_f27(bomb: str) -> None:
    fields, status = BOMBS[bomb]
    world = World()
    async with serving(world) as server:
        request = b"GET /api/x HTTP/1.1\r\n" + HOST + SAME + fields + b"\r\n"
        first, *rest = read_answers(await server.say(request + NEXT), [])
        assert first.status == status
        assert first.body.startswith(b"{")
        if first.closes:
            assert rest == []
        else:
            assert [answer.status for answer in rest] == [200]
        assert_nothing_of_it_comes_back(first, fields)
    assert not [request for request in world.api.received if request.target == b"/v1/x"]
    assert len(world.audit_text.getvalue()) < 4000  # nor does it fill the log
    browser = await world.logged_in()
    assert (await browser.fetch("/api/orders")).status == 200


def assert_nothing_of_it_comes_back(answer: Answer, fields: bytes) -> None:
    told = answer.body + b"".join(value for _, value in answer.fields)
    assert len(told) < 3000
    assert b"stale" not in told
    assert b"x" * 20 not in told


async def test_a_thousand_bombs_leave_no_memory_behind_f27() -> None:
    world = World()
    bomb = b"GET / HTTP/1.1\r\n" + HOST + cookies(b"big=" + b"x" * 102_400) + b"\r\n"
    async with serving(world) as server:
        for _ in range(50):
            await server.say(bomb)
        before = resident()
        for _ in range(1000):
            await server.say(bomb)
        grown = resident() - before
    assert grown < 20_000_000  # the bombs alone are 100_000_000
    assert world.api.received == []


def resident() -> int:
    """Octets of memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
