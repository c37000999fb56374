"""What a client sends, octet by octet: the parser's callbacks, and every limit on size (K10, M8).

httptools does the parsing. What it leaves open is closed here: trailers arrive through the same
callback as header fields and are dropped (L9), and everything that may grow has a bound. A
callback stops the parser by raising `Stop`; nothing behind a refusal is read as a request.
"""

import logging
import math
import re
from typing import Any

import httptools

from gateway.errors import Code, Refused
from gateway.server.body_clock import BodyClock
from gateway.server.deadlines import Phase, TimedConnection
from gateway.server.exchange import HIGH_WATER, Exchange
from gateway.server.head_rules import fields_too_large, judge_head, trimmed
from gateway.server.heads import Head, about_request, is_whole
from gateway.web.connection import Connection

_log = logging.getLogger("gateway.server")

_LINE = 64  # octets of a request line besides its target
_SIZE_LINE = 16  # octets around a chunk: its size, two line ends
_UNKNOWN_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64} [!-~]+ HTTP/1\.[01]\r")


class Stop(Exception):
    """Tells the parser to read no further; whatever there is to say has been said."""


class ReadingConnection(TimedConnection):
    """The part of a connection that turns octets into requests, or refuses them."""

    newest: Exchange | None = None  # the last request whose head was complete
    behind: bytes | None = None  # octets behind a request for an upgrade
    connection: Connection

    _place: dict[str, Any]  # what of a scope is the same for every request that comes here
    _plain: Head | None = None  # a request without a body that has just been read

    _fields_complete = False
    _piece = 0  # octets that came last
    _head_octets = 0  # in pieces that began after the last request had ended
    _begun_within = 0  # octets of the piece in which this request began
    _beside_body = 0  # octets of a body, as they came, that are not its content

    def located(self) -> dict[str, Any]:
        """Return what of a scope follows from the connection."""
        return {
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "gateway.connection": self.connection,
        }

    @property
    def has_said_something(self) -> bool:
        """Whether anything of the next request has come."""
        return self._head_octets > 0 or self._begun_within > 0

    @property
    def asks_for_head(self) -> bool:
        """Whether the request that is coming in is a HEAD, as far as is known."""
        return self._begun_within > 0 and self.url != b"" and self.parser.get_method() == b"HEAD"

    def begin(self, exchange: Exchange) -> None:
        """A request's head is complete and acceptable."""
        raise NotImplementedError

    def refuse(self, refusal: Refused) -> None:
        """Nothing that follows is read; `refusal` is the last answer on this connection."""
        raise NotImplementedError

    def body_arrived(self, exchange: Exchange) -> None:
        """A request's body is complete."""
        raise NotImplementedError

    def date(self) -> list[tuple[bytes, bytes]]:
        """Return the Date line; uvicorn renews it every second."""
        return self.server_state.default_headers

    def may_stay(self, exchange: Exchange) -> bool:
        """Whether the connection outlives the answer, as far as can be said at its beginning."""
        raise NotImplementedError

    def finished(self, exchange: Exchange) -> None:
        """The last octet of an answer has been written."""
        raise NotImplementedError

    def ended(self, exchange: Exchange) -> None:
        """An application has returned."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that grows beyond its limits is refused while it grows (K10)."""
        if self.deaf:
            self.discard(data)
            return
        if self.behind is not None:
            self._keep(data)
            return
        at_a_border = not (self._fields_complete or self.has_said_something)
        if at_a_border and (known := self._remembered(data)) is not None:
            self._again(known)
            return
        self._piece = len(data)
        if self._fields_complete:
            self._beside_body += self._piece
        else:
            self._head_octets += self._piece
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._keep(data[upgrade.args[0] :])
        except httptools.HttpParserError as failure:
            self._unreadable(failure, data)
        else:
            self._check_growth()
            if self._plain is not None:
                if at_a_border and is_whole(data):
                    self.clients.heads.keep(data, self._plain)
                self._plain = None

    def _remembered(self, data: bytes) -> Head | None:
        heads = self.clients.heads
        return heads.find(data) or heads.find_beside(data, self.clients.limits.max_target_bytes)

    def _again(self, known: Head) -> None:
        """Begin a request whose very octets have come before, if for another target."""
        scope = {**known.scope, **self._place}
        self.newest = exchange = Exchange(
            self, scope, unread=0, continue_owed=False, keep_alive=True, upgrade=False
        )
        exchange.body_complete = True
        self.phase, self.deadline = Phase.ANSWER, math.inf
        self.begin(exchange)

    def _check_growth(self) -> None:
        limits = self.clients.limits
        if self._fields_complete:
            self._beside_body = max(0, self._beside_body)
            if self._beside_body > limits.max_header_bytes:
                self._bad_body("Too much of the body is not its content.")
        elif self._head_octets > limits.max_target_bytes + limits.max_header_bytes + _LINE:
            self.refuse(fields_too_large(limits))

    def _unreadable(self, failure: httptools.HttpParserError, data: bytes) -> None:
        if self.deaf:
            return  # it was we who stopped the parser
        if isinstance(failure, httptools.HttpParserCallbackError):
            _log.error("internal error", exc_info=failure)
            self.abort()
        elif self._fields_complete:
            self._bad_body("The body is not well-formed.")
        elif (
            isinstance(failure, httptools.HttpParserInvalidMethodError)
            and self._head_octets == len(data)  # the request began where the piece did
            and _UNKNOWN_METHOD.match(data)
        ):
            self.refuse(Refused(Code.METHOD_NOT_IMPLEMENTED))
        else:
            self.refuse(Refused(Code.REQUEST_MALFORMED, "This is not well-formed HTTP/1.1."))

    def _bad_body(self, detail: str) -> None:
        self.fail_body(Refused(Code.REQUEST_MALFORMED, detail))

    def fail_body(self, refusal: Refused) -> None:
        """Tell the application where it asks for more of the body; it is who answers."""
        self.deaf = True
        self.deadline = math.inf
        if self.newest is not None:
            self.newest.fail(refusal)
            if self.newest.answered:
                self.linger()

    def _keep(self, data: bytes) -> None:
        """Hold octets behind a request for an upgrade until it is answered (a bounded amount)."""
        self.behind = (self.behind or b"") + data
        if len(self.behind) > HIGH_WATER:
            self.pause_reading()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        """Start a request; header fields may come until they are complete."""
        if self.deaf:
            raise Stop
        if self.phase is not Phase.HEAD:
            self.await_in(Phase.HEAD, self.clients.limits.header_timeout)
        self._begun_within = self._piece
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """Take the request-target, or a piece of it (K10)."""
        self.url += url
        if len(self.url) > self.clients.limits.max_target_bytes:
            self.refuse(Refused(Code.TARGET_TOO_LONG))
            raise Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field, or a trailer, which httptools hands over in the same way."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Judge the head, then hand the request over."""
        version, method = self.parser.get_http_version(), self.parser.get_method()
        upgrade = self.parser.should_upgrade()
        try:
            framing = judge_head(
                method,
                version,
                self.headers,
                self.clients.limits,
                at_most=self._head_octets + self._begun_within,
                upgrade=upgrade,
            )
        except Refused as refusal:
            self.refuse(refusal)
            raise Stop from None
        self._fields_complete = True
        fields = trimmed(self.headers)
        self.headers = []  # trailers go where nobody looks (L9); they count as beside the body
        # Behind a request for an upgrade nothing on this connection is HTTP for sure.
        keep_alive = version == "1.1" and not upgrade and self.parser.should_keep_alive()
        about = about_request(method, version, self.url, fields, self.asgi_version)
        if keep_alive and framing.length == 0:
            self._plain = Head(about)
        self.newest = exchange = Exchange(
            self,
            {**about, **self._place},
            unread=framing.length,
            continue_owed=framing.expects_continue,
            keep_alive=keep_alive,
            upgrade=version == "1.1" and upgrade,
        )
        if framing.length == 0:
            self.phase, self.deadline = Phase.ANSWER, math.inf
        else:
            self._body_begins(is_sent=not framing.expects_continue)
        self.begin(exchange)

    def _body_begins(self, *, is_sent: bool) -> None:
        self.body_clock = BodyClock(self.clients)
        if is_sent:
            self.await_body()
        else:  # it is the client who waits, for a 100
            self.body_clock.stop()
            self.phase, self.deadline = Phase.ANSWER, math.inf

    def more_wanted(self) -> None:
        """Wait for more of the body from now on."""
        if self.transport.is_closing() or self.deaf:
            return
        if self.flow.read_paused:
            self.resume_reading()
            self.await_body()
        elif self.phase is Phase.ANSWER:
            self.await_body()

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on; read no more while the application lags behind."""
        if self.newest is None:
            return
        self._beside_body -= len(body)
        if self.body_clock is not None:
            self.body_clock.took(len(body))
        if self.phase is not Phase.REST:
            self.await_body()
        if not self.newest.feed(body):
            self.pause_reading()

    def on_chunk_header(self) -> None:
        """Allow each chunk its size line; what else there is beside content is counted (M8)."""
        self._beside_body -= _SIZE_LINE

    def on_message_complete(self) -> None:
        """Be ready for the next head on this connection."""
        self._fields_complete = False
        self._head_octets = self._begun_within = self._beside_body = 0
        self.body_clock = None
        exchange = self.newest
        if exchange is None:
            return
        exchange.complete()
        if not (exchange.keep_alive or exchange.upgrade):
            self.deaf = True
        if self.phase is not Phase.REST:
            self.phase, self.deadline = Phase.ANSWER, math.inf
        self.body_arrived(exchange)
