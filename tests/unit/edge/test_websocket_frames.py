"""Following WebSocket frames: what passes, what is looked at, and what ends it (P6, RFC 6455)."""

import pytest

from gateway.edge.websocket_frames import (
    CloseCode,
    Control,
    FrameScanner,
    Opcode,
    Passage,
    Violation,
    close_payload,
    frame,
)
from tests.support import frames
from tests.support.frames import close

LIMIT = 1000


def scanner(*, masked: bool = True, max_message: int = LIMIT) -> FrameScanner:
    return FrameScanner(masked=masked, max_message=max_message)


def passed(found: list[Passage]) -> bytes:
    """Every octet that may go on."""
    pieces = [one for one in found if not isinstance(one, Violation)]
    return b"".join(one.octets if isinstance(one, Control) else one for one in pieces)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize("opcode", [1, 2])
def test_a_data_frame_passes_as_the_octets_it_came_as(masked: bool, size: int, opcode: int) -> None:
    octets = frames.frame(opcode, b"x" * size, masked=masked)
    found = scanner(masked=masked, max_message=1 << 20).feed(octets)
    assert found == [octets]
    assert found[0] is octets  # not even copied


def test_many_frames_in_one_piece_stay_one_piece() -> None:
    octets = frames.frame(1, b"one") + frames.frame(2, b"two", fin=False) + frames.frame(0, b"!")
    assert scanner().feed(octets) == [octets]


def test_a_control_frame_stands_alone_with_its_payload_in_clear() -> None:
    before, ping, after = frames.frame(1, b"a"), frames.frame(9, b"are you?"), frames.frame(1, b"b")
    assert scanner().feed(before + ping + after) == [
        before,
        Control(Opcode.PING, b"are you?", ping),
        after,
    ]


def test_a_control_frame_may_stand_between_fragments() -> None:
    octets = (
        frames.frame(1, b"a", fin=False)
        + frames.frame(9)
        + frames.frame(0, b"b", fin=False)
        + frames.frame(10)
        + frames.frame(0, b"c")
    )
    found = scanner().feed(octets)
    assert passed(found) == octets
    assert [one.opcode for one in found if isinstance(one, Control)] == [9, 10]


def test_nothing_of_a_header_goes_on_before_it_is_judged() -> None:
    reader = scanner()
    octets = frames.frame(1, b"x" * 300)  # a header of 8 octets
    assert [reader.feed(octets[at : at + 1]) for at in range(7)] == [[]] * 7
    assert reader.left == 0
    assert reader.feed(octets[7:9]) == [octets[:9]]
    assert reader.left == 299


def test_a_control_frame_is_waited_for_as_a_whole() -> None:
    reader = scanner()
    octets = frames.frame(9, b"p" * 125)
    assert reader.feed(octets[:100]) == []
    assert reader.left == 0  # somebody else's frame may stand before it
    assert reader.feed(octets[100:]) == [Control(Opcode.PING, b"p" * 125, octets)]


def test_the_border_of_a_frame_is_known() -> None:
    reader = scanner()
    octets = frames.frame(2, b"x" * 10)
    reader.feed(octets[:-3])
    assert reader.left == 3
    reader.feed(octets[-3:])
    assert reader.left == 0


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (frames.frame(1, b"x", masked=False), "without a mask"),
        (frames.frame(1, b"x", reserved=4), "reserved bit"),
        (frames.frame(1, b"x", reserved=2), "reserved bit"),
        (frames.frame(1, b"x", reserved=1), "reserved bit"),
        (frames.frame(9, b"x", reserved=4), "reserved bit"),
        *((frames.frame(opcode, b""), "reserved opcode") for opcode in (3, 4, 5, 6, 7)),
        *((frames.frame(opcode, b""), "reserved opcode") for opcode in (11, 12, 13, 14, 15)),
        (frames.frame(9, b"x", fin=False), "in fragments"),
        (frames.frame(8, b"", fin=False), "in fragments"),
        (frames.frame(9, b"x" * 126), "too long"),
        (frames.frame(10, b"x" * 126, width=3), "too long"),
        (frames.frame(8, b"\x03\xe8" + b"x" * 124), "too long"),
        (frames.frame(0, b"x"), "out of place"),
        (frames.frame(0, b"x", fin=False), "out of place"),
        (frames.frame(1, b"a", fin=False) + frames.frame(1, b"b"), "out of place"),
        (frames.frame(2, b"a", fin=False) + frames.frame(2, b"b", fin=False), "out of place"),
        (frames.frame(1, b"x" * 125, width=3), "too many octets"),
        (frames.frame(1, b"x" * 125, width=9), "too many octets"),
        (frames.frame(1, b"x" * 600, width=9), "too many octets"),
        (b"\x82\xff\x80" + b"\x00" * 7 + frames.MASK, "too many octets"),
        (close(1000) + frames.frame(1, b"x"), "after the Close"),
        (close(1000) + close(1000), "after the Close"),
        (close(1000) + b"\x00", "after the Close"),
        (frames.frame(8, b"\x03"), "code"),
        *((close(code), "code") for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)),
    ],
)
def test_what_breaks_the_protocol_ends_it_with_1002(octets: bytes, why: str) -> None:
    last = scanner().feed(octets)[-1]
    assert isinstance(last, Violation)
    assert int(last.code) == 1002
    assert why in last.note


def test_a_server_must_not_mask() -> None:
    (found,) = scanner(masked=False).feed(frames.frame(1, b"x"))
    assert found == Violation(CloseCode.PROTOCOL_ERROR, "a masked frame")


def test_what_came_before_a_violation_passes_and_nothing_of_it_does() -> None:
    good = frames.frame(1, b"good")
    found = scanner().feed(good + frames.frame(1, b"bad", reserved=4))
    assert found[0] == good
    assert isinstance(found[1], Violation)
    assert len(found) == 2


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4401, 4999])
@pytest.mark.parametrize("masked", [True, False])
def test_close_codes_are_read_and_pass_as_they_are(code: int, masked: bool) -> None:
    octets = close(code, b"because", masked=masked)
    (found,) = scanner(masked=masked).feed(octets)
    assert isinstance(found, Control)
    assert found.close_code == code
    assert found.octets == octets


def test_a_close_without_a_code_is_one() -> None:
    (found,) = scanner().feed(close())
    assert isinstance(found, Control)
    assert found.close_code is None


def test_a_reason_that_is_no_text_ends_it_with_1007() -> None:
    (found,) = scanner().feed(close(1000, b"\xff\xfe"))
    assert isinstance(found, Violation)
    assert found.code == 1007


def test_a_message_above_the_limit_ends_it_with_1009_before_any_of_it_passes() -> None:
    reader = scanner()
    assert reader.feed(frames.frame(2, b"x" * LIMIT)) != []
    (found,) = reader.feed(frames.frame(2, b"x" * (LIMIT + 1))[:8])  # its header alone
    assert isinstance(found, Violation)
    assert int(found.code) == 1009


def test_the_limit_holds_over_all_fragments_and_for_each_message_anew() -> None:
    reader = scanner()
    for _ in range(3):
        reader.feed(frames.frame(2, b"x" * 600, fin=False))
        assert not isinstance(reader.feed(frames.frame(0, b"x" * 400))[-1], Violation)
    reader.feed(frames.frame(2, b"x" * 600, fin=False))
    reader.feed(frames.frame(9, b"y" * 100))  # no part of it
    (found,) = reader.feed(frames.frame(0, b"x" * 401))
    assert isinstance(found, Violation)
    assert found.code == 1009


def test_a_gigabyte_is_refused_by_its_header() -> None:
    (found,) = scanner().feed(b"\x82\xff" + (1 << 30).to_bytes(8, "big") + frames.MASK)
    assert isinstance(found, Violation)
    assert found.code == 1009


def test_frames_of_our_own_are_what_the_other_side_reads() -> None:
    payload = close_payload(CloseCode.SESSION_ENDED, "session.ended")
    assert frame(Opcode.CLOSE, payload) == close(4401, b"session.ended", masked=False)
    assert frame(Opcode.CLOSE, payload, mask=frames.MASK) == close(4401, b"session.ended")
    assert frame(Opcode.PING, mask=frames.MASK) == frames.frame(9)
    with pytest.raises(ValueError, match="125"):
        frame(Opcode.PING, b"x" * 126)
