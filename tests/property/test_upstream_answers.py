"""What holds of every answer an upstream could send, malicious ones included.

Its corpus holds an answer for each rule; Hypothesis cuts it into packets, splices and bends it.
Findings become examples, and are replayed for ever.
"""

from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.http1_upstream.answer_reader import AnswerReader
from gateway.edge.answer_framing import MalformedAnswer
from gateway.edge.messages import Fields
from tests.support.examples import examples
from tests.support.wild_answers import CORPUS, answers

EXAMPLES = examples(400)


@st.composite
def cuts(draw: st.DrawFn) -> list[int]:
    """Where packets end."""
    return sorted(draw(st.lists(st.integers(1, 400), max_size=8)))


@dataclass(frozen=True)
class Outcome:
    """All that anybody learns of an answer."""

    verdict: str
    status: int
    fields: Fields
    body: bytes


def outcome(octets: bytes, ends: list[int], *, to_head: bool, upgrade: bool) -> Outcome:
    """Read the octets in these packets, then the end of the connection."""
    reader = AnswerReader(to_head=to_head, upgrade=upgrade)
    verdict = "complete"
    try:
        start = 0
        for end in [*ends, len(octets)]:
            if octets[start:end] and not reader.complete:
                reader.feed(octets[start:end])
            start = max(start, end)
        if reader.switched:
            verdict = "switched"
        elif not reader.complete:
            reader.end()
    except MalformedAnswer:
        verdict = "malformed"
    return Outcome(verdict, reader.status, reader.fields, b"".join(reader.pieces))


@EXAMPLES
@given(octets=st.binary(max_size=300) | answers(), to_head=st.booleans(), upgrade=st.booleans())
@example(octets=b"HTTP/1.1 101 \r\n\r\n", to_head=False, upgrade=True)
@example(octets=b"HTTP/1.1 200\r\n\r\n\r\n\r\n", to_head=False, upgrade=False)
def test_any_octets_are_read_or_refused(octets: bytes, to_head: bool, upgrade: bool) -> None:
    found = outcome(octets, [], to_head=to_head, upgrade=upgrade)
    if found.verdict != "malformed":
        assert 200 <= found.status < 600 or (upgrade and found.status == 101)
        assert found.body in octets or b"chunked" in octets.lower()
        assert not (to_head and found.verdict == "complete" and found.body)
    assert len(found.body) <= len(octets)


@EXAMPLES
@given(answers(), cuts(), st.booleans(), st.booleans())
def test_where_packets_end_does_not_matter(
    octets: bytes, ends: list[int], to_head: bool, upgrade: bool
) -> None:
    at_once = outcome(octets, [], to_head=to_head, upgrade=upgrade)
    cut_up = outcome(octets, ends, to_head=to_head, upgrade=upgrade)
    if at_once.verdict == cut_up.verdict != "malformed":
        assert at_once == cut_up
    else:
        # A fault behind the head is found when its packet comes; what came before has been told.
        assert at_once.verdict == cut_up.verdict
        assert at_once.fields == cut_up.fields or not (at_once.status and cut_up.status)
        shorter, longer = sorted([at_once.body, cut_up.body], key=len)
        assert longer.startswith(shorter)


@EXAMPLES
@given(answers(), st.booleans())
def test_no_field_has_a_line_break_or_an_upper_case_name(octets: bytes, to_head: bool) -> None:
    for name, value in outcome(octets, [], to_head=to_head, upgrade=False).fields:
        assert name == name.lower()
        assert name
        assert not {0, 10, 13} & set(name + value)
        assert value == value.strip(b" \t")


@EXAMPLES
@given(st.sampled_from(CORPUS[:3]), st.binary(min_size=1, max_size=60))
def test_what_follows_an_answer_never_changes_it(octets: bytes, more: bytes) -> None:
    alone = outcome(octets, [], to_head=False, upgrade=False)
    assert outcome(octets + more, [], to_head=False, upgrade=False) == alone
    reader = AnswerReader()
    reader.feed(octets + more)
    assert not reader.persistent


@EXAMPLES
@given(st.sampled_from(CORPUS[:3]), st.integers(1, 80))
def test_an_answer_cut_short_is_never_complete_m12(octets: bytes, missing: int) -> None:
    short = octets[: max(0, len(octets) - missing)]
    assert outcome(short, [], to_head=False, upgrade=False).verdict == "malformed"
