"""An API that tells what reached it, and answers slowly, in part, or not at all when asked to."""

import contextlib
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


class Echo(BaseHTTPRequestHandler):
    """Tells what arrived; `/slow` sends for ever and notes when it may not any more.

    `/silent` never says anything, and notes when it is not asked any more.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body after its head would wait for an ACK, 40 ms
    gone = Event()
    began = Event()  # the first octets of an upload are here
    release = Event()  # the last piece of a held answer may go
    seen: list[str] = []  # noqa: RUF012  one list for the server, on purpose

    def do_GET(self) -> None:
        self.seen.append(self.requestline)
        if self.path.endswith("/slow"):
            self._slow()
            return
        if self.path.endswith("/silent"):
            self._silent()
            return
        if self.path.endswith("/held"):
            self._held()
            return
        if self.path.endswith("/mute"):
            assert self.release.wait(20)
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(min(length, 1000))
        self.began.set()
        body += self.rfile.read(length - len(body))
        answer = json.dumps(
            {"line": self.requestline, "fields": list(self.headers.items()), "length": len(body)}
        ).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815  the server's own naming

    def _held(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "11")
        self.end_headers()
        self.wfile.write(b"first ")
        assert self.release.wait(20)
        self.wfile.write(b"last.")

    def _silent(self) -> None:
        self.began.set()
        with contextlib.suppress(OSError):
            while self.rfile.read(1):
                pass
        self.gone.set()
        self.close_connection = True

    def _slow(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for _ in range(2000):
                self.wfile.write(b"5\r\nagain\r\n")
                time.sleep(0.01)
        except OSError:
            self.gone.set()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # with the usual 5, a crowd's connections are half open and mute


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """Run one, and yield its port."""
    server = _Server(("127.0.0.1", 0), Echo)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
