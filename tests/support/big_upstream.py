"""An upstream of big bodies: it sends and takes as much as it is asked to, as fast as it can.

`GET /down/N` sends N octets; `POST /up` takes the body, and says how much it was. While `open` is
cleared it neither sends nor reads on. Blocking sockets in threads: the octets pass through no
event loop of the test's. With a `pause` it rests for so many seconds after every `STRIDE` octets of
a body it takes.
"""

import contextlib
import re
import socket
import socketserver
import time
from collections.abc import Iterator
from threading import Event, Thread

PIECE = 1 << 18
STRIDE = 64 << 20
_LENGTH = re.compile(rb"content-length: ([0-9]+)")


class BigUpstream(socketserver.ThreadingTCPServer):
    """`sent` and `taken` are what it has done so far, of all requests together."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = int(self.server_address[1])
        self.open = Event()
        self.open.set()
        self.sent = self.taken = 0
        self.pause = 0.0

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever leaves leaves."""


class _Handler(socketserver.BaseRequestHandler):
    request: socket.socket
    server: BigUpstream

    def handle(self) -> None:
        while True:
            octets = b""
            while b"\r\n\r\n" not in octets:
                piece = self.request.recv(65536)
                if not piece:
                    return
                octets += piece
            head, _, rest = octets.partition(b"\r\n\r\n")
            if head.startswith(b"GET /down/"):
                self._send(int(head.split(b" ")[1].rpartition(b"/")[2]))
            else:
                length = _LENGTH.search(head.lower())
                self._take(int(length[1]) if length else 0, len(rest))

    def _send(self, left: int) -> None:
        self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % left)
        piece = memoryview(bytes(PIECE))
        while left:
            self.server.open.wait(30)
            count = self.request.send(piece[:left])
            left -= count
            self.server.sent += count

    def _take(self, length: int, taken: int) -> None:
        self.server.taken += taken
        room = bytearray(PIECE)
        while taken < length:
            self.server.open.wait(30)
            count = self.request.recv_into(room)
            if not count:
                return
            if self.server.pause and (taken + count) // STRIDE > taken // STRIDE:
                time.sleep(self.server.pause)
            taken += count
            self.server.taken += count
        answer = b"%d" % taken
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer)
        self.request.sendall(head + answer)


@contextlib.contextmanager
def big_upstream() -> Iterator[BigUpstream]:
    """Serve for the length of a block."""
    with BigUpstream() as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.open.set()
            server.shutdown()
