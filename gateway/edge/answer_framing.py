"""Where an upstream's answer ends, and whether its connection may be used again.

The rules are RFC 9112 sections 6 and 9.3, without what they permit a recipient to guess: an answer
whose end two readers could see in two places is refused, for the second reader may be a browser
that gets another user's octets (M1–M4, M9).
"""

import re
from math import inf

from gateway.edge.messages import Fields

CHUNKED = -1
UNTIL_CLOSE = -2

MAX_HEAD_OCTETS = 65536
MAX_FIELDS = 256
MAX_INTERIM = 16
"""How many 1xx may come before the final answer; more is a storm, not a hint (M10)."""

_OF_INTEREST = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_WITHOUT_BODY = frozenset({204, 304})
_FIRST_FINAL = 200
_STATUSES = range(100, 600)
_KEPT_FOR = re.compile(rb"(?:^|[,; \t])timeout=\"?([0-9]{1,6})", re.IGNORECASE)
_ON_THE_WAY = 1.0  # seconds in which a request may cross with the server's goodbye
_MOST_DIGITS = 18  # below 2**63, so that nobody's integer overflows
_TEXT = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])  # RFC 9112 section 4


class MalformedAnswer(ValueError):
    """Octets that are no answer, or more than one; the text is ours and names the rule."""


def answer_framing(
    status: int, fields: Fields, *, to_head: bool, is_http_1_0: bool
) -> tuple[int, bool]:
    """Return how long the body is and whether the connection persists, as far as the head tells.

    The length is in octets, or CHUNKED or UNTIL_CLOSE. Field names are lower case; `to_head` says
    whether the request's method was HEAD. Raises MalformedAnswer for a status out
    of range, a length that is no number or differs from another, a coding besides chunked, a coding
    beside a length or in HTTP/1.0, and an interim answer with either.
    """
    if status not in _STATUSES:
        raise MalformedAnswer("a status out of range")
    length: bytes | None = None
    coding: bytes | None = None
    persistent = not is_http_1_0
    for name, value in fields:
        if name not in _OF_INTEREST:
            continue
        if name == b"content-length":
            if length is not None and value != length:
                raise MalformedAnswer("two content-lengths")
            length = value
        elif name == b"connection":
            persistent = persistent and not _says_close(value)
        elif coding is not None:
            raise MalformedAnswer("two transfer-codings")
        else:
            coding = value
    octets = _octets(length, coding, is_http_1_0=is_http_1_0)
    if status < _FIRST_FINAL and octets not in (0, UNTIL_CLOSE):
        raise MalformedAnswer("an interim answer with a body")  # the next head would be its octets
    if to_head or status in _WITHOUT_BODY or status < _FIRST_FINAL:
        return 0, persistent
    return octets, persistent and octets != UNTIL_CLOSE


def check_reason(reason: bytes) -> None:
    """Raise MalformedAnswer for a reason phrase with control characters (L7)."""
    if reason.translate(None, _TEXT):
        raise MalformedAnswer("a control character in the status line")


def announced_rest(fields: Fields) -> float:
    """Return for how many seconds a connection may lie idle, by the server's own word.

    A request that meets a server about to close is lost, and a POST is not sent again: so less than
    the server says (`Keep-Alive: timeout=5` is what many send). Infinity when it says nothing.
    """
    for name, value in fields:
        if name == b"keep-alive":
            kept = _KEPT_FOR.search(value)
            return max(0.0, int(kept[1]) - _ON_THE_WAY) if kept else inf
    return inf


def _octets(length: bytes | None, coding: bytes | None, *, is_http_1_0: bool) -> int:
    if coding is not None:
        if length is not None or is_http_1_0:
            raise MalformedAnswer("a transfer-coding beside a content-length, or in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise MalformedAnswer("a transfer-coding that is not just chunked")
        return CHUNKED
    if length is None:
        return UNTIL_CLOSE
    if not length.isdigit() or len(length) > _MOST_DIGITS:
        raise MalformedAnswer("a content-length that is no number")
    return int(length)


def _says_close(value: bytes) -> bool:
    return any(option.strip() == b"close" for option in value.lower().split(b","))
