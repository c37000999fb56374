"""Answers as octets: what is read, what is refused, and what is nobody's (sections L and M).

Every case is also read octet by octet: where packets end must not matter.
"""

from dataclasses import dataclass

import pytest

from gateway.adapters.http1_upstream.answer_heads import LONGEST_HEAD, MOST_HEADS, AnswerHeads
from gateway.adapters.http1_upstream.answer_reader import AnswerReader
from gateway.edge.answer_framing import MAX_HEAD_OCTETS, MalformedAnswer
from tests.support import answer_cases
from tests.support.answer_cases import CHUNKED, OK, TWO


@dataclass(frozen=True)
class Read:
    """What an answer was read as."""

    status: int
    body: bytes
    persistent: bool
    complete: bool


def read(octets: bytes, *, step: int, to_head: bool = False, upgrade: bool = False) -> Read:
    """Read in packets of this size, as a connection would: nothing after the end."""
    reader = AnswerReader(to_head=to_head, upgrade=upgrade)
    for start in range(0, len(octets), step):
        reader.feed(octets[start : start + step])
        if reader.complete:
            # What comes in later packets comes to a connection that nobody has asked anything.
            is_all = start + step >= len(octets)
            persistent = reader.persistent and is_all
            return Read(reader.status, b"".join(reader.pieces), persistent, complete=True)
    return Read(reader.status, b"".join(reader.pieces), reader.persistent, complete=False)


every_packet_size = pytest.mark.parametrize("step", [1, 2, 3, 7, 10**6])


@every_packet_size
@pytest.mark.parametrize(
    ("octets", "status", "body"),
    answer_cases.STAYS,
)
def test_an_answer_is_read_and_its_connection_stays(
    octets: bytes, status: int, body: bytes, step: int
) -> None:
    assert read(octets, step=step) == Read(status, body, persistent=True, complete=True)


@every_packet_size
@pytest.mark.parametrize(
    ("octets", "body"),
    answer_cases.SURPLUS,
)
def test_octets_behind_an_answer_are_nobodys_and_end_the_connection(
    octets: bytes, body: bytes, step: int
) -> None:
    found = read(octets, step=step)
    assert found.complete
    assert found.body == body
    assert not found.persistent


@every_packet_size
@pytest.mark.parametrize(
    "octets",
    answer_cases.CLOSES,
)
def test_a_connection_is_kept_only_where_the_answer_lets_it(octets: bytes, step: int) -> None:
    assert read(octets, step=step) == Read(200, b"ab", persistent=False, complete=True)


@every_packet_size
@pytest.mark.parametrize(
    "octets",
    answer_cases.REFUSED,
)
def test_what_is_no_answer_or_more_than_one_is_refused(octets: bytes, step: int) -> None:
    if step < 10 and len(octets) > MAX_HEAD_OCTETS:
        step = 4001  # octet by octet takes its time
    with pytest.raises(MalformedAnswer):
        read(octets, step=step)


@every_packet_size
def test_an_answer_to_head_has_no_body_m9(step: int) -> None:
    for octets, stays in answer_cases.TO_HEAD:
        found = read(octets, step=step, to_head=True)
        assert found == Read(200, b"", persistent=stays, complete=True)


@every_packet_size
def test_fields_keep_order_and_repeats_and_no_trailer_becomes_one_l8_l9(step: int) -> None:
    reader = AnswerReader()
    octets = (
        OK + b"Set-Cookie: a=1\r\nX-One:  1 \r\nSet-Cookie: b=2\r\nTransfer-Encoding: chunked\r\n"
        b"\r\n2\r\nab\r\n0\r\nSet-Cookie: evil=1\r\nContent-Type: evil\r\n\r\n"
    )
    for start in range(0, len(octets), step):
        reader.feed(octets[start : start + step])
    assert reader.complete
    assert reader.fields == (
        (b"set-cookie", b"a=1"),
        (b"x-one", b"1"),
        (b"set-cookie", b"b=2"),
        (b"transfer-encoding", b"chunked"),
    )


@pytest.mark.parametrize(
    "endless",
    [b"2;" + b"x" * 1000, b"0\r\n" + b"x: y\r\n" * 200, b"0\r\nx: " + b"y" * 1000],
)
def test_extensions_and_trailers_have_an_end_m8(endless: bytes) -> None:
    reader = AnswerReader()
    reader.feed(CHUNKED + endless)
    more = endless[-6:] * 100
    for _ in range(MAX_HEAD_OCTETS // len(more) - 2):
        reader.feed(more)
    with pytest.raises(MalformedAnswer):
        reader.feed(more * 3)


def test_many_small_chunks_are_no_such_thing() -> None:
    reader = AnswerReader()
    reader.feed(CHUNKED)
    for _ in range(MAX_HEAD_OCTETS):
        reader.feed(b"1;x\r\na\r\n")
    assert len(b"".join(reader.pieces)) == MAX_HEAD_OCTETS


@pytest.mark.parametrize(
    "octets",
    answer_cases.CUT,
)
def test_half_an_answer_never_looks_whole_m12(octets: bytes) -> None:
    reader = AnswerReader()
    if octets:
        reader.feed(octets)
    assert not reader.complete
    with pytest.raises(MalformedAnswer):
        reader.end()
    assert not reader.complete


@every_packet_size
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_without_a_length_the_body_ends_with_the_connection(version: bytes, step: int) -> None:
    reader = AnswerReader()
    octets = version + b" 200 OK\r\nx: y\r\n\r\nwhatever\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    for start in range(0, len(octets), step):
        reader.feed(octets[start : start + step])
    before = reader.complete
    reader.end()
    assert (before, reader.complete) == (False, True)
    assert not reader.persistent
    assert b"".join(reader.pieces) == octets.partition(b"\r\n\r\n")[2]


@every_packet_size
def test_after_a_101_that_was_asked_for_octets_are_not_http(step: int) -> None:
    octets = b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x81\x05hello\r\n\r\n"
    for interim in (b"", b"HTTP/1.1 103 X\r\n\r\n"):
        reader = AnswerReader(upgrade=True)
        for start in range(0, len(interim + octets), step):
            reader.feed((interim + octets)[start : start + step])
        assert reader.switched
        assert reader.status == 101
        assert not reader.complete
        assert b"".join(reader.pieces) == b"\x81\x05hello\r\n\r\n"


def test_a_refusal_to_upgrade_is_an_answer() -> None:
    found = read(b"HTTP/1.1 403 No\r\n" + TWO, step=100, upgrade=True)
    assert found == Read(403, b"ab", persistent=True, complete=True)


# -- heads that came before ---------------------------------------------------------------------

PLAIN = OK + b"Date: Tue, 24 Nov 2026 08:00:00 GMT\r\nETag: x\r\n" + TWO


def fed(
    heads: AnswerHeads, octets: bytes, *, step: int = 10**6, to_head: bool = False
) -> AnswerReader:
    reader = AnswerReader(to_head=to_head, heads=heads)
    for start in range(0, len(octets), step):
        reader.feed(octets[start : start + step])
    return reader


def fed_twice(heads: AnswerHeads, octets: bytes) -> AnswerReader:
    """It is the second time that counts."""
    fed(heads, octets)
    return fed(heads, octets)


def said(reader: AnswerReader) -> tuple[object, ...]:
    body = b"".join(reader.pieces)
    return reader.status, reader.fields, body, reader.persistent, reader.complete


@every_packet_size
def test_the_same_head_is_read_the_same_wherever_packets_end(step: int) -> None:
    heads = AnswerHeads()
    first = said(fed(heads, PLAIN))
    assert len(heads) == 0  # it may never come again
    assert said(fed(heads, PLAIN)) == first
    assert len(heads) == 1
    assert said(fed(heads, PLAIN, step=step)) == first
    assert said(fed(AnswerHeads(), PLAIN, step=step)) == first


def test_answers_with_one_head_share_what_is_found_to_follow_from_it() -> None:
    heads = AnswerHeads()
    fed_twice(heads, PLAIN).known["route"] = "passed"
    assert fed(heads, PLAIN).known == {"route": "passed"}
    assert fed(heads, PLAIN.replace(b"x", b"y", 1)).known == {}


def test_a_known_head_with_a_body_too_long_is_out_of_step_as_ever_m16() -> None:
    heads = AnswerHeads()
    fed_twice(heads, PLAIN)
    reader = fed(heads, PLAIN + b"HTTP/1.1 200 OK\r\n")
    assert reader.complete
    assert not reader.persistent


def test_a_known_head_cut_short_is_not_complete_m12() -> None:
    heads = AnswerHeads()
    fed_twice(heads, PLAIN)
    reader = fed(heads, PLAIN[:-1])
    assert not reader.complete
    with pytest.raises(MalformedAnswer):
        reader.end()


def test_to_head_a_known_head_has_no_body_all_the_same_m9() -> None:
    heads = AnswerHeads()
    fed_twice(heads, PLAIN)
    head = PLAIN[:-2]
    assert said(fed(heads, head, to_head=True))[2:] == (b"", True, True)
    other = AnswerHeads()
    for _ in range(2):
        fed(other, head, to_head=True)
    assert len(other) == 0
    assert said(fed(other, PLAIN))[2] == b"ab"


@pytest.mark.parametrize(
    "octets",
    [
        OK + b"Set-Cookie: a=1\r\n" + TWO,
        CHUNKED + b"0\r\n\r\n",
        OK + b"x: y\r\n\r\n",  # until the connection closes
        OK + b"x: " + b"y" * LONGEST_HEAD + b"\r\n" + TWO,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + PLAIN,
    ],
)
def test_what_is_somebodys_or_does_not_say_its_end_is_not_kept(octets: bytes) -> None:
    heads = AnswerHeads()
    fed_twice(heads, octets)
    assert len(heads) == 0


def test_an_interim_answer_before_a_known_head_is_dropped_m10() -> None:
    heads = AnswerHeads()
    first = said(fed_twice(heads, PLAIN))
    assert said(fed(heads, b"HTTP/1.1 103 Early Hints\r\n\r\n" + PLAIN)) == first


def test_upstreams_do_not_decide_how_much_is_kept() -> None:
    heads = AnswerHeads()
    for number in range(MOST_HEADS + 20):
        fed_twice(heads, PLAIN.replace(b"ETag: x", b"ETag: %d" % number))
    assert len(heads) == MOST_HEADS
