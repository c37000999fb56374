"""One answer, read from octets as they come; no socket, no clock.

httptools (llhttp) reads heads and chunks. Measured on httptools 0.9.0, it lets pass what is closed
here or in `edge/answer_framing`: empty lines before the status line; RTSP/1.0, HTTP/2.0 and
HTTP/0.9; statuses such as 099 and 999; control characters in the reason phrase; lengths of 2**64-1;
`gzip, chunked`, a doubled `chunked`, `chunked` in HTTP/1.0, and any unknown coding as a body until
the connection closes; trailers through the callback for header fields (L9); a second answer behind
the first, whose body it would deliver as more of the first; interim and HEAD answers with a body.
So it is given exactly the head, and then nothing but chunks.
"""

from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.adapters.http1_upstream.answer_heads import AnswerHead, AnswerHeads
from gateway.edge.answer_framing import (
    CHUNKED,
    MAX_FIELDS,
    MAX_HEAD_OCTETS,
    MAX_INTERIM,
    UNTIL_CLOSE,
    MalformedAnswer,
    answer_framing,
    check_reason,
)
from gateway.edge.messages import Field, Fields

_SWITCHING = 101
_FIRST_FINAL = 200
_END_OF_HEAD = b"\r\n\r\n"
_HTTP_1_1 = b"HTTP/1.1 "
_HTTP_1_0 = b"HTTP/1.0 "


class AnswerReader:
    """Reads one final answer, and drops the interim ones before it (M10).

    `status` is 0 until the final head is complete; then `fields` hold its lines. `pieces` is the
    body as far as it has come; whoever takes pieces removes them. `complete` says that nothing of
    the answer is missing, `persistent` whether the connection may carry another: it may not when
    more octets came than belong to the answer. After a 101 that was asked for, `switched` is true
    and `pieces` hold what followed.
    """

    __slots__ = (
        "_barren",
        "_ended",
        "_fields",
        "_head_is_in",
        "_heads",
        "_interim",
        "_left",
        "_parser",
        "_raw",
        "_tail",
        "_to_head",
        "_upgrade",
        "complete",
        "fields",
        "known",
        "on_body",
        "persistent",
        "pieces",
        "status",
        "switched",
    )

    def __init__(
        self,
        *,
        to_head: bool = False,
        upgrade: bool = False,
        heads: AnswerHeads | None = None,
    ) -> None:
        """`to_head`: the method is HEAD. `upgrade`: a 101 has been asked for."""
        self._to_head = to_head
        self._upgrade = upgrade
        # What ends an answer to HEAD, or to a request for an upgrade, is not in its head alone.
        self._heads = None if to_head or upgrade else heads
        self._raw = b""  # the head as far as it has come, when it did not come at once
        self._interim = 0
        self._left = 0
        self._fields: list[Field] = []
        self._head_is_in = False
        self._parser: HttpResponseParser | None = None
        self.status = 0
        self.fields: Fields = ()
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # the parser's callback for what is in chunks
        self.complete = False
        self.persistent = False
        self.switched = False
        self.known: dict[str, Any] = {}  # what others find to follow from the head

    def feed(self, octets: bytes) -> None:
        """Read on. Raises MalformedAnswer; what came before it may be taken, nothing after it."""
        while not self.status:
            octets = self._read_head(octets)
            if not octets:
                return
        left = self._left
        if left == CHUNKED:
            self._read_chunks(octets)
        elif self.switched or left == UNTIL_CLOSE:
            self.pieces.append(octets)
        elif len(octets) < left:
            self.pieces.append(octets)
            self._left = left - len(octets)
        else:
            if len(octets) > left:
                self.persistent = False
                octets = octets[:left]
            if left:
                self.pieces.append(octets)
            self._left = 0
            self.complete = True

    def end(self) -> None:
        """The upstream has ended the connection in order. Raises MalformedAnswer when too soon."""
        if not self.status or self._left != UNTIL_CLOSE:
            raise MalformedAnswer("broken off")
        self.complete = True

    def forget_parser(self) -> None:
        """Nothing more is read: free the parser, which knows us by our methods."""
        self._parser = None

    def _read_head(self, octets: bytes) -> bytes:
        """Return what lies behind the head, or nothing when more of it has to come."""
        before = len(self._raw)
        if self._heads is not None and not (before or self._interim):
            rest = self._read_again(octets, self._heads)
            if rest is not None:
                return rest
        raw = self._raw + octets if before else octets
        end = raw.find(_END_OF_HEAD, before - 3 if before > 3 else 0)  # noqa: PLR2004  it may lie across
        if (len(raw) if end < 0 else end) > MAX_HEAD_OCTETS:
            raise MalformedAnswer("a head of more octets than we read")
        parser = self._parser
        if parser is None:
            parser = self._parser = HttpResponseParser(self)
        try:
            parser.feed_data(octets if end < 0 else octets[: end + 4 - before])
        except (HttpParserError, HttpParserUpgrade) as fault:
            # The parser stops at every 101, which is judged here.
            if not self._head_is_in or parser.get_status_code() != _SWITCHING:
                raise MalformedAnswer("a head that does not parse") from fault
        if end < 0:
            self._raw = raw
            return b""
        is_http_1_0 = raw.startswith(_HTTP_1_0)
        if not self._head_is_in or not (is_http_1_0 or raw.startswith(_HTTP_1_1)):
            raise MalformedAnswer("no status line of HTTP/1.1 or HTTP/1.0")
        self._raw = b""
        self._judge_head(parser.get_status_code(), is_http_1_0=is_http_1_0)
        if self._heads is not None and self._left >= 0 and not (before or self._interim):
            self._keep(raw[: end + 4], self._heads)
        return raw[end + 4 :]

    def _keep(self, octets: bytes, heads: AnswerHeads) -> None:
        if heads.is_worth_keeping(octets, self.fields):
            known = self.known
            heads.keep(
                octets, AnswerHead(self.status, self.fields, self._left, self.persistent, known)
            )

    def _read_again(self, octets: bytes, heads: AnswerHeads) -> bytes | None:
        """Read a head that has come before, octet by octet; None if it has not."""
        end = octets.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        head = heads.find(octets[:end])
        if head is None:
            return None
        self.status, self.fields, self._left = head.status, head.fields, head.length
        self.persistent, self.known = head.persistent, head.known
        self.complete = not self._left
        return octets[end:]

    def _judge_head(self, status: int, *, is_http_1_0: bool) -> None:
        fields = tuple(self._fields)
        if len(fields) > MAX_FIELDS:
            raise MalformedAnswer("more fields than we read")
        length, persistent = answer_framing(
            status, fields, to_head=self._to_head, is_http_1_0=is_http_1_0
        )
        if status < _FIRST_FINAL:
            self._judge_interim(status)
            if not self.switched:
                return
        self.status = status
        self.fields = fields
        self.persistent = persistent and not self.switched
        self._left = length
        if length == CHUNKED:
            self._ended = False
            self._barren = 0
            self._tail = b""
        else:
            self.complete = not length and not self.switched
            self._parser = None  # it knows us by our methods: a cycle that nobody should collect

    def _judge_interim(self, status: int) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise MalformedAnswer("a storm of interim answers")
        if status == _SWITCHING:
            if not self._upgrade:
                raise MalformedAnswer("a 101 nobody asked for")
            self.switched = True
        self._fields = []
        self._head_is_in = False
        self._parser = None

    def _read_chunks(self, octets: bytes) -> None:
        parser = self._parser
        if parser is None:  # a chunked answer is complete, and more comes
            self.persistent = False
            return
        pieces = len(self.pieces)
        try:
            parser.feed_data(octets)
        except HttpParserError as fault:
            if not self._ended:
                raise MalformedAnswer("chunks that do not parse") from fault
            self.persistent = False
        tail = self._tail = (self._tail + octets[-5:])[-5:]
        if self._ended:
            self.complete = True
            self._parser = None
            # A chunked body ends in one empty line; the parser skips further ones in silence.
            if not tail.endswith(_END_OF_HEAD) or tail.startswith(b"\n"):
                self.persistent = False
        elif len(self.pieces) > pieces:
            self._barren = 0
        else:
            # Extensions and trailers, for ever (M8): nobody waits for the end of those.
            self._barren += len(octets)
            if self._barren > MAX_HEAD_OCTETS:
                raise MalformedAnswer("chunk extensions or trailers of more octets than we read")

    # -- what the parser calls ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Stop where a second answer begins: its octets are nobody's."""
        if self._head_is_in:
            raise MalformedAnswer("octets behind the answer")

    def on_status(self, reason: bytes) -> None:
        """Look at the reason phrase; nobody is told it."""
        if reason != b"OK":
            check_reason(reason)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field. Trailers come here too: after the head nobody looks at the list (L9)."""
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The empty line has been read."""
        self._head_is_in = True

    def on_message_complete(self) -> None:
        """The last chunk has been read."""
        self._ended = True
