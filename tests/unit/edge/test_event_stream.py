"""Event streams: where an event ends, and what may be added behind it (P8, P9; WHATWG HTML 9.2)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.event_stream import EventBorders, is_event_stream, last_event
from gateway.errors import Code

BLANK_LINES = [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n", b"\n\r", b"\r\r\n"]


@pytest.mark.parametrize(
    ("fields", "streams"),
    [
        (((b"content-type", b"text/event-stream"),), True),
        (((b"content-type", b"Text/Event-Stream; charset=utf-8"),), True),
        (((b"content-type", b"text/event-streams"),), False),
        (((b"content-type", b"text/plain"),), False),
        (((b"content-type", b"text/event-stream"), (b"content-type", b"text/html")), True),
        (((b"content-type", b"text/html"), (b"content-type", b"text/event-stream")), True),
        (((b"content-type", b"text/event-stream, text/event-stream"),), True),
        ((), False),
    ],
)
def test_an_event_stream_is_known_by_its_type(
    fields: tuple[tuple[bytes, bytes], ...], streams: bool
) -> None:
    assert is_event_stream(fields) is streams


@pytest.mark.parametrize("blank", BLANK_LINES)
def test_a_blank_line_ends_an_event(blank: bytes) -> None:
    borders = EventBorders()
    borders.passed(b"data: x")
    assert not borders.at_border
    borders.passed(blank)
    assert borders.at_border


@pytest.mark.parametrize("part", [b"data: x", b"data: x\n", b"data: x\r\n", b"d\r", b"\n\ndata"])
def test_half_an_event_is_one(part: bytes) -> None:
    borders = EventBorders()
    borders.passed(part)
    assert not borders.at_border


def test_a_stream_in_which_nothing_was_said_is_at_a_border() -> None:
    assert EventBorders().at_border


@pytest.mark.parametrize("blank", BLANK_LINES)
@pytest.mark.parametrize("cut", range(1, 5))
def test_the_rest_of_an_event_is_found_across_pieces(blank: bytes, cut: int) -> None:
    whole = b"data: one" + blank + b"data: two" + blank
    borders = EventBorders()
    borders.passed(whole[:cut])
    rest = borders.rest(whole[cut:])
    assert rest is not None
    assert (whole[:cut] + rest).rstrip(b"\r\n") == b"data: one"
    borders.passed(rest)
    assert borders.at_border


def test_a_piece_without_a_blank_line_completes_nothing() -> None:
    borders = EventBorders()
    borders.passed(b"data: one\n")
    assert borders.rest(b"data: two\nid: 7") is None
    assert borders.rest(b"\ndata") == b"\n"


@given(st.lists(st.binary(max_size=4).map(lambda b: b.replace(b"\x00", b"\n")), max_size=12))
def test_cuts_do_not_move_borders(pieces: list[bytes]) -> None:
    one, many = EventBorders(), EventBorders()
    one.passed(b"x" + b"".join(pieces))
    many.passed(b"x")
    for piece in pieces:
        many.passed(piece)
    assert one.at_border == many.at_border


def test_the_last_event_says_why_and_stands_alone() -> None:
    event = last_event(Code.SESSION_ENDED)
    assert event.startswith(b"\n\n")
    assert event.endswith(b"\n\n")
    kind, data = event.strip().split(b"\n")
    assert kind == b"event: gateway.ended"
    assert json.loads(data.removeprefix(b"data: ")) == {"code": "session.ended"}
