"""Event streams (WHATWG HTML section 9.2): where one event ends, and what we say at the end of all.

An event is dispatched by the blank line behind it; what stands in the stream without one when it
ends is forgotten by the browser. So a stream may end anywhere without harm, but nothing may be
added to it except behind a blank line: added behind half an event, it would complete it.
"""

import re

from gateway.edge.messages import Field, Fields
from gateway.errors import Code

UNBUFFERED: Field = (b"x-accel-buffering", b"no")
"""Said to a proxy in front of us (nginx and some others), which would hold events back."""

_END = rb"(?:\r\n|\n|\r(?!\n))"  # of a line
_BLANK_LINE = re.compile(_END + rb"(?:\r\n|\n|\r)")
_LONGEST_BLANK_LINE = 4  # octets: CR LF CR LF
_BORDERS = (b"\n\n", b"\r\r", b"\n\r", b"\n\r\n", b"\r\r\n")


def is_event_stream(fields: Fields) -> bool:
    """Whether an answer with these fields is a stream of events, or may be taken for one.

    Of a type said twice browsers believe one; whichever that is, the stream ends with its session.
    """
    return any(
        _is_event_stream(member)
        for name, value in fields
        if name == b"content-type"
        for member in value.split(b",")
    )


def _is_event_stream(media_type: bytes) -> bool:
    return media_type.partition(b";")[0].strip().lower() == b"text/event-stream"


class EventBorders:
    """Follows an event stream just closely enough to know where an event ends."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\n\n"  # nothing is half-written yet

    @property
    def at_border(self) -> bool:
        """Whether every event that has begun has also ended."""
        return self._tail.endswith(_BORDERS)

    def passed(self, piece: bytes) -> None:
        """Take note of octets that were passed on."""
        last = piece[-_LONGEST_BLANK_LINE:]
        self._tail = (self._tail + last)[-_LONGEST_BLANK_LINE:]

    def rest(self, piece: bytes) -> bytes | None:
        """Return the beginning of the piece that completes the current event; None if none does."""
        joined = self._tail + piece
        for border in _BLANK_LINE.finditer(joined):
            if border.end() > len(self._tail):
                return joined[len(self._tail) : border.end()]
        return None


def last_event(code: Code) -> bytes:
    """Return the event that says why the gateway ends the stream, safe behind any whole event."""
    return b'\n\nevent: gateway.ended\ndata: {"code":"%s"}\n\n' % code.value.encode("ascii")
