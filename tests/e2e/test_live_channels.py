"""Channels as a browser meets them: opened with the cookie, ended with the session (P1, P4, P9)."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from tests.support.dev_world import DevWorld, log_in

pytestmark = pytest.mark.e2e

OPEN_WEBSOCKET = """
url => new Promise((resolve, reject) => {
  window.heard = [];
  window.socket = new WebSocket(url, ["v1.sample"]);
  window.over = new Promise((done) => {
    socket.onclose = ({ code, reason, wasClean }) => {
      done({ code, reason, wasClean });
      reject(code);
    };
  });
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => heard.push(typeof data === "string" ? data : data.byteLength);
  socket.onopen = () => resolve({ protocol: socket.protocol, extensions: socket.extensions });
})
"""

OPEN_EVENTS = """
url => new Promise((resolve) => {
  window.ticks = [];
  window.source = new EventSource(url);
  window.ended = new Promise((done) => {
    source.addEventListener("gateway.ended", (event) => done(JSON.parse(event.data)));
  });
  window.refused = new Promise((done) => {
    source.onerror = () => source.readyState === EventSource.CLOSED && done(true);
  });
  source.addEventListener("tick", (event) => { ticks.push(event.lastEventId); resolve(true); });
})
"""


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def websocket_url(world: DevWorld) -> str:
    return world.home.replace("http:", "ws:") + "/api/live"


def said(page: Page, messages: list[str], count: int) -> Any:
    page.evaluate("messages => messages.forEach((one) => socket.send(one))", messages)
    page.wait_for_function("count => heard.length >= count", arg=count)
    return page.evaluate("heard")


def log_out(page: Page) -> None:
    """By a script in a tab of its own, without leaving the page."""
    status = page.evaluate(
        "fetch('/bff/logout', {method: 'POST', headers: {'X-CSRF': '1'}}).then((a) => a.status)"
    )
    assert status == 200


def test_a_websocket_opens_echoes_and_ends_with_the_session(
    page: Page, context: BrowserContext, dev_world: DevWorld
) -> None:
    log_in(page, dev_world)
    opened = page.evaluate(OPEN_WEBSOCKET, websocket_url(dev_world))
    assert opened == {"protocol": "v1.sample", "extensions": ""}
    assert said(page, ["hello", "ünïcödé"], 2) == ["hello", "ünïcödé"]
    page.evaluate("socket.send(new Uint8Array(100000))")
    page.wait_for_function("() => heard.length === 3")
    assert page.evaluate("heard[2]") == 100000
    other = context.new_page()
    other.goto(dev_world.home)
    log_out(other)
    assert page.evaluate("over") == {
        "code": 4401,
        "reason": "session.ended",
        "wasClean": True,
    }
    with pytest.raises(Error, match="1006"):
        page.evaluate(OPEN_WEBSOCKET, websocket_url(dev_world))


def test_an_event_stream_ticks_and_says_why_it_ends(page: Page, dev_world: DevWorld) -> None:
    log_in(page, dev_world)
    page.evaluate(OPEN_EVENTS, f"{dev_world.home}/api/events")
    page.wait_for_function("() => ticks.length >= 2")
    assert page.evaluate("ticks.slice(0, 2)") == ["1", "2"]
    log_out(page)
    assert page.evaluate("ended") == {"code": "session.ended"}
    assert page.evaluate("refused") is True  # it tried again, and was told 401


def test_ending_the_session_elsewhere_ends_the_channels_here(
    browser: Browser, page: Page, dev_world: DevWorld
) -> None:
    log_in(page, dev_world, "Grace Hopper")
    page.evaluate(OPEN_WEBSOCKET, websocket_url(dev_world))
    page.evaluate(OPEN_EVENTS, f"{dev_world.home}/api/events")
    other = browser.new_context()
    phone = other.new_page()
    log_in(phone, dev_world, "Grace Hopper")
    phone.evaluate("fetch('/bff/sessions', {method: 'DELETE', headers: {'X-CSRF': '1'}})")
    assert page.evaluate("over.then(({ code }) => code)") == 4401
    assert page.evaluate("ended") == {"code": "session.ended"}
    other.close()


@contextmanager
def another_site() -> Iterator[str]:
    """A page of somebody else's on this machine: another site to a browser."""

    class Kittens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Free kittens</title>")

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Kittens)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_a_page_of_another_site_opens_nothing_p1(page: Page, dev_world: DevWorld) -> None:
    log_in(page, dev_world)
    with another_site() as url:
        page.goto(url)
        with pytest.raises(Error, match="1006"):
            page.evaluate(OPEN_WEBSOCKET, websocket_url(dev_world))
    dev_world.program.wait_for("csrf.origin")


def test_a_page_without_a_session_opens_nothing(page: Page, dev_world: DevWorld) -> None:
    page.goto(dev_world.home)
    with pytest.raises(Error, match="1006"):
        page.evaluate(OPEN_WEBSOCKET, websocket_url(dev_world))


def test_closing_passes_a_pages_own_code(page: Page, dev_world: DevWorld) -> None:
    log_in(page, dev_world)
    page.evaluate(OPEN_WEBSOCKET, websocket_url(dev_world))
    page.evaluate("socket.close(3456, 'bye')")
    closed = page.evaluate("over")
    assert (closed["code"], closed["reason"], closed["wasClean"]) == (3456, "bye", True)


def test_the_sample_app_learns_of_a_logout_in_another_tab_at_once(
    page: Page, context: BrowserContext, dev_world: DevWorld
) -> None:
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    log_in(page, dev_world)
    page.get_by_role("button", name="Open a WebSocket").click()
    page.get_by_role("button", name="Say hello").click()
    expect(page.get_by_text("the API says: hello")).to_be_visible()
    other = context.new_page()
    other.goto(dev_world.home)
    log_out(other)
    # Its own look at the session would come up to fifteen seconds later.
    expect(page.get_by_text("Your session has ended")).to_be_visible(timeout=5000)
    assert failures == []
