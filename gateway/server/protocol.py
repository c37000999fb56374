"""uvicorn with the holes of its httptools protocol closed, as far as the first version goes.

* Trailers arrive through the same callback as header fields; here they are dropped (L9).
* The request-target reaches the application as it stood on the wire (K1, K4), authority included.
* A lost connection is told to the request that is under way, which is then cancelled (M14).
* What does not parse is answered like every other refusal: a problem document with a code.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.edge.messages import Fields
from gateway.errors import Code, Refused
from gateway.ports import Wire
from gateway.server.wire import SocketWire, switching_protocols
from gateway.web.connection import Connection

_LINGER = 1.0  # seconds for a next request, when the server stops

OnRefusal = Callable[[Code, str], None]
"""Told the code and the peer's address."""


class HardenedProtocol(HttpToolsProtocol):
    """One connection from a browser or a load balancer."""

    max_head = 65536  # octets of request line and fields
    refused: OnRefusal  # told of what never became a request

    _connection: Connection
    _is_last = False  # the next answer is the last one on this connection
    _fields_complete = False
    _head_octets = 0
    _field_octets = 0
    _switchable = False  # the request under way asks for an upgrade, and nothing follows it
    _behind = b""  # octets behind a request for an upgrade

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Remember whom to tell when the connection is lost."""
        self._connection = Connection(transport.abort, self._switch)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the requests under way on this connection."""
        super().connection_lost(exc)
        self._connection.lost()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that grows beyond its limit is refused while it grows (K10)."""
        if self._switchable:
            self._keep(data)
            return
        if not self._fields_complete:
            self._head_octets += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._keep(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if not self._fields_complete and self._head_octets > self.max_head:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Start a request; header fields may come until they are complete."""
        self._fields_complete = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Be ready for the next head on this connection."""
        if not self.transport.is_closing():
            super().on_message_complete()
        self._fields_complete = False
        self._head_octets = self._field_octets = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field; drop a trailer, which httptools hands over in the same way."""
        if not self._fields_complete:
            self._field_octets += len(name) + len(value) + 4  # as on the wire
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request over, with the target's own octets."""
        self._fields_complete = True
        if len(self.url) + self._field_octets > self.max_head:
            self._refuse_head()  # all of it came in one piece
            return
        scope = cast("dict[str, Any]", self.scope)
        scope["gateway.raw_target"] = self.url
        scope["gateway.connection"] = self._connection
        if self.parser.should_upgrade() and self._announces_a_body():
            # httptools reads what follows an Upgrade as another protocol's octets: the body would
            # come back as the next request (RFC 9112 section 11.2).
            detail = "A request that asks for an upgrade cannot carry a body here."
            self._refuse(501, "Not Implemented", Code.UPGRADE_REFUSED, detail)
            return
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # nothing after it on this connection is HTTP for sure
            # RFC 9110 section 7.8: Upgrade means nothing in HTTP/1.0.
            self._switchable = scope["http_version"] == "1.1"

    def _keep(self, data: bytes) -> None:
        """Hold octets behind a request for an upgrade until it is answered (a bounded amount)."""
        self._behind += data
        if len(self._behind) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def _switch(self, fields: Fields) -> Wire:
        cycle = self.cycle
        # With requests still in the pipeline it is an earlier one that is under way.
        if not self._switchable or self.pipeline or cycle.response_started:
            raise Refused(Code.UPGRADE_REFUSED)
        octets = switching_protocols(fields)
        cycle.response_started = cycle.response_complete = True
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        del self.parser  # its callbacks would keep all of this alive
        if not self.transport.is_closing():
            self.transport.write(octets)
        counted = cast("set[object]", self.connections)
        return SocketWire(self.transport, self._behind, counted)

    def _announces_a_body(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def _unsupported_upgrade_warning(self) -> None:
        """Upgrades are not offered; that a browser asks is no news."""

    def on_body(self, body: bytes) -> None:
        """Drop the body of what was refused."""
        if not self.transport.is_closing():
            super().on_body(body)

    def shutdown(self) -> None:
        """Say `Connection: close` with the next answer; close only what stays idle.

        To close an idle connection at once would lose the request that is on its way here.
        """
        self._is_last = True
        if not self._is_idle() and not self.cycle.response_started:
            self.cycle.keep_alive = False
        self.loop.call_later(_LINGER, self._close_if_idle)

    def _is_idle(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer octets that are not HTTP, and close."""
        self._refuse(400, "Bad Request", Code.REQUEST_MALFORMED, msg)

    def _refuse_head(self) -> None:
        title = "Request Header Fields Too Large"
        detail = f"The limit is {self.max_head} octets."
        self._refuse(431, title, Code.FIELDS_TOO_LARGE, detail)

    def _refuse(self, status: int, title: str, code: Code, detail: str) -> None:
        if self.transport.is_closing():
            return
        members = {"title": title, "status": status, "code": code.value, "detail": detail}
        body = json.dumps({"type": "about:blank", **members}).encode()
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"cache-control: no-store\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        self.refused(code, self.client[0] if self.client else "")
