"""Reading HTTP/1.1 answers off a socket as strictly as RFC 9112 writes them.

A client library forgives; here whatever is not exactly an answer fails the test.
"""

import re
import socket
from dataclasses import dataclass

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [\x20-\x7e]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x21-\x7e\x80-\xff\t ]*)")
_SIZE = re.compile(rb"[0-9A-Fa-f]+")


class Closed(Exception):
    """The other side closed before it began an answer."""


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """One final answer. The body of an event stream is left unread: it has no end."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    def one(self, name: bytes) -> bytes:
        """The value of the field, empty without one."""
        found = self.all(name)
        assert len(found) <= 1, f"{name!r} occurs {len(found)} times"
        return found[0] if found else b""


class AnswerReader:
    """The answers that come in on one connection, in order."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._octets = b""

    def read(self, method: bytes) -> WireAnswer:
        """Return the next final answer; raises `Closed` and `TimeoutError`."""
        while True:
            status, fields = self._head()
            if status >= 200:
                break
        answer = WireAnswer(status, fields, b"")
        lengths = answer.all(b"content-length")
        coding = answer.one(b"transfer-encoding")
        assert len(lengths) <= 1
        assert not (lengths and coding)
        if method == b"HEAD" or status in (204, 304):
            return answer
        if answer.one(b"content-type").startswith(b"text/event-stream"):
            return answer
        if coding:
            assert coding == b"chunked"
            return WireAnswer(status, fields, self._chunks())
        if lengths:
            return WireAnswer(status, fields, self._exactly(int(lengths[0])))
        return WireAnswer(status, fields, self._rest())

    def _head(self) -> tuple[int, tuple[tuple[bytes, bytes], ...]]:
        if not self._octets and not self._more():
            raise Closed
        line = _STATUS_LINE.fullmatch(self._line())
        assert line is not None, "not a status line"
        fields = []
        while octets := self._line():
            field = _FIELD.fullmatch(octets)
            assert field is not None, octets
            fields.append((field[1].lower(), field[2].strip(b" \t")))
        return int(line[1]), tuple(fields)

    def _chunks(self) -> bytes:
        body = b""
        while True:
            size = self._line()
            assert _SIZE.fullmatch(size), size
            if int(size, 16) == 0:
                assert self._line() == b"", "a trailer"
                return body
            body += self._exactly(int(size, 16))
            assert self._exactly(2) == b"\r\n"

    def _line(self) -> bytes:
        while b"\r\n" not in self._octets:
            assert self._more(), f"broken off in a line: {self._octets[-200:]!r}"
        line, _, self._octets = self._octets.partition(b"\r\n")
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._octets) < count:
            assert self._more(), f"broken off {count - len(self._octets)} octets before the end"
        octets, self._octets = self._octets[:count], self._octets[count:]
        return octets

    def _rest(self) -> bytes:
        while self._more():
            pass
        octets, self._octets = self._octets, b""
        return octets

    def _more(self) -> bool:
        try:
            piece = self._link.recv(65536)
        except ConnectionResetError:
            return False
        self._octets += piece
        return bool(piece)


def read_all(link: socket.socket) -> bytes:
    """Return everything until the other side closes."""
    octets = b""
    while piece := link.recv(65536):
        octets += piece
    return octets


def statuses(octets: bytes) -> list[int]:
    """Return the statuses of all answers in what came, well-formed or not."""
    return [int(part[:3]) for part in octets.split(b"HTTP/1.1 ")[1:]]
