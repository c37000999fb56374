"""uvicorn with the holes of its httptools protocol closed, as far as the first version goes.

* Trailers arrive through the same callback as header fields; here they are dropped (L9).
* The request-target reaches the application as it stood on the wire (K1, K4), authority included.
* A lost connection is told to the request that is under way, which is then cancelled (M14).
* What does not parse is answered like every other refusal: a problem document with a code; never
  in the middle of the answer before it (RFC 9112 section 9.3.2).
"""

import asyncio
import contextlib
import importlib.util
import json
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import Code
from gateway.web.connection import Connection

_GRACE = 10  # seconds for requests under way when the server is asked to stop


Refused = Callable[[Code, str], None]
"""Told the code and the peer's address."""


class HardenedProtocol(HttpToolsProtocol):
    """One connection from a browser or a load balancer."""

    max_head = 65536  # octets of request line and fields
    refused: Refused  # told of what never became a request

    _connection: Connection
    _under_way: RequestResponseCycle | None = None  # the oldest request; more may be queued
    _fields_complete = False
    _deaf = False  # nothing that comes in is HTTP any more
    _head_octets = 0
    _field_octets = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Remember whom to tell when the connection is lost."""
        self._connection = Connection(transport.abort)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the requests under way on this connection."""
        super().connection_lost(exc)
        if self._under_way is not None:  # uvicorn tells the newest request only
            self._under_way.disconnected = True
        self._connection.lost()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401  as in uvicorn
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that grows beyond its limit is refused while it grows (K10)."""
        if self._deaf:
            return
        if not self._fields_complete:
            self._head_octets += len(data)
        super().data_received(data)
        if not self._fields_complete and self._head_octets > self.max_head:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Start a request; header fields may come until they are complete."""
        self._fields_complete = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Be ready for the next head on this connection."""
        if not (self._deaf or self.transport.is_closing()):
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
        if self._deaf:
            return
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
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # nothing after it on this connection is HTTP for sure

    def _announces_a_body(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def _unsupported_upgrade_warning(self) -> None:
        """Upgrades are not offered; that a browser asks is no news."""

    def on_body(self, body: bytes) -> None:
        """Drop the body of what was refused."""
        if not (self._deaf or self.transport.is_closing()):
            super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer octets that are not HTTP, and close."""
        self._refuse(400, "Bad Request", Code.REQUEST_MALFORMED, msg)

    def _refuse_head(self) -> None:
        title = "Request Header Fields Too Large"
        detail = f"The limit is {self.max_head} octets."
        self._refuse(431, title, Code.FIELDS_TOO_LARGE, detail)

    def _refuse(self, status: int, title: str, code: Code, detail: str) -> None:
        if self.transport.is_closing() or self._deaf:
            return
        if not self._interrupts():
            self._say_and_close(status, title, code, detail)
        self._deaf = True
        self.refused(code, self.client[0] if self.client else "")

    def _interrupts(self) -> bool:
        """Whether an answer is under way that a refusal would end up in; then it is the last."""
        cycle = self._under_way
        if cycle is None or cycle.response_complete or self.transport.is_closing():
            return False
        if not cycle.more_body:  # what cannot be read came behind it
            cycle.keep_alive = False
            self.pipeline.clear()
            return True
        if cycle.response_started:
            self.transport.abort()  # its own body cannot be read: it must not look whole (M12)
        return cycle.response_started

    def _say_and_close(self, status: int, title: str, code: Code, detail: str) -> None:
        members = {"title": title, "status": status, "code": code.value, "detail": detail}
        body = json.dumps({"type": "about:blank", **members}).encode()
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"cache-control: no-store\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


@dataclass(frozen=True, slots=True)
class Listener:
    """An application and the socket it answers on."""

    app: ASGIApp
    sockets: list[socket.socket]


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises `OSError` with the address in its text."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as failure:
        listening.close()
        raise OSError(
            failure.errno, f"cannot listen on {host}:{port}: {failure.strerror}"
        ) from None
    listening.setblocking(False)  # noqa: FBT003  the socket module's own signature
    return listening


class _Server(uvicorn.Server):
    """A server whose signals are handled once, for all listeners of the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(listener: Listener, max_head: int, refused: Refused) -> _Server:
    settings = {"max_head": max_head, "refused": staticmethod(refused)}
    protocol = type("Protocol", (HardenedProtocol,), settings)
    config = uvicorn.Config(
        listener.app,
        http=protocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,  # forwarded fields are read by our own rule (N1)
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE,
    )
    return _Server(config)


async def serve(listeners: list[Listener], *, max_head: int, refused: Refused) -> None:
    """Serve until SIGINT or SIGTERM, then let requests under way finish."""
    servers = [_server(listener, max_head, refused) for listener in listeners]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await asyncio.gather(
        *(
            server.serve(sockets=listener.sockets)
            for server, listener in zip(servers, listeners, strict=True)
        )
    )


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where there is one."""
    if importlib.util.find_spec("uvloop") is None:  # not built for this system
        return None
    return cast(
        "Callable[[], asyncio.AbstractEventLoop]", importlib.import_module("uvloop").new_event_loop
    )
