"""A real browser, a certified provider, a real Redis, two gateway processes."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.conftest import Fleet
from tests.support.pictures import picture, stay_on_the_hop_page

pytestmark = pytest.mark.e2e

GONE = -2  # the server's word for the time a key has left that has run out by now

FETCH = """async ([path, method]) => {
  const signal = AbortSignal.timeout(10000); // nothing takes so long, whatever fails
  const answer = await fetch(path, {method, headers: {"X-CSRF": "1"}, signal});
  const text = await answer.text();
  return {status: answer.status, headers: [...answer.headers], text};
}"""


def fetch(page: Page, path: str, method: str = "GET") -> dict[str, Any]:
    """What the application's own script sees."""
    answer: dict[str, Any] = page.evaluate(FETCH, [path, method])
    return answer


def members(answer: dict[str, Any]) -> Any:
    return json.loads(answer["text"])


def log_in(page: Page, home: str, account: str = "ada", return_to: str = "/") -> None:
    page.goto(f"{home}/bff/login?return_to={return_to}")
    page.fill("input[name=login]", account)
    page.click("button[value=login]")
    page.wait_for_url(f"{home}{return_to}")


@pytest.fixture
def context(browser: Browser) -> Any:
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def test_a_person_logs_in_calls_the_api_reloads_and_logs_out(
    page: Page, context: BrowserContext, fleet: Fleet
) -> None:
    home = fleet.homes[0]
    log_in(page, home)
    # Right after the login the Strict cookie is there, and a reload keeps it: no loop.
    assert members(fetch(page, "/bff/session"))["user"]["sub"] == "ada"
    page.reload()
    assert members(fetch(page, "/bff/session"))["authenticated"] is True
    assert page.url == f"{home}/"
    answer = fetch(page, "/api/orders")
    assert answer["status"] == 200
    echo = members(fetch(page, "/api/echo/a%2Fb?x=1&x="))
    assert "a%2Fb" in json.dumps(echo)
    (cookie,) = [c for c in context.cookies() if c["name"] == "__Host-Http-session"]
    assert cookie["httpOnly"] is True
    assert cookie["secure"] is True
    assert cookie["sameSite"] == "Strict"
    assert page.evaluate("document.cookie") == ""
    target = members(fetch(page, "/bff/logout", "POST"))["redirect_to"]
    assert target.startswith(fleet.issuer)
    page.goto(target)
    page.click("button[value=yes]")
    page.wait_for_url(f"{home}/")
    assert [c["name"] for c in context.cookies() if c["name"].startswith("__Host")] == []
    # The copied cookie is of no use any more.
    context.add_cookies([_again(cookie)])
    assert fetch(page, "/api/orders")["status"] == 401
    assert members(fetch(page, "/bff/session"))["authenticated"] is False


def _again(cookie: Any) -> Any:
    kept = ("name", "value", "domain", "path", "secure", "httpOnly", "sameSite")
    return {name: cookie[name] for name in kept}


def test_every_page_a_person_may_meet_fits_a_laptop_and_a_phone(page: Page, fleet: Fleet) -> None:
    """Look at them: `build/screenshots/certified-…`."""
    home = fleet.homes[0]
    page.goto(f"{home}/bff/login")
    page.wait_for_url(f"{fleet.issuer}/**")
    picture(page, "certified-1-login")
    page.click("button[value=deny]")
    page.wait_for_url(f"{home}/bff/callback/**")
    picture(page, "certified-2-denied")
    page.locator("a.main").click()
    page.wait_for_url(f"{fleet.issuer}/**")
    page.fill("input[name=login]", "ada")
    stay_on_the_hop_page(page, f"{home}/")
    page.click("button[value=login]")
    page.wait_for_url(f"{home}/bff/callback/**")
    expect(page.get_by_text("One moment")).to_be_visible()
    picture(page, "certified-3-hop")
    page.get_by_role("link", name="Continue").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    picture(page, "certified-4-logged-in")
    fleet.redis.freeze()
    page.wait_for_timeout(1500)  # for so long what is in memory may still be used (ADR 0007)
    try:
        page.goto(f"{home}/api/orders")
        expect(page.get_by_text("store.unavailable")).to_be_visible()
    finally:
        fleet.redis.thaw()
    picture(page, "certified-5-store-down")


def test_two_tabs_both_log_in(page: Page, context: BrowserContext, fleet: Fleet) -> None:
    home = fleet.homes[0]
    second = context.new_page()
    page.goto(f"{home}/bff/login?return_to=/one")
    second.goto(f"{home}/bff/login?return_to=/two")
    page.fill("input[name=login]", "ada")
    page.click("button[value=login]")
    page.wait_for_url(f"{home}/one")
    if second.url != f"{home}/two":
        second.fill("input[name=login]", "ada")
        second.click("button[value=login]")
    second.wait_for_url(f"{home}/two")
    for tab in (page, second):
        assert members(fetch(tab, "/bff/session"))["user"]["sub"] == "ada"
        assert fetch(tab, "/api/orders")["status"] == 200


def test_a_session_made_by_one_process_is_served_and_ended_by_the_other(
    page: Page, fleet: Fleet
) -> None:
    one, two = fleet.homes
    log_in(page, one, "grace")
    page.goto(f"{two}/")
    assert members(fetch(page, "/bff/session"))["user"]["sub"] == "grace"
    assert fetch(page, "/api/orders")["status"] == 200
    assert fetch(page, "/bff/logout", "POST")["status"] == 200
    page.goto(f"{one}/")
    assert members(fetch(page, "/bff/session"))["authenticated"] is False


CHANNELS = """
home => new Promise((resolve, reject) => {
  window.socket = new WebSocket(home.replace("http:", "ws:") + "/api/live", ["v1.sample"]);
  window.over = new Promise((done) => {
    socket.onclose = ({ code, reason }) => { done({ code, reason }); reject(code); };
  });
  window.source = new EventSource(home + "/api/events");
  window.ended = new Promise((done) => {
    source.addEventListener("gateway.ended", (event) => done(JSON.parse(event.data)));
  });
  const opened = new Promise((done) => { socket.onopen = done; });
  const ticking = new Promise((done) => { source.addEventListener("tick", done); });
  Promise.all([opened, ticking]).then(() => resolve(true));
})
"""


def test_a_logout_at_the_provider_ends_the_session_at_the_other_process_and_its_channels_j16(
    page: Page, context: BrowserContext, fleet: Fleet
) -> None:
    """The provider itself sends the logout token, to the first process."""
    one, two = fleet.homes
    log_in(page, one)
    page.goto(f"{two}/")
    assert fetch(page, "/api/orders")["status"] == 200
    assert page.evaluate(CHANNELS, two) is True
    at_provider = context.new_page()
    at_provider.goto(f"{fleet.issuer}/session/end")
    at_provider.click("button[value=yes]")
    expect(at_provider.get_by_text("Logged out at the provider")).to_be_visible()
    assert page.evaluate("over") == {"code": 4401, "reason": "session.ended"}
    assert page.evaluate("ended") == {"code": "session.ended"}
    answer = fetch(page, "/api/orders")
    assert answer["status"] == 401
    assert members(answer)["code"] == "session.ended"
    fleet.provider.wait_for("backchannel spa told")
    assert "backchannel failed" not in fleet.provider.output
    fleet.gateways[0].wait_for('"by": "backchannel_logout"')
    assert "backchannel_logout" not in fleet.gateways[1].output
    # The provider has forgotten the person too; a new login makes a new session, which lives.
    log_in(page, one)
    assert fetch(page, "/api/orders")["status"] == 200


def test_denying_at_the_provider_ends_on_a_page_that_reflects_nothing(
    page: Page, fleet: Fleet
) -> None:
    page.goto(f"{fleet.homes[0]}/bff/login")
    page.click("button[value=deny]")
    page.wait_for_url("**/bff/callback/main**")
    assert "provider.error" in page.content()
    assert "alert(1)" not in page.content()
    assert page.locator("a.main").get_attribute("href") == "/bff/login?provider=main&return_to=%2F"


def test_a_bookmarked_callback_brings_a_logged_in_person_to_the_application(
    page: Page, fleet: Fleet
) -> None:
    home = fleet.homes[0]
    callbacks: list[str] = []
    page.on("request", lambda r: callbacks.append(r.url) if "/bff/callback/" in r.url else None)
    log_in(page, home, return_to="/wanted")
    page.goto(callbacks[-1])
    page.wait_for_url(f"{home}/wanted")
    assert members(fetch(page, "/bff/session"))["authenticated"] is True


def test_no_token_is_in_anything_the_browser_received_or_in_any_log(
    page: Page, context: BrowserContext, fleet: Fleet
) -> None:
    home = fleet.homes[0]
    received: list[bytes] = []

    def keep(response: Any) -> None:
        if not response.url.startswith(home):
            return
        received.append(json.dumps(response.all_headers()).encode())
        if response.status not in (204, 301, 302, 303, 304):
            received.append(response.body())

    page.on("requestfinished", lambda request: keep(request.response()))
    log_in(page, home)
    for path in ("/bff/session", "/bff/sessions", "/api/orders", "/api/echo/x", "/nope"):
        fetch(page, path)
    page.wait_for_load_state("networkidle")
    stored = json.dumps(context.storage_state()).encode()
    seen = b"\n".join([*received, stored])
    assert len(received) > 10
    assert len(fleet.issued()) >= 3
    for token in fleet.issued():
        assert token.encode() not in seen
        assert token.split(".")[-1].encode() not in seen
        assert token not in fleet.written()
    for cookie in context.cookies():
        assert cookie["value"] not in fleet.written()
    for secret in fleet.secrets:
        assert secret not in fleet.written()
        assert secret.encode() not in seen


def test_a_dump_of_redis_holds_nothing_readable_and_every_key_ends(
    page: Page, context: BrowserContext, fleet: Fleet
) -> None:
    log_in(page, fleet.homes[0])
    dump = b""
    keys = fleet.redis.command("KEYS", "*")
    assert isinstance(keys, list)
    assert len(keys) >= 3
    for key in keys:
        ttl = fleet.redis.command("PTTL", key)
        assert isinstance(ttl, int)
        assert ttl > 0 or ttl == GONE, key
        value = fleet.redis.command("DUMP", key)
        assert isinstance(value, bytes) or value is None
        dump += key + (value or b"")
    for token in fleet.issued():
        assert token[:40].encode() not in dump
    for cookie in context.cookies():
        assert cookie["value"].encode() not in dump
        assert cookie["value"].partition(".")[0].encode() not in dump
    for text in (b"Lovelace", b"ada@example.org", b"127.0.0.1:", b"Mozilla"):
        assert text not in dump


def test_a_frozen_redis_is_a_503_for_everybody_and_a_logout_for_nobody_f2(
    page: Page, context: BrowserContext, fleet: Fleet
) -> None:
    home = fleet.homes[0]
    log_in(page, home)
    cookies = context.cookies()
    fleet.redis.freeze()
    try:
        page.wait_for_timeout(1200)  # what was proven to be in memory holds for a second
        for path, method in (
            ("/api/orders", "GET"),
            ("/bff/session", "GET"),
            ("/bff/logout", "POST"),
        ):
            answer = fetch(page, path, method)
            assert answer["status"] == 503
            assert members(answer)["code"] == "store.unavailable"
            assert dict(answer["headers"])["retry-after"] == "1"
        assert fetch(page, "/main.js")["status"] == 200
        with urllib.request.urlopen(f"{fleet.admins[0]}/livez") as alive:  # noqa: S310  loopback
            assert alive.status == 200
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{fleet.admins[0]}/readyz")  # noqa: S310  loopback
    finally:
        fleet.redis.thaw()
    assert context.cookies() == cookies
    page.wait_for_timeout(500)
    assert fetch(page, "/api/orders")["status"] == 200
    assert members(fetch(page, "/bff/session"))["user"]["sub"] == "ada"
    assert "store.unavailable" in fleet.written()
