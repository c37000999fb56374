"""The octets of an answer's head, and what they promise about its body (M9; RFC 9112 section 6.3).

The framing is ours alone. Whatever an application says about it is taken as a wish: a transfer
coding is left out, two equal lengths become one, and statuses without a body get none.
"""

import http
import json
import re
from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache

from gateway.edge.headers import page_fields
from gateway.edge.messages import Field, Fields
from gateway.errors import Code
from gateway.web.problems import PROBLEMS

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_INFORMATIONAL = 200  # statuses below it are not final, and no application sends them
_NO_CONTENT = 204
_BODILESS = frozenset({_NO_CONTENT, 304})
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_LONGEST_NAME = 256
_OURS = frozenset({b"content-length", b"transfer-encoding", b"connection", b"date"})
_RETRY_AFTER: Field = (b"retry-after", b"1")
_HOW_TO_TRY_AGAIN = {Code.CONNECTION_LIMIT: (_RETRY_AFTER,)}


_DATE, _DATE_LINE = b"date: ", b"\r\ndate: "


class Ending(Enum):
    """How a client knows that a body has ended."""

    NONE = auto()  # there is no body, whatever the length says: HEAD, 204, 304
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()  # HTTP/1.0 knows no chunks


def answer_head(
    status: int,
    fields: Iterable[Field],
    *,
    date: Iterable[Field],
    head_only: bool,
    chunks: bool,
    keep_alive: bool,
) -> tuple[bytes, Ending, int, bool]:
    """Return the head, how the body ends, its octets (0 if unknown), and whether to keep on.

    `head_only` says that the method was HEAD; `chunks` that the client speaks HTTP/1.1; `date` is
    our Date line, which an application's own replaces.

    Raises ValueError for a status or a field that HTTP cannot carry.
    """
    lines = [_status_line(status)]
    length, closes = _take_fields(fields, lines, date)
    if head_only or status in _BODILESS:
        ending = Ending.NONE
        if status == _NO_CONTENT:
            length = None  # RFC 9110 section 8.6
    elif length is not None:
        ending = Ending.LENGTH
    elif chunks:
        ending = Ending.CHUNKED
        lines.append(b"transfer-encoding: chunked\r\n")
    else:
        ending, closes = Ending.CLOSE, True
    if length is not None:
        lines.append(b"content-length: %d\r\n" % length)
    if closes or not keep_alive:
        keep_alive = False
        lines.append(b"connection: close\r\n")
    lines.append(b"\r\n")
    head = b"".join(lines)
    # Any CR, LF or NUL within a value would be one too many (L7).
    if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
        raise ValueError("a control character in a field value")
    return head, ending, length or 0, keep_alive


def plain_head(status: int, lines: bytes, date: Iterable[Field]) -> bytes | None:
    """Return the head of an answer that stays on its connection; None for one without a body.

    `lines` are complete but for the Date, which is added where it is missing; they are made of
    fields that went through the pipeline's hygiene, and must not end the head early (L7).
    """
    if status in _BODILESS or b"\r\n\r\n" in lines:
        return None
    if lines.startswith(_DATE) or _DATE_LINE in lines:
        return b"%b%b\r\n" % (_status_line(status), lines)
    ours = b"".join([b"%b: %b\r\n" % line for line in date])
    return b"%b%b%b\r\n" % (_status_line(status), lines, ours)


def _take_fields(
    fields: Iterable[Field], lines: list[bytes], date: Iterable[Field]
) -> tuple[int | None, bool]:
    """Write what is not about framing to `lines`; return the length and whether to close."""
    length: int | None = None
    closes = False
    for spelling, value in fields:
        name = _checked_name(spelling)
        if name not in _OURS:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif name == b"content-length":
            length = _checked_length(value, length)
        elif name == b"connection":
            closes = closes or b"close" in value.lower()
        elif name == b"date":
            date = ((name, value),)
    lines += [b"%b: %b\r\n" % line for line in date]
    return length, closes


def problem(code: Code, detail: str = "") -> tuple[int, Fields, bytes]:
    """Return status, fields and body of a refusal that no application was asked about."""
    known = PROBLEMS[code]
    members: dict[str, object] = {
        "type": "about:blank",
        "title": known.title,
        "status": known.status,
        "code": code.value,
    }
    if detail or known.advice:
        members["detail"] = detail or known.advice
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    fields: Fields = (
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        *page_fields(secure=False),  # whether browsers come over https is not known here
        *_HOW_TO_TRY_AGAIN.get(code, ()),
    )
    return known.status, fields, body


@lru_cache(maxsize=600)
def _status_line(status: int) -> bytes:
    if not _INFORMATIONAL <= status <= 599:  # noqa: PLR2004  RFC 9110 section 15
        raise ValueError("not the status of a final answer")
    try:
        phrase = http.HTTPStatus(status).phrase.encode()
    except ValueError:
        phrase = b""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase)


@lru_cache(maxsize=1024)
def _checked_name(name: bytes) -> bytes:
    if len(name) > _LONGEST_NAME or not _TOKEN.fullmatch(name):
        raise ValueError("a field name that is no token")
    return name.lower()


def _checked_length(value: bytes, before: int | None) -> int:
    if not value.isdigit() or before not in (None, int(value)):
        raise ValueError("a malformed or contradictory Content-Length")
    return int(value)
