"""An upstream that writes down what arrives, octet by octet, and answers `ok`."""

import contextlib
import threading
from collections.abc import Iterator
from socket import socket
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

from tests.support.strict_http import Request, read_requests
from tests.support.threaded import in_a_thread

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Recording(ThreadingTCPServer):
    """Reads one request at a time from each connection, strictly."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.arrived: list[Request] = []
        self.strange: list[bytes] = []  # what came and was no request, or not all of one
        self.open = 0
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def take(self) -> list[Request]:
        """What has arrived since the last time."""
        with self.lock:
            taken, self.arrived = self.arrived, []
            return taken


class _Connection(BaseRequestHandler):
    server: Recording
    request: socket

    def handle(self) -> None:
        octets = b""
        self.request.settimeout(30)
        with contextlib.suppress(OSError):
            while piece := self.request.recv(65536):
                octets += piece
                requests = read_requests(octets)
                if len(requests) == 1 and requests[0].whole:
                    with self.server.lock:
                        self.server.arrived += requests
                    octets = b""
                    self.request.sendall(OK)
        if octets:
            with self.server.lock:
                self.server.strange.append(octets)


@contextlib.contextmanager
def recording_upstream() -> Iterator[Recording]:
    """Serve on a loopback port for the length of a block."""
    with in_a_thread(Recording()) as server:
        yield server


def fields_but(request: Any, without: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """The request's fields in order, except those named."""
    return [(name, value) for name, value in request.fields if name not in without]
