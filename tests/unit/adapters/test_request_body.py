"""A body is sent with the length that was announced, or not to its end (M15)."""

from collections.abc import AsyncIterator

import pytest

from gateway.adapters.http1_upstream.request_body import RequestBody
from gateway.errors import Code, Refused
from tests.support.upstream_calls import pieces


async def sent(source: AsyncIterator[bytes], length: int | None) -> list[bytes]:
    body, octets = RequestBody(source, length), []
    for _ in range(20):
        octets.append(await body.next())
        if body.complete:
            return octets
    raise AssertionError("there was no end")


async def test_a_known_length_goes_out_as_it_is() -> None:
    assert await sent(pieces(b"ab", b"", b"cde"), 5) == [b"ab", b"cde"]
    assert await sent(pieces(), 0) == [b""]
    assert await sent(pieces(b""), 0) == [b""]


async def test_an_unknown_length_goes_out_in_chunks() -> None:
    assert await sent(pieces(b"ab", b"", b"cde"), None) == [
        b"2\r\nab\r\n",
        b"3\r\ncde\r\n",
        b"0\r\n\r\n",
    ]
    assert await sent(pieces(), None) == [b"0\r\n\r\n"]


@pytest.mark.parametrize(
    "parts",
    [
        (b"abcd",),
        (b"ab", b"cd"),
        (),
        (b"abcdef",),
        (b"abc", b"def"),
        (b"abcde", b"f"),
        (b"abcde", b"", b"f"),
        (b"abcde", b"f" * 100),
    ],
)
async def test_of_a_wrong_length_the_last_octet_never_goes_out(parts: tuple[bytes, ...]) -> None:
    body, octets = RequestBody(pieces(*parts), 5), b""
    code = None
    while code is None:
        try:
            octets += await body.next()
        except Refused as refusal:
            code = refusal.code
    assert code is Code.BODY_MALFORMED
    assert len(octets) < 5
    assert not body.complete


async def test_what_the_source_raises_is_passed_on() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"a"
        raise LookupError

    body = RequestBody(breaking(), None)
    assert await body.next() == b"1\r\na\r\n"
    with pytest.raises(LookupError):
        await body.next()
    assert not body.complete
