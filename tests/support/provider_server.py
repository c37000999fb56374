"""The scripted provider, and an API that answers everything, on loopback: for real gateways."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gateway.adapters.system import SystemClock
from gateway.oidc.back_channel import BackChannelRequest
from tests.support.provider import FakeProvider
from tests.support.threaded import in_a_thread


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body after its head would wait for an ACK, 40 ms

    def answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # whoever asked has gone
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *_: object) -> None:
        return


class _Anything(_Quiet):
    """Answers `ok` to every method there is, once it has read the body."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._ok
        raise AttributeError(name)

    def _ok(self) -> None:
        if self.headers.get("transfer-encoding"):
            while size := int(self.rfile.readline().strip() or b"0", 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("content-length") or 0))
        self.answer(200, "text/plain", b"ok")


@contextlib.contextmanager
def _serving(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    with in_a_thread(ThreadingHTTPServer(("127.0.0.1", port), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@contextlib.contextmanager
def serving_api() -> Iterator[str]:
    """Serve `ok` for the length of a block; gives the origin."""
    with _serving(_Anything) as origin:
        yield origin


@contextlib.contextmanager
def serving_provider(port: int = 0) -> Iterator[FakeProvider]:
    """Serve a provider's back channel for the length of a block, at this port or any.

    The browser's side of a login is the test's own: see `_authorize`.
    """
    provider = FakeProvider(SystemClock())
    connections: set[socket.socket] = set()

    class BackChannel(_Quiet):
        def do_GET(self) -> None:
            connections.add(self.connection)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fields = tuple(
                (name.lower().encode(), value.encode()) for name, value in self.headers.items()
            )
            request = BackChannelRequest(self.command, provider.issuer + self.path, fields, body)
            answer = asyncio.run(provider.send(request))
            self.answer(answer.status, answer.content_type, answer.body)

        do_POST = do_GET  # noqa: N815  the server's own naming

    with _serving(BackChannel, port) as provider.issuer:
        try:
            yield provider
        finally:
            for one in tuple(connections):  # whoever is gone has no open connections
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
