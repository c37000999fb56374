"""What must hold of the inbound wire for every sequence of octets, however they are cut (F26).

A corpus of requests (`tests/vectors/http`) is joined, damaged and split at random and fed to the
protocol. Nothing may escape, every answer must be HTTP, and nothing may reach the application
that a strict reader, written apart from the server, would not have read in just that place.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, Refused
from gateway.server.listening import Listener, server_for
from gateway.server.protocol import MOST_QUEUED
from gateway.settings import Limits
from tests.support.examples import examples
from tests.support.memory_transport import MemoryTransport
from tests.support.strict_http import Answer, Request, Unfinished, read_answers, read_requests

CORPUS = {
    path.stem: path.read_bytes()
    for path in sorted((Path(__file__).parents[1] / "vectors" / "http").glob("*.http"))
}
LIMITS = Limits(max_target_bytes=512, max_header_bytes=2048, max_header_count=32)

TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\x0b", b"\xff", b"-", b"+", b"0",
    b"chunked", b"identity", b"HTTP/1.0", b"HTTP/1.1", b"http://", b"#", b"*", b"@", b'"',
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n", b"Content-Length: 5\r\n",
    b"Host: h\r\n", b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: x\r\n",
    b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"X: y\r\n", b"\r\n\r\n",
    b"GET /s HTTP/1.1\r\nHost: h\r\n\r\n", b"x" * 600,
]  # fmt: skip

where = st.floats(0, 1, exclude_max=True)
damage = st.tuples(
    st.sampled_from(["insert", "replace", "delete", "repeat"]),
    where,
    st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=3)),
)


def damaged(octets: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, place, token in changes:
        at = int(place * len(octets))
        behind = at + (0 if kind in ("insert", "repeat") else len(token))
        piece = {"delete": b"", "repeat": octets[at : at + 20]}.get(kind, token)
        octets = octets[:at] + piece + octets[behind:]
    return octets


def split(octets: bytes, places: list[float]) -> list[bytes]:
    cuts = sorted({int(place * len(octets)) for place in places} | {0, len(octets)})
    return [octets[begin:end] for begin, end in pairwise(cuts)]


@dataclass
class Seen:
    """A request as the application saw it; `whole` once its body had come to its end."""

    method: str
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False


@dataclass
class Conversation:
    """Everything that came of some octets."""

    reads: bool
    seen: list[Seen] = field(default_factory=list)
    written: bytes = b""
    refused: list[Code] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ended: bool = False

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        seen = Seen(scope["method"], scope["gateway.raw_target"], list(scope["headers"]))
        self.seen.append(seen)
        scope["path"].encode()
        if self.reads:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                seen.body += message["body"]
                if not message["more_body"]:
                    break
            seen.whole = True
        index = b"%d" % len(self.seen)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-n", index)]})
        await send({"type": "http.response.body", "body": b"b" * len(self.seen)})

    async def hold(self, pieces: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.wrong.append(repr(context)))
        server = server_for(
            Listener(self.app, []),
            limits=LIMITS,
            refused=lambda code, _: self.refused.append(code),
        )
        server.config.load()
        protocol: Any = server.config.http_protocol_class(  # type: ignore[call-arg]
            config=server.config, server_state=server.server_state, app_state={}, _loop=loop
        )
        transport = MemoryTransport(protocol)
        protocol.connection_made(transport)
        for piece in pieces:
            if not await transport.receive(piece):
                break
        for _ in range(60):
            await asyncio.sleep(0)
        self.written = bytes(transport.written)
        self.ended = transport.said_eof or transport.is_closing()
        if transport.aborted:
            self.wrong.append("aborted")
        await transport.hang_up()
        if server.server_state.tasks or server.clients.connections:
            self.wrong.append("something is left behind")


class Errors(logging.Handler):
    """Collects what the server calls an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def conversation(pieces: list[bytes], *, reads: bool) -> Conversation:
    held = Conversation(reads)
    errors = Errors()
    logger = logging.getLogger("gateway.server")
    logger.addHandler(errors)
    try:
        asyncio.run(held.hold(pieces))
    finally:
        logger.removeHandler(errors)
    assert held.wrong == []
    assert errors.lines == []
    return held


def answers_of(held: Conversation) -> list[Answer]:
    methods = [seen.method.encode() for seen in held.seen]
    try:
        return read_answers(held.written, methods)
    except Unfinished:  # the refusal of a HEAD has a length and no body
        return read_answers(held.written, [*methods, b"HEAD"])


def check(octets: bytes, pieces: list[bytes], *, reads: bool) -> None:
    held = conversation(pieces, reads=reads)
    strict = read_requests(octets)
    assert len(held.seen) <= len(strict)
    for seen, read in zip(held.seen, strict, strict=False):
        check_request(seen, read)
    answers = answers_of(held)
    own = [answer for answer in answers if answer.values(b"x-n")]
    assert [answer.values(b"x-n") for answer in own] == [[b"%d" % (n + 1)] for n in range(len(own))]
    assert len(answers) - len(own) <= 1  # at most one refusal, and nothing behind it
    assert answers[: len(own)] == own
    assert len(held.refused) <= 1
    if len(answers) > len(own):
        assert answers[-1].closes
        assert held.ended


def check_request(seen: Seen, read: Request) -> None:
    assert seen.method.encode() == read.method
    assert seen.target == read.target
    assert seen.fields == list(read.fields)
    if seen.whole:
        assert read.whole
        assert seen.body == read.body
    else:
        assert read.body.startswith(seen.body)


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("size", [1, 3, 100_000])
@pytest.mark.parametrize("name", CORPUS)
def test_the_corpus_is_read_as_a_strict_reader_reads_it(name: str, size: int, reads: bool) -> None:
    octets = CORPUS[name]
    check(octets, [octets[at : at + size] for at in range(0, len(octets), size)], reads=reads)


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) > 50


@examples(400)
@given(
    st.lists(st.sampled_from(sorted(CORPUS)), min_size=1, max_size=3),
    st.lists(damage, max_size=4),
    st.lists(where, max_size=6),
    st.booleans(),
)
def test_whatever_is_sent_is_read_strictly_and_answered_in_http(
    names: list[str], changes: list[tuple[str, float, bytes]], places: list[float], reads: bool
) -> None:
    octets = damaged(b"".join(CORPUS[name] for name in names), changes)
    check(octets, split(octets, places), reads=reads)


@examples(200)
@given(st.binary(max_size=200), st.lists(where, max_size=4))
def test_noise_is_refused_and_reaches_nobody(octets: bytes, places: list[float]) -> None:
    check(octets, split(octets, places), reads=True)


@examples(200)
@given(
    st.lists(st.sampled_from(sorted(CORPUS)), min_size=1, max_size=2),
    st.lists(damage, max_size=3),
    st.lists(where, min_size=1, max_size=6),
)
def test_where_the_octets_are_cut_changes_nothing(
    names: list[str], changes: list[tuple[str, float, bytes]], places: list[float]
) -> None:
    octets = damaged(b"".join(CORPUS[name] for name in names), changes)
    whole = conversation([octets], reads=True)
    cut = conversation(split(octets, places), reads=True)
    # How many may wait for their turn depends on what comes at once; what they are does not.
    both = list(zip(cut.seen, whole.seen, strict=False))
    for one, other in both:
        assert (one.method, one.target, one.fields) == (other.method, other.target, other.fields)
        assert one.whole == other.whole
        assert one.body == other.body or not one.whole  # a broken one may be told of sooner
    assert len(both) in (len(cut.seen), len(whole.seen))
    assert len(cut.seen) == len(whole.seen) or len(both) > MOST_QUEUED
    for answer, same in zip(answers_of(cut), answers_of(whole), strict=False):
        # In pieces an unknown method looks like garbage, and a limit may be met first.
        either = {answer.status, same.status}
        assert len(either) == 1 or either <= {400, 414, 431, 501}


def test_the_checks_are_not_blind() -> None:
    """The strict reader and the comparison notice what they are there for."""
    assert [request.target for request in read_requests(CORPUS["pipeline"])] == [
        b"/0", b"/1", b"/2", b"/3", b"/4",
    ]  # fmt: skip
    assert read_requests(CORPUS["length-and-coding"]) == []
    (chunked,) = read_requests(CORPUS["chunked"])
    assert (chunked.body, chunked.whole) == (b"hello world", True)
    (cut,) = read_requests(CORPUS["chunked-bad-end"])
    assert not cut.whole
    other = Seen("GET", b"/a", [(b"host", b"i")])
    with pytest.raises(AssertionError):
        check_request(other, read_requests(CORPUS["get"])[0])
    with pytest.raises(AssertionError):
        read_answers(b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n", [])
    raised = Refused(Code.REQUEST_MALFORMED)
    assert raised.code is Code.REQUEST_MALFORMED
