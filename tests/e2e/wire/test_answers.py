"""How answers are framed, whatever an application says about it (M9, M10, M12, L7)."""

import asyncio
from typing import Any

import pytest

from tests.support.serving import PATIENCE, served
from tests.support.strict_http import read_answers

pytestmark = pytest.mark.e2e

NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

Fields = list[tuple[bytes, bytes]]


class Saying:
    """An application that answers `/next` plainly, and everything else as it was told."""

    def __init__(self, status: int, fields: Fields, *pieces: bytes, ends: bool = True) -> None:
        self.status = status
        self.fields = fields
        self.pieces = pieces
        self.ends = ends
        self.failures: list[type[BaseException]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/next":
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"x-next", b"1")]}
            )
            await send({"type": "http.response.body", "body": b"next"})
            return
        start = {"type": "http.response.start", "status": self.status, "headers": self.fields}
        try:
            await send(start)
            for piece in self.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if self.ends:
                await send({"type": "http.response.body", "body": b""})
        except (RuntimeError, ValueError) as failure:
            self.failures.append(type(failure))
            raise


async def answered(app: Any, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    async with served(app) as server:
        head = method + b" / HTTP/" + version + b"\r\nHost: h\r\n\r\n"
        return await server.say(head + (NEXT if version == b"1.1" else b""))


@pytest.mark.parametrize(
    ("method", "status", "fields", "pieces", "body", "kept"),
    [
        (b"GET", 200, [(b"content-length", b"2")], [b"ok"], b"ok", [b"content-length"]),
        (b"GET", 200, [], [b"o", b"k"], b"ok", [b"transfer-encoding"]),
        (b"GET", 200, [], [], b"", [b"transfer-encoding"]),
        (b"HEAD", 200, [(b"content-length", b"2")], [b"ok"], b"", [b"content-length"]),
        (b"HEAD", 200, [(b"transfer-encoding", b"chunked")], [b"ok"], b"", []),
        (b"GET", 204, [], [b"no"], b"", []),
        (b"GET", 204, [(b"content-length", b"2")], [b"no"], b"", []),
        (b"GET", 204, [(b"transfer-encoding", b"chunked")], [b"no"], b"", []),
        (b"GET", 304, [(b"transfer-encoding", b"chunked")], [], b"", []),
        (b"GET", 304, [(b"content-length", b"5")], [], b"", [b"content-length"]),
        (b"GET", 304, [], [b"no"], b"", []),
        (
            b"GET", 200, [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")],
            [b"ok"], b"ok", [b"content-length"],
        ),
        (
            b"GET", 200, [(b"content-length", b"2"), (b"content-length", b"2")],
            [b"ok"], b"ok", [b"content-length"],
        ),
        (b"GET", 200, [(b"Transfer-Encoding", b"gzip")], [b"ok"], b"ok", [b"transfer-encoding"]),
        (b"GET", 200, [(b"connection", b"keep-alive")], [b"ok"], b"ok", [b"transfer-encoding"]),
        (b"GET", 299, [], [b"ok"], b"ok", [b"transfer-encoding"]),
    ],
)  # fmt: skip
async def test_the_framing_of_an_answer_is_ours_m9(
    method: bytes,
    status: int,
    fields: Fields,
    pieces: list[bytes],
    body: bytes,
    kept: list[bytes],
) -> None:
    octets = await answered(Saying(status, fields, *pieces), method)
    first, following = read_answers(octets, [method])
    assert (first.status, first.body) == (status, body)
    framing = (b"content-length", b"transfer-encoding", b"connection")
    assert [name for name, _ in first.fields if name in framing] == kept
    assert following.body == b"next"


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (101, []),
        (103, [(b"link", b"</a>")]),
        (99, []),
        (600, []),
        (200, [(b"content-length", b"1"), (b"content-length", b"2")]),
        (200, [(b"content-length", b"+1")]),
        (200, [(b"x y", b"1")]),
        (200, [(b"", b"1")]),
        (200, [(b"x" * 300, b"1")]),
        (200, [(b"x", b"a\r\nset-cookie: planted")]),
        (200, [(b"x", b"a\nset-cookie: planted")]),
        (200, [(b"x", b"a\rb")]),
        (200, [(b"x", b"a\x00b")]),
        (200, [(b"x\r\nset-cookie", b"planted")]),
        (200, [(b"x", b"\r\n\r\nplanted")]),
    ],
)
async def test_an_answer_that_http_cannot_carry_becomes_a_500_l7(
    status: int, fields: Fields
) -> None:
    app = Saying(status, fields, b"!")
    first, following = read_answers(await answered(app), [])
    assert first.status == 500
    assert b'"code":"internal"' in first.body
    assert b"planted" not in first.body + b"".join(value for _, value in first.fields)
    assert following.body == b"next"
    assert app.failures == [ValueError]


@pytest.mark.parametrize(
    ("fields", "pieces", "ends"),
    [
        ([(b"content-length", b"10")], [b"short"], True),
        ([(b"content-length", b"10")], [b"short"], False),
        ([(b"content-length", b"2")], [b"lo", b"nger"], True),
        ([], [b"unfinished"], False),
    ],
)
async def test_a_body_that_is_not_what_was_announced_never_looks_whole_m12(
    fields: Fields, pieces: list[bytes], ends: bool
) -> None:
    octets = await answered(Saying(200, fields, *pieces, ends=ends))
    assert b"next" not in octets
    assert not octets.endswith(b"0\r\n\r\n")
    assert b"nger" not in octets
    assert len(octets.partition(b"\r\n\r\n")[2]) < 18


async def test_an_unfinished_answer_in_http_1_0_is_a_reset_not_an_end_m12() -> None:
    app = Saying(200, [], b"unfinished", ends=False)
    async with served(app) as server, server.talk() as talk:
        talk.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(talk.reader.read(), PATIENCE)


async def test_http_1_0_gets_a_body_that_ends_with_the_connection() -> None:
    octets = await answered(Saying(200, [], b"one ", b"two"), version=b"1.0")
    (answer,) = read_answers(octets, [])
    assert answer.body == b"one two"
    assert answer.closes
    assert not answer.values(b"transfer-encoding")


async def test_an_upstreams_date_is_kept_and_there_is_one_date() -> None:
    octets = await answered(Saying(200, [(b"date", b"Mon, 01 Jan 2024 00:00:00 GMT")], b"x"))
    first, following = read_answers(octets, [])
    assert first.values(b"date") == [b"Mon, 01 Jan 2024 00:00:00 GMT"]
    assert len(following.values(b"date")) == 1


@pytest.mark.parametrize(
    "broken", ["raises", "returns", "starts twice", "body first", "goes on after the end"]
)
async def test_an_application_that_breaks_the_rules_gets_a_500_or_is_cut_off(broken: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": []}
        body = {"type": "http.response.body", "body": b"x"}
        if broken == "raises":
            raise KeyError(broken)
        if broken == "starts twice":
            await send(start)
            await send(start)
        if broken == "body first":
            await send(body)
        if broken == "goes on after the end":
            await send(start)
            await send(body)
            await send(body)

    octets = await answered(app)
    if broken == "starts twice":
        assert b"0\r\n\r\n" not in octets  # the head was out: cut off
        return
    first, _ = read_answers(octets, [])
    assert first.status == (200 if broken == "goes on after the end" else 500)
    assert b"KeyError" not in octets
