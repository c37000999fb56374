"""Where an answer ends, as a table of RFC 9112 section 6.3 (M1–M4, M9)."""

from math import inf

import pytest

from gateway.edge.answer_framing import (
    CHUNKED,
    UNTIL_CLOSE,
    MalformedAnswer,
    announced_rest,
    answer_framing,
    check_reason,
)
from gateway.edge.messages import Fields

LENGTH_5: Fields = ((b"content-length", b"5"),)
CHUNKS: Fields = ((b"transfer-encoding", b"chunked"),)


@pytest.mark.parametrize(
    ("status", "fields", "to_head", "length"),
    [
        (200, LENGTH_5, False, 5),
        (200, ((b"content-length", b"0"),), False, 0),
        (200, ((b"content-length", b"007"),), False, 7),
        (200, ((b"content-length", b"9" * 18),), False, 10**18 - 1),
        (200, (*LENGTH_5, *LENGTH_5), False, 5),
        (200, CHUNKS, False, CHUNKED),
        (200, ((b"transfer-encoding", b"Chunked"),), False, CHUNKED),
        (200, (), False, UNTIL_CLOSE),
        (404, (), False, UNTIL_CLOSE),
        (200, LENGTH_5, True, 0),
        (200, CHUNKS, True, 0),
        (200, (), True, 0),
        (204, (), False, 0),
        (204, LENGTH_5, False, 0),
        (204, CHUNKS, False, 0),
        (304, LENGTH_5, False, 0),
        (304, (), False, 0),
        (100, (), False, 0),
        (103, ((b"content-length", b"0"),), False, 0),
        (101, (), False, 0),
    ],
)
def test_the_length_of_a_body_m9(status: int, fields: Fields, to_head: bool, length: int) -> None:
    assert answer_framing(status, fields, to_head=to_head, is_http_1_0=False)[0] == length


@pytest.mark.parametrize("to_head", [False, True])
@pytest.mark.parametrize("status", [200, 204, 304])
@pytest.mark.parametrize(
    "fields",
    [
        (*LENGTH_5, (b"content-length", b"6")),
        (*LENGTH_5, (b"content-length", b"05")),
        *[
            ((b"content-length", value),)
            for value in (b"", b"+5", b"-5", b"5 ", b"0x5", b"5, 5", b"5.0", b"1e3", b"9" * 19)
        ],
        ((b"content-length", "\u0665".encode()),),
        (*LENGTH_5, *CHUNKS),
        (*CHUNKS, *LENGTH_5),
        (*CHUNKS, *CHUNKS),
        *[
            ((b"transfer-encoding", value),)
            for value in (
                b"",
                b"identity",
                b"gzip",
                b"xchunked",
                b"chunked;q=1",
                b"identity, chunked",
                b"gzip, chunked",
                b"chunked, gzip",
                b"chunked, chunked",
                b"chunked,",
                b"\x0bchunked",
            )
        ],
    ],
)
def test_an_end_that_can_be_seen_in_two_places_is_refused_m1_m2_m3(
    status: int, fields: Fields, to_head: bool
) -> None:
    with pytest.raises(MalformedAnswer):
        answer_framing(status, fields, to_head=to_head, is_http_1_0=False)


def test_chunks_in_http_1_0_are_refused_m4() -> None:
    with pytest.raises(MalformedAnswer):
        answer_framing(200, CHUNKS, to_head=False, is_http_1_0=True)


@pytest.mark.parametrize("fields", [LENGTH_5, CHUNKS])
@pytest.mark.parametrize("status", [100, 101, 103])
def test_an_interim_answer_with_a_body_is_refused_m9(status: int, fields: Fields) -> None:
    with pytest.raises(MalformedAnswer):
        answer_framing(status, fields, to_head=False, is_http_1_0=False)


@pytest.mark.parametrize("status", [0, 99, 600, 999])
def test_a_status_out_of_range_is_refused(status: int) -> None:
    with pytest.raises(MalformedAnswer):
        answer_framing(status, LENGTH_5, to_head=False, is_http_1_0=False)


@pytest.mark.parametrize(
    ("fields", "is_http_1_0", "persistent"),
    [
        (LENGTH_5, False, True),
        (CHUNKS, False, True),
        ((*LENGTH_5, (b"connection", b"close")), False, False),
        ((*LENGTH_5, (b"connection", b"Keep-Alive")), False, True),
        ((*LENGTH_5, (b"connection", b"x, CLOSE ,y")), False, False),
        ((*LENGTH_5, (b"connection", b"x"), (b"connection", b"close")), False, False),
        ((*LENGTH_5, (b"connection", b"closed")), False, True),
        (LENGTH_5, True, False),
        ((*LENGTH_5, (b"connection", b"keep-alive")), True, False),
        ((), False, False),
    ],
)
def test_whether_a_connection_may_be_used_again(
    fields: Fields, is_http_1_0: bool, persistent: bool
) -> None:
    found = answer_framing(200, fields, to_head=False, is_http_1_0=is_http_1_0)
    assert found[1] is persistent


@pytest.mark.parametrize("reason", [b"a\x00b", b"\x01", b"\x7f", b"a\x0bb", b"a\rb", b"a\nb"])
def test_a_reason_phrase_holds_no_control_characters_l7(reason: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        check_reason(reason)


@pytest.mark.parametrize("reason", [b"", b"OK", b"Not Found", b"\tx", "très bien".encode()])
def test_every_other_reason_phrase_will_do(reason: bytes) -> None:
    check_reason(reason)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 4),
        (b"timeout=5, max=1000", 4),
        (b"max=1000, timeout=72", 71),
        (b"Timeout=5", 4),
        (b'timeout="5"', 4),
        (b"timeout=1", 0),
        (b"timeout=0", 0),
        (b"timeout=999999999", 999998),
        (b"timeout=x", inf),
        (b"max=5", inf),
        (b"xtimeout=5", inf),
        (b"", inf),
    ],
)
def test_a_server_says_how_long_it_keeps_a_connection(value: bytes, seconds: float) -> None:
    assert announced_rest(((b"x", b"y"), (b"keep-alive", value))) == seconds
    assert announced_rest(()) == inf
