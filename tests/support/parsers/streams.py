"""The parsers of octets as they come: where these are cut must change nothing."""

import asyncio
from copy import copy
from typing import Any

from gateway.adapters.http1_upstream.answer_heads import AnswerHeads
from gateway.adapters.http1_upstream.answer_reader import AnswerReader
from gateway.edge.answer_framing import MalformedAnswer
from gateway.edge.event_stream import EventBorders
from gateway.edge.websocket_frames import FrameScanner, Passage, Violation
from gateway.workers.channel import Channel
from tests.support.parsers import StreamParser

MALFORMED = "malformed"
LIMIT = 300  # octets of a WebSocket's message


def read_answer(
    pieces: list[bytes],
    *,
    to_head: bool = False,
    upgrade: bool = False,
    heads: AnswerHeads | None = None,
) -> object:
    """All that anybody learns of an answer, or that it was none."""
    reader = AnswerReader(to_head=to_head, upgrade=upgrade, heads=heads)
    surplus = False
    try:
        for piece in pieces:
            if reader.complete:
                surplus = True  # comes to a connection that nobody has asked anything
                break
            reader.feed(piece)
        if not reader.complete and not reader.switched:
            reader.end()
    except MalformedAnswer:
        return MALFORMED
    assert 200 <= reader.status < 600 or (upgrade and reader.status == 101)
    return (
        reader.status,
        reader.fields,
        b"".join(reader.pieces),
        reader.persistent and not surplus,
        reader.switched,
    )


def read_answer_again(pieces: list[bytes]) -> object:
    """An answer whose head may have come before, octet by octet: it reads as it did then."""
    heads = AnswerHeads()
    first = read_answer([b"".join(pieces)], heads=heads)
    again = read_answer(pieces, heads=heads)
    assert first == again == read_answer(pieces)
    return again


def scan(pieces: list[bytes], *, masked: bool) -> tuple[list[Passage], FrameScanner]:
    """Everything the scanner says, with neighbouring octets joined, and the scanner."""
    scanner = FrameScanner(masked=masked, max_message=LIMIT)
    said: list[Passage] = []
    for piece in pieces:
        for one in scanner.feed(piece):
            if isinstance(one, bytes) and said and isinstance(said[-1], bytes):
                said[-1] += one
            elif one != b"":
                said.append(one)
            if isinstance(one, Violation):
                return said, scanner
    return said, scanner


def frames(pieces: list[bytes], *, masked: bool) -> tuple[list[Passage], int | None]:
    """What `scan` says, and what is left of a frame unless one was refused."""
    said, scanner = scan(pieces, masked=masked)
    is_refused = bool(said) and isinstance(said[-1], Violation)
    return said, None if is_refused else scanner.left


def follow_events(pieces: list[bytes]) -> bool:
    """Whether something may be added at the end; where the rest of an event ends, it may."""
    borders = EventBorders()
    for piece in pieces:
        rest = borders.rest(piece)
        if rest is not None:
            assert piece.startswith(rest)
            ended = copy(borders)
            ended.passed(rest)
            assert ended.at_border
        borders.passed(piece)
    return borders.at_border


def read_channel(pieces: list[bytes]) -> object:
    """Every message up to the end of the line."""

    async def read() -> list[dict[str, Any] | None]:
        reader = asyncio.StreamReader()
        for piece in pieces:
            reader.feed_data(piece)
        reader.feed_eof()
        channel = Channel(reader, None)  # type: ignore[arg-type]  # nothing is written
        messages: list[dict[str, Any] | None] = []
        while not messages or messages[-1] is not None:
            messages.append(await channel.receive())
        return messages

    return asyncio.run(read())


STREAMS = (
    StreamParser("answer", "adapters/http1_upstream/answer_reader.py", read_answer),
    StreamParser(
        "answer_again",
        "adapters/http1_upstream/answer_heads.py",
        read_answer_again,
        corpus="answer",
    ),
    StreamParser(
        "answer_to_head",
        "adapters/http1_upstream/answer_reader.py",
        lambda pieces: read_answer(pieces, to_head=True),
        corpus="answer",
    ),
    StreamParser(
        "answer_to_upgrade",
        "adapters/http1_upstream/answer_reader.py",
        lambda pieces: read_answer(pieces, upgrade=True),
        corpus="answer",
    ),
    StreamParser(
        "frames_of_clients", "edge/websocket_frames.py", lambda pieces: frames(pieces, masked=True)
    ),
    StreamParser(
        "frames_of_servers", "edge/websocket_frames.py", lambda pieces: frames(pieces, masked=False)
    ),
    StreamParser("event_stream", "edge/event_stream.py", follow_events),
    StreamParser("worker_channel", "workers/channel.py", read_channel),
)
