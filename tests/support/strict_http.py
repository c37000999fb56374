"""A strict reader of HTTP/1.1, written from RFC 9112 alone and for tests only.

It shares no code and no library with the server: whatever the server takes for a request must be
one here too, octet by octet, and whatever it answers must be an answer here.
"""

import re
from dataclasses import dataclass, field

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Section 3: one space each. llhttp takes several before the target and the version, which RFC 9112
# section 3 allows ("MAY parse on whitespace-delimited word boundaries"), and other protocols' names
# (RTSP, ICE); neither changes where a request ends.
_REQUEST_LINE = re.compile(
    rb"(%b) +([!-~]+) +(?:HTTP|RTSP|ICE)/([0-9]\.[0-9])\r\n" % _TOKEN, re.DOTALL
)
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\t -~\x80-\xff]*)\r\n")
_FIELD_LINE = re.compile(rb"(%b):[ \t]*([\t -~\x80-\xff]*)\r\n" % _TOKEN)
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# Section 7.1.1: a name is a token, a value a token or a string. llhttp takes empty ones; nobody is
# told of them, and the chunk ends where it ends.
_EXTENSION = rb"(?:[ \t]*;[ \t]*(?:%b)?(?:[ \t]*=[ \t]*(?:%b|%b)?)?)*" % (_TOKEN, _TOKEN, _QUOTED)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)%b\r\n" % _EXTENSION)

Fields = tuple[tuple[bytes, bytes], ...]


class Unreadable(Exception):
    """Not HTTP, as far as it goes."""


class Unfinished(Exception):
    """A beginning of HTTP."""


@dataclass
class Request:
    """One request; `whole` is False when its body is cut off or broken."""

    method: bytes
    target: bytes
    version: bytes
    fields: Fields
    body: bytes = b""
    whole: bool = True
    trailers: Fields = ()

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]


@dataclass
class Answer:
    """One final answer, and the interim ones before it."""

    status: int
    fields: Fields
    body: bytes = b""
    interim: list[int] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    @property
    def closes(self) -> bool:
        return _has_token(self.values(b"connection"), b"close")


def read_requests(octets: bytes) -> list[Request]:
    """Every request that stands in the octets, up to the first that nobody should read.

    The last may be one whose head is good and whose body is not, or not all there.
    """
    found: list[Request] = []
    while True:
        octets = octets.lstrip(b"\r\n")  # section 2.2 asks for one empty line at least
        try:
            request, octets = _request_head(octets)
        except (Unreadable, Unfinished):
            return found
        found.append(request)
        try:
            request.body, request.trailers, octets = _request_body(request, octets)
        except _Cut as cut:
            request.body, request.whole = cut.body, False
            return found
        if request.version != b"1.1" or _has_token(request.values(b"connection"), b"close"):
            return found
        if _asks_for_upgrade(request):
            return found


def read_answers(octets: bytes, methods: list[bytes]) -> list[Answer]:
    """Every final answer; all of the octets must be answers, whole ones, in the RFC's grammar.

    `methods` are those of the requests, in order; when they run out, GET is assumed.
    """
    answers: list[Answer] = []
    interim: list[int] = []
    while octets:
        status, fields, octets = _answer_head(octets)
        if status < 200:
            assert not fields, "an interim answer with fields"
            interim.append(status)
            continue
        method = methods[len(answers)] if len(answers) < len(methods) else b"GET"
        answer = Answer(status, fields, interim=interim)
        answer.body, octets = _answer_body(answer, method, octets)
        answers.append(answer)
        interim = []
        if answer.closes:
            assert octets == b"", "octets behind the last answer"
    assert not interim, "an interim answer and no final one"
    return answers


class _Cut(Exception):
    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body


def _request_head(octets: bytes) -> tuple[Request, bytes]:
    line = _REQUEST_LINE.match(octets)
    if line is None:
        raise Unreadable
    method, target, version = line.groups()
    fields, rest = _fields(octets[line.end() :])
    request = Request(method, target, version, fields)
    if version not in (b"1.1", b"1.0"):
        raise Unreadable
    hosts = request.values(b"host")
    if len(hosts) > 1 or (not hosts and version == b"1.1"):
        raise Unreadable
    _check_framing(request)
    return request, rest


def _check_framing(request: Request) -> None:
    codings = request.values(b"transfer-encoding")
    lengths = request.values(b"content-length")
    if codings and (lengths or request.version == b"1.0" or len(codings) > 1):
        raise Unreadable
    if codings and codings[0].strip(b" \t").lower() != b"chunked":
        raise Unreadable
    if len(lengths) > 1 or any(not re.fullmatch(rb"[0-9]+[ \t]*", value) for value in lengths):
        raise Unreadable


def _fields(octets: bytes) -> tuple[Fields, bytes]:
    found = []
    while not octets.startswith(b"\r\n"):
        line = _FIELD_LINE.match(octets)
        if line is None:
            raise Unreadable
        found.append((line[1].lower(), line[2].rstrip(b" \t")))
        octets = octets[line.end() :]
    return tuple(found), octets[2:]


def _request_body(request: Request, octets: bytes) -> tuple[bytes, Fields, bytes]:
    if request.values(b"transfer-encoding"):
        return _chunks(octets)
    length = int((request.values(b"content-length") or [b"0"])[0])
    if len(octets) < length:
        raise _Cut(octets)
    return octets[:length], (), octets[length:]


def _chunks(octets: bytes) -> tuple[bytes, Fields, bytes]:
    body = b""
    while True:
        line = _CHUNK_LINE.match(octets)
        if line is None:
            raise _Cut(body)
        size, octets = int(line[1], 16), octets[line.end() :]
        if size == 0:
            break
        body += octets[:size]
        if octets[size : size + 2] != b"\r\n":
            raise _Cut(body)
        octets = octets[size + 2 :]
    try:
        trailers, octets = _fields(octets)
    except Unreadable:
        raise _Cut(body) from None
    return body, trailers, octets


def _answer_head(octets: bytes) -> tuple[int, Fields, bytes]:
    line = _STATUS_LINE.match(octets)
    if line is None:
        raise Unreadable(octets[:60])
    fields, rest = _fields(octets[line.end() :])
    return int(line[1]), fields, rest


def _answer_body(answer: Answer, method: bytes, octets: bytes) -> tuple[bytes, bytes]:
    codings = answer.values(b"transfer-encoding")
    lengths = answer.values(b"content-length")
    assert len(lengths) <= 1, "two lengths"
    assert codings in ([], [b"chunked"]), "a strange coding"
    assert not (codings and lengths), "a length beside a coding"
    if answer.status == 204:
        assert not codings
        assert not lengths
    if method == b"HEAD" or answer.status in (204, 304):
        assert not codings, "a coding without a body"
        return b"", octets
    if codings:
        body, trailers, rest = _chunks(octets)
        assert not trailers
        return body, rest
    if lengths:
        length = int(lengths[0])
        if len(octets) < length:
            raise Unfinished
        return octets[:length], octets[length:]
    assert answer.closes, "no way to tell where the answer ends"
    return octets, b""


def _asks_for_upgrade(request: Request) -> bool:
    return bool(request.values(b"upgrade")) and _has_token(
        request.values(b"connection"), b"upgrade"
    )


def _has_token(values: list[bytes], token: bytes) -> bool:
    return any(
        part.strip(b" \t").lower() == token for value in values for part in value.split(b",")
    )
