"""CSRF: Sec-Fetch-Site × mode × method × header × Origin, asked of the whole gateway (section C).

The rule is worked out here a second time, in the simplest words there are, and compared.
"""

import itertools

import pytest

from tests.support.world import SESSION, World

SITES = [None, "same-origin", "same-site", "cross-site", "none", "sideways"]
MODES = [None, "navigate", "cors", "no-cors", "same-origin", "websocket"]
METHODS = ["GET", "HEAD", "POST", "DELETE"]
HEADERS = [None, "1", "0"]
ORIGINS = [None, "https://app.example", "https://b.app.example", "null"]

CASES = list(itertools.product(SITES, MODES, METHODS, HEADERS, ORIGINS))


def is_allowed(
    site: str | None, mode: str | None, method: str, header: str | None, origin: str | None
) -> bool:
    safe = method in ("GET", "HEAD")
    if site not in (None, "same-origin", "none"):
        return False
    if site == "none" and not (mode == "navigate" and safe):
        return False
    if origin not in (None, "https://app.example"):
        return False
    if site is None and origin is None and not safe:
        return False
    if header == "1":
        return True
    return safe and site in ("same-origin", "none") and mode == "navigate"


async def test_the_matrix() -> None:
    world = World()
    browser = await world.logged_in()
    cookie = (b"cookie", f"{SESSION}={browser.cookies[SESSION].value}".encode())
    for site, mode, method, header, origin in CASES:
        fields = [(b"host", b"app.example"), cookie]
        for name, value in (
            (b"sec-fetch-site", site),
            (b"sec-fetch-mode", mode),
            (b"x-csrf", header),
            (b"origin", origin),
        ):
            if value is not None:
                fields.append((name, value.encode()))
        reads, calls = world.store.reads, len(world.api.received)
        answer = await world.raw(method, b"/api/x", fields)
        case = (site, mode, method, header, origin)
        if is_allowed(*case):
            assert answer.status == 200, case
        else:
            assert answer.status == 403, case
            # Refused before the cookie was read (C2): no store read, no call, nothing set.
            assert (world.store.reads, len(world.api.received)) == (reads, calls), case
            assert answer.all("set-cookie") == [], case


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/bff/session"),
        ("GET", "/bff/sessions"),
        ("DELETE", "/bff/sessions"),
        ("DELETE", "/bff/sessions/x"),
        ("POST", "/bff/logout"),
        ("GET", "/maybe/x"),
        ("POST", "/maybe/x"),
    ],
)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_every_route_that_uses_the_cookie_is_guarded_c1_c3_c12(
    method: str, path: str, site: str
) -> None:
    world = World()
    browser = await world.logged_in()
    reads = world.store.reads
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "cors", "x-csrf": "1"}
    answer = await browser.request(method, f"https://app.example{path}", headers, b"", "same-site")
    assert answer.status == 403
    assert answer.json()["code"] == "csrf.cross_site"
    assert world.store.reads == reads
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_simple_requests_and_requests_without_a_body_are_covered_c7(
    content_type: str | None,
) -> None:
    world = World()
    browser = await world.logged_in()
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    if content_type:
        headers["content-type"] = content_type
    body = b"a=1" if content_type else b""
    answer = await browser.request("POST", "https://app.example/api/x", headers, body, "same-site")
    assert answer.status == 403
    assert world.api.received == []


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.evil.com",
        "https://evil-app.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example/",
        "https://app.example, https://evil.example",
        "null",
        "",
    ],
)
async def test_an_origin_that_only_looks_like_ours_is_refused_c5(origin: str) -> None:
    world = World()
    browser = await world.logged_in()
    headers = {"x-csrf": "1", "origin": origin}
    answer = await browser.request("POST", "https://app.example/api/x", headers, b"", "none")
    assert answer.status == 403
    assert world.api.received == []


async def test_a_method_override_turns_no_get_into_a_delete_c8() -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x?_method=DELETE", headers={"x-http-method-override": "DELETE"})
    assert world.api.received[0].method == "GET"
    assert world.api.sent(b"x-http-method-override") == []


async def test_a_preflight_gets_no_permission_and_reaches_no_api_c9() -> None:
    world = World()
    browser = await world.logged_in()
    headers = {
        "origin": "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-csrf",
    }
    answer = await browser.request(
        "OPTIONS", "https://app.example/api/x", headers, b"", "cross-site"
    )
    assert [name for name, _ in answer.fields if name.startswith(b"access-control")] == []
    assert world.api.received == []


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "FOO", "get", "PROPFIND"])
async def test_methods_nobody_declared_reach_no_api_a5(method: str) -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/api/x", method)
    assert answer.status in (405, 501)
    assert world.api.received == []


async def test_a_refused_request_extends_nothing_c2() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    before = await world.store.read(lookup)
    world.clock.advance(600)
    headers = {"sec-fetch-site": "same-site", "x-csrf": "1"}
    await browser.request("GET", "https://app.example/api/x", headers, b"", "same-site")
    assert await world.store.read(lookup) == before
    world.clock.advance(1201)
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False


async def test_what_depends_on_the_caller_says_so_to_caches_c10() -> None:
    world = World()
    browser = await world.logged_in()
    for path in ("/bff/session", "/api/x"):
        headers = {"sec-fetch-site": "cross-site"}
        refused = await browser.request("GET", f"https://app.example{path}", headers, b"", "none")
        assert "Sec-Fetch-Site" in " ".join(refused.all("vary"))
