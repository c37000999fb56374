"""The gateway and nginx side by side, before one recording upstream (F26)."""

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.http_answer import AnswerReader, WireAnswer
from tests.support.open_gateway import open_gateway
from tests.support.processes import free_port, running
from tests.support.recording_upstream import Recording, fields_but, recording_upstream
from tests.support.strict_http import Request
from tests.support.target_servers import nginx_binary


@dataclass
class Pair:
    """The two proxies and the upstream behind both."""

    gateway: int
    nginx: int
    upstream: Recording

    def forwarded(self, port: int, octets: bytes) -> list[Request]:
        """Send, wait until the proxy has nothing more to say, and return what arrived."""
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            link.sendall(octets.replace(b"PORT", str(self.gateway).encode()))
            link.settimeout(0.25)
            with contextlib.suppress(OSError):
                while link.recv(65536):
                    pass
        time.sleep(0.02)
        return self.upstream.take()

    def answered(self, port: int, octets: bytes) -> tuple[WireAnswer, list[Request]]:
        """Send one whole request, and return its answer and what arrived.

        A connection that stays open is asked once more: that request must be read right.
        """
        here = str(self.gateway).encode()
        octets = octets.replace(b"PORT", here)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            link.sendall(octets)
            answers = AnswerReader(link)
            answer = answers.read(octets.partition(b" ")[0])
            arrived = self.upstream.take()
            if answer.one(b"connection").lower() != b"close":
                link.sendall(b"GET /next HTTP/1.1\r\nHost: localhost:" + here + b"\r\n\r\n")
                assert answers.read(b"GET").body == b"ok"
                assert [request.target for request in self.upstream.take()] == [b"/next"]
        return answer, arrived


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit;
events {{ worker_connections 64; }}
http {{
  access_log off; keepalive_timeout 5; large_client_header_buffers 4 64k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1;
      proxy_set_header Host $http_host; proxy_request_buffering off;
    }}
  }}
}}
"""


@contextlib.contextmanager
def nginx_pair(folder: Path) -> Iterator[Pair]:
    """Run both for the length of a block, as their users run them."""
    with recording_upstream() as upstream, contextlib.ExitStack() as stack:
        port = free_port()
        file = folder / "nginx.conf"
        file.write_text(NGINX.format(folder=folder, port=port, upstream=upstream.port))
        nginx = [nginx_binary(), "-p", str(folder), "-c", str(file), "-e", f"{folder}/error.log"]
        stack.enter_context(running(nginx, folder / "nginx.log")).wait_until_answering(
            f"http://127.0.0.1:{port}/"
        )
        route = {"upstream": f"http://127.0.0.1:{upstream.port}/"}
        gateway = stack.enter_context(open_gateway(folder, {"/": route}, workers="auto"))
        upstream.take()
        yield Pair(gateway.port, port, upstream)


# What each proxy says about itself or decides for its own connection to the upstream.
THEIR_OWN = frozenset({
    b"host", b"connection", b"content-length", b"transfer-encoding",
    b"via", b"x-request-id", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto",
    b"x-forwarded-host",
})  # fmt: skip


def essence(requests: list[Request]) -> list[tuple[bytes, bytes, bytes, object]]:
    return [
        (request.method, request.target, request.body, fields_but(request, THEIR_OWN))
        for request in requests
    ]
