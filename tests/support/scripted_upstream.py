"""An upstream that answers `/said/N` with its Nth script's octets, and `/next/N` with `next N`."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from socket import SHUT_WR, socket
from socketserver import BaseRequestHandler, ThreadingTCPServer

from tests.support.threaded import in_a_thread

_PAUSE = 0.005  # seconds between two packets, so that they are two


@dataclass(frozen=True)
class Script:
    """What is said to one request; `closes` after it, else the connection serves on."""

    octets: bytes
    closes: bool = False
    in_two: bool = False


class Scripted(ThreadingTCPServer):
    """Reads heads only: nobody sends it a body."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, scripts: Sequence[Script]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.scripts = scripts

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Connection(BaseRequestHandler):
    server: Scripted
    request: socket

    def handle(self) -> None:
        octets = b""
        self.request.settimeout(30)
        with contextlib.suppress(OSError):
            while piece := self.request.recv(65536):
                octets += piece
                head, end, rest = octets.partition(b"\r\n\r\n")
                if not end:
                    continue
                octets = rest
                if not self._answer(head.split(b" ")[1]):
                    return

    def _answer(self, target: bytes) -> bool:
        kind, _, number = target[1:].partition(b"/")
        if kind == b"next":
            body = b"next " + number
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.request.sendall(head + body)
            return True
        script = self.server.scripts[int(number)]
        half = len(script.octets) // 2 if script.in_two else 0
        for part in (script.octets[:half], script.octets[half:]):
            if part:
                self.request.sendall(part)
                time.sleep(_PAUSE if script.in_two else 0)
        if script.closes:
            self.request.shutdown(SHUT_WR)
        return not script.closes


@contextlib.contextmanager
def scripted_upstream(scripts: Sequence[Script]) -> Iterator[Scripted]:
    """Serve on a loopback port for the length of a block."""
    with in_a_thread(Scripted(scripts)) as server:
        yield server
