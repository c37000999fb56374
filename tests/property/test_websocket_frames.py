"""The frame scanner: cuts change nothing, and it agrees with a whole WebSocket implementation."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from gateway.edge.websocket_frames import CloseCode, Control, FrameScanner, Passage, Violation
from tests.support import frames
from tests.support.corpus import read_corpus
from tests.support.examples import examples
from tests.support.parsers.streams import LIMIT, scan

OPCODES = st.sampled_from([0, 1, 2, 8, 9, 10, 3, 11])
SIZES = st.one_of(st.integers(0, 6), st.sampled_from([125, 126, 150, 200, LIMIT, LIMIT + 1]))


@st.composite
def frame(draw: st.DrawFn, masked: bool) -> bytes:
    """Mostly right frames: each mistake is possible and rare."""
    opcode = draw(OPCODES) if draw(st.integers(0, 9)) == 0 else draw(st.sampled_from([0, 1, 2, 9]))
    if draw(st.integers(0, 15)) == 0:
        opcode = 8
    payload = draw(st.binary(min_size=size, max_size=size)) if (size := draw(SIZES)) else b""
    if opcode == 8 and draw(st.booleans()):
        payload = draw(st.integers(990, 5010)).to_bytes(2, "big") + b"why"
    rare = st.integers(0, 9)
    return frames.frame(
        opcode,
        payload,
        fin=draw(st.booleans()) if opcode < 8 else draw(rare) > 0,
        masked=masked if draw(rare) else not masked,
        reserved=0 if draw(rare) else draw(st.integers(1, 7)),
    )


def streams(masked: bool) -> st.SearchStrategy[bytes]:
    whole = st.lists(frame(masked), max_size=8).map(b"".join)
    return st.one_of(whole, st.binary(max_size=300))


def cut(octets: bytes, at: list[int]) -> list[bytes]:
    borders = [0, *sorted({where % (len(octets) + 1) for where in at}), len(octets)]
    return [octets[a:b] for a, b in pairwise(borders) if a < b]


@given(st.booleans().flatmap(lambda m: st.tuples(st.just(m), streams(m))), st.lists(st.integers(0)))
def test_however_a_stream_is_cut_the_verdicts_are_the_same(
    what: tuple[bool, bytes], at: list[int]
) -> None:
    masked, octets = what
    whole, one = scan([octets] if octets else [], masked=masked)
    pieces, other = scan(cut(octets, at), masked=masked)
    single, third = scan([octets[n : n + 1] for n in range(len(octets))], masked=masked)
    assert [bytes(x) if isinstance(x, bytes) else x for x in whole] == pieces == single
    if not (whole and isinstance(whole[-1], Violation)):
        assert one.left == other.left == third.left


@given(st.booleans().flatmap(lambda m: st.tuples(st.just(m), streams(m))))
def test_what_passes_is_the_beginning_of_what_came(what: tuple[bool, bytes]) -> None:
    masked, octets = what
    said, scanner = scan([octets] if octets else [], masked=masked)
    passed = b"".join(
        one.octets if isinstance(one, Control) else one
        for one in said
        if not isinstance(one, Violation)
    )
    assert octets.startswith(passed)
    if not any(isinstance(one, Violation) for one in said):
        # What is held back is less than a control frame, and only at a frame's border.
        assert len(octets) - len(passed) < 2 + 8 + 4 + 125
        assert scanner.left == 0 or passed == octets


def peer(masked: bool) -> ServerProtocol | ClientProtocol:
    """A whole endpoint in the gateway's place."""
    if masked:
        return ServerProtocol(state=State.OPEN, max_size=LIMIT)
    return ClientProtocol(parse_uri("ws://gateway/"), state=State.OPEN, max_size=LIMIT)


@examples(500)
@given(st.booleans().flatmap(lambda m: st.tuples(st.just(m), streams(m))))
def test_what_an_endpoint_refuses_does_not_pass(what: tuple[bool, bytes]) -> None:
    agrees_with_an_endpoint(*what)


@pytest.mark.parametrize(("sender", "masked"), [("clients", True), ("servers", False)])
def test_an_endpoint_agrees_about_the_corpus(sender: str, masked: bool) -> None:
    for octets in read_corpus(f"frames_of_{sender}"):
        agrees_with_an_endpoint(masked, octets)


def agrees_with_an_endpoint(masked: bool, octets: bytes) -> None:
    """What it refuses we refuse; what passes it reads, and its messages are those we passed."""
    endpoint = peer(masked)
    endpoint.receive_data(octets)
    said, _ = scan([octets] if octets else [], masked=masked)
    broken = said and isinstance(said[-1], Violation)
    if str(endpoint.parser_exc) == "incomplete fragmented message":
        return  # a Close between fragments, which section 5.4 allows
    if isinstance(endpoint.parser_exc, PayloadTooBig) and not broken:
        # It counts a control frame as part of the message around it, which section 5.4 does not.
        assert any(isinstance(one, Control) for one in said)
        return
    if endpoint.parser_exc is not None:
        assert broken
    elif broken:
        assert isinstance(said[-1], Violation)
        # What we alone refuse, or refuse before the frame is whole.
        assert _is_cut_short(endpoint) or said[-1].note in (
            "a length in too many octets",
            "a frame after the Close frame",
        )
    else:
        reads_the_same(endpoint, said, octets)


def reads_the_same(
    endpoint: ServerProtocol | ClientProtocol, said: list[Passage], octets: bytes
) -> None:
    """The same octets, frame by frame: none left out, none put in, none in another place."""
    read = [event for event in endpoint.events_received() if isinstance(event, Frame)]
    closed = next((at for at, one in enumerate(read) if one.opcode == Opcode.CLOSE), len(read))
    again = b"".join(
        frames.frame(int(one.opcode), bytes(one.data), fin=one.fin, masked=False)
        for one in read[: closed + 1]
    )
    passed = b"".join(
        one.octets if isinstance(one, Control) else bytes(one)
        for one in said
        if not isinstance(one, Violation)
    )
    other = peer(masked=isinstance(endpoint, ServerProtocol))
    other.receive_data(passed)
    same = [event for event in other.events_received() if isinstance(event, Frame)]
    assert (
        b"".join(
            frames.frame(int(one.opcode), bytes(one.data), fin=one.fin, masked=False)
            for one in same
        )
        == again
    )


@given(st.booleans().flatmap(lambda m: st.tuples(st.just(m), streams(m))))
def test_an_endpoint_reads_the_control_frames_the_scanner_saw(what: tuple[bool, bytes]) -> None:
    masked, octets = what
    endpoint = peer(masked)
    endpoint.receive_data(octets)
    said, _ = scan([octets] if octets else [], masked=masked)
    if endpoint.parser_exc is not None or (said and isinstance(said[-1], Violation)):
        return
    events = [event for event in endpoint.events_received() if isinstance(event, Frame)]
    read = [(int(event.opcode), bytes(event.data)) for event in events if event.opcode >= 8]
    assert read == [(one.opcode, one.payload) for one in said if isinstance(one, Control)]
    if read and read[-1][0] == 8 and read[-1][1]:
        assert endpoint.close_rcvd is not None
        last = said[-1]
        assert isinstance(last, Control)
        assert last.close_code == endpoint.close_rcvd.code


@given(st.integers(0, 6000))
def test_close_codes_are_judged_alike(code: int) -> None:
    octets = frames.close(code)
    endpoint = peer(masked=True)
    endpoint.receive_data(octets)
    (found,) = FrameScanner(masked=True, max_message=LIMIT).feed(octets)
    assert isinstance(found, Violation) == (endpoint.parser_exc is not None)
    if isinstance(found, Violation):
        assert found.code == CloseCode.PROTOCOL_ERROR


def _is_cut_short(endpoint: ServerProtocol | ClientProtocol) -> bool:
    """Whether the endpoint still waits for the end of a frame, which it judges only then."""
    endpoint.receive_eof()
    return isinstance(endpoint.parser_exc, EOFError) or endpoint.parser_exc is None
