"""The benchmark's scripted browser, on a site that answers by a script."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.login import Browser, log_in, many_logins
from bench.programs import BenchError
from tests.support.threaded import in_a_thread


class Site(BaseHTTPRequestHandler):
    """`/login` goes to the provider and back, `/home` is where a login ends."""

    protocol_version = "HTTP/1.1"
    count = 0

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        port = self.headers["host"].rpartition(":")[2]
        steps = {
            "/login": (303, f"http://127.0.0.1:{port}/auth", ["attempt=1; HttpOnly"]),
            "/auth": (303, f"http://localhost:{port}/callback", ["at_provider=1"]),
            "/loop": (302, "/loop", []),
        }
        if path == "/callback":
            type(self).count += 1
            assert "attempt=1" in self.headers["cookie"]
            assert "at_provider" not in self.headers["cookie"]
            gone = "attempt=; Max-Age=0", "other=x; expires=Thu, 01 Jan 1970 00:00:00 GMT"
            steps[path] = (302, "/home", [f"session={self.count}; Secure; HttpOnly", *gone])
        status, location, cookies = steps.get(path, (200, "", []))
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        for cookie in cookies:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Stay silent."""


@pytest.fixture
def port() -> Iterator[int]:
    with in_a_thread(ThreadingHTTPServer(("127.0.0.1", 0), Site)) as server:
        yield server.server_port


def test_a_login_ends_with_the_cookies_a_browser_would_keep(port: int) -> None:
    origin, issuer = f"http://localhost:{port}", f"http://127.0.0.1:{port}"
    browser = log_in(origin, "/login", issuer, {})
    assert browser.cookies(origin).startswith("session=")
    assert ";" not in browser.cookies(origin)
    assert browser.provider == {"at_provider": "1"}
    browser.close()


def test_many_logins_are_as_many_sessions(port: int) -> None:
    origin, issuer = f"http://localhost:{port}", f"http://127.0.0.1:{port}"
    assert len(set(many_logins(origin, "/login", issuer, 60))) == 60
    assert many_logins(origin, "/login", issuer, 0) == []


def test_logging_in_stops_when_the_time_is_over(port: int) -> None:
    origin, issuer = f"http://localhost:{port}", f"http://127.0.0.1:{port}"
    assert many_logins(origin, "/login", issuer, 50, seconds=-1) == []


def test_a_login_that_never_ends_is_an_error(port: int) -> None:
    browser = Browser(f"http://127.0.0.1:{port}")
    with pytest.raises(BenchError, match="never ends"):
        browser.navigate(f"http://localhost:{port}/loop")
    browser.close()
