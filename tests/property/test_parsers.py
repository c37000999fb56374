"""Every parser we own, with octets nobody would send: a result, or the refusal it documents.

A corpus is kept for each (`tests/corpus`), is replayed in every run, and is what Hypothesis joins,
cuts and bends. What is found is added to it: the failure says the line.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, Refused
from tests.support.corpus import FOLDER, line_of, read_corpus
from tests.support.examples import examples
from tests.support.parsers import Parser, StreamParser, edge, oidc, operators
from tests.support.parsers.streams import MALFORMED, STREAMS

PARSERS = (*edge.PARSERS, *oidc.PARSERS, *operators.PARSERS)
CORPORA = {
    **{parser.name: (*read_corpus(parser.name), *parser.seeds) for parser in PARSERS},
    **{stream.name: tuple(read_corpus(stream.corpus or stream.name)) for stream in STREAMS},
}

# Read by parsers of ours, and not here: with a corpus of their own, or without a stranger's octet.
ELSEWHERE = {
    "server/reading.py": "requests, in test_inbound_wire.py, with the corpus of vectors/http",
    "server/heads.py": "the same",
    "workers/reading.py": "pickled settings, through a socket pair that only our own child holds",
    "dev/": "the development world, for one person on one machine",
}

every_parser = pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
every_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)

where = st.floats(0, 1, exclude_max=True)


def bent(corpus: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Octets of a corpus, joined and damaged with words of the corpus itself; or mere noise."""
    words = sorted({word for line in corpus for word in re.findall(rb"\w{1,40}|\W", line)})
    token = st.sampled_from(words) | st.binary(min_size=1, max_size=3)
    damage = st.tuples(st.sampled_from(["insert", "replace", "delete", "repeat"]), where, token)
    joined = st.lists(st.sampled_from(corpus), min_size=1, max_size=3).map(b"".join)
    one = st.sampled_from(corpus) | joined
    return st.builds(_damaged, one, st.lists(damage, max_size=4)) | st.binary(max_size=200)


def _damaged(octets: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, place, token in changes:
        at = int(place * len(octets))
        behind = at + (0 if kind in ("insert", "repeat") else len(token))
        piece = {"delete": b"", "repeat": octets[at : at + 20] * 3}.get(kind, token)
        octets = octets[:at] + piece + octets[behind:]
    return octets


def cut(octets: bytes, places: list[float]) -> list[bytes]:
    edges = sorted({int(place * len(octets)) for place in places} | {0, len(octets)})
    return [octets[begin:end] for begin, end in pairwise(edges)]


def check(parser: Parser, octets: bytes) -> None:
    try:
        parser.refuses(octets)
    except Exception as fault:
        kept = f"{parser.source} stumbled; keep this in tests/corpus/{parser.name}.txt:"
        raise AssertionError(f"{kept}\n{line_of(octets)}") from fault


def check_cuts(stream: StreamParser, octets: bytes, places: list[float]) -> None:
    try:
        whole = stream.fed([octets] if octets else [])
        assert stream.fed([octets[at : at + 1] for at in range(len(octets))]) == whole
        assert stream.fed(cut(octets, places)) == whole
    except Exception as fault:
        kept = f"{stream.source} stumbled; keep this in tests/corpus/{stream.name}.txt:"
        raise AssertionError(f"{kept}\n{line_of(octets)}") from fault


@every_parser
def test_the_corpus_is_read_or_refused(parser: Parser) -> None:
    for octets in CORPORA[parser.name]:
        check(parser, octets)


@every_stream
def test_where_the_corpus_is_cut_changes_nothing(stream: StreamParser) -> None:
    for octets in CORPORA[stream.name]:
        check_cuts(stream, octets, [0.3, 0.5, 0.9])


@every_parser
def test_no_octets_make_a_parser_stumble(parser: Parser) -> None:
    @examples(parser.examples)
    @given(bent(CORPORA[parser.name]))
    def throw(octets: bytes) -> None:
        check(parser, octets)

    throw()


@every_stream
def test_wherever_octets_are_cut_they_read_the_same(stream: StreamParser) -> None:
    @examples(250)
    @given(bent(CORPORA[stream.name]), st.lists(where, max_size=6))
    def throw(octets: bytes, places: list[float]) -> None:
        check_cuts(stream, octets, places)

    throw()


@every_parser
def test_a_corpus_holds_more_than_refusals(parser: Parser) -> None:
    """One in which everything is refused, or nothing that could be, would prove little."""
    if parser.name == "signed_token":
        return  # nothing is ever read without a key: that is its point
    refused = {parser.refuses(octets) for octets in CORPORA[parser.name]}
    assert False in refused
    assert (True in refused) == bool(parser.codes or parser.errors)


@every_stream
def test_a_corpus_of_a_stream_is_not_all_malformed(stream: StreamParser) -> None:
    results = [stream.fed([octets]) for octets in CORPORA[stream.name] if octets]
    assert any(result != MALFORMED for result in results)


def test_every_corpus_has_a_parser_and_every_parser_is_where_it_is_said_to_be() -> None:
    named = {path.stem for path in FOLDER.glob("*.txt")}
    assert named == {parser.name for parser in PARSERS} | {
        stream.corpus or stream.name for stream in STREAMS
    }
    package = Path(__file__).parents[2] / "gateway"
    for source in (*(one.source for one in (*PARSERS, *STREAMS)), *ELSEWHERE):
        assert (package / source).exists(), source


def test_the_checks_are_not_blind() -> None:
    def stumbles(octets: bytes) -> None:
        if b"\xff" in octets:
            raise IndexError
        raise Refused(Code.TARGET_MALFORMED if octets else Code.INTERNAL)

    parser = Parser("x", "edge/target.py", stumbles, frozenset({Code.TARGET_MALFORMED}))
    assert parser.refuses(b"a")
    with pytest.raises(AssertionError, match=r'x\.txt:\n"\\u00ff"'):
        check(parser, b"\xff")
    with pytest.raises(AssertionError):
        check(parser, b"")
    stream = StreamParser("x", "edge/target.py", len)
    with pytest.raises(AssertionError, match=r'x\.txt:\n"ab"'):
        check_cuts(stream, b"ab", [])
