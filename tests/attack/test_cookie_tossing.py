"""Cookie tossing: a second cookie of the same name, planted by a sibling host (B8, 6265bis 8.6)."""

import pytest

from tests.support.world import SESSION, World

HOST = (b"host", b"app.example")
FETCH = [
    HOST,
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-mode", b"cors"),
    (b"x-csrf", b"1"),
]


@pytest.mark.parametrize("good_first", [True, False])
@pytest.mark.parametrize("one_line", [True, False])
async def test_two_session_cookies_are_nobody_in_either_order(
    good_first: bool, one_line: bool
) -> None:
    world = World()
    victim, attacker = await world.logged_in(), await world.logged_in()
    values = [victim.cookies[SESSION].value, attacker.cookies[SESSION].value]
    if not good_first:
        values.reverse()
    pairs = [f"{SESSION}={value}".encode() for value in values]
    lines = [b"; ".join(pairs)] if one_line else pairs
    reads = world.store.reads
    answer = await world.raw("GET", b"/api/x", [*FETCH, *((b"cookie", line) for line in lines)])
    assert answer.status == 401
    assert answer.json()["code"] == "session.ambiguous"
    assert world.store.reads == reads
    assert world.api.received == []
    assert answer.all("set-cookie") == []


async def test_several_cookie_lines_are_one_cookie_header_b7() -> None:
    world = World()
    browser = await world.logged_in()
    cookie = f"{SESSION}={browser.cookies[SESSION].value}".encode()
    lines = [(b"cookie", b"a=1"), (b"cookie", cookie), (b"cookie", b"b=2")]
    answer = await world.raw("GET", b"/api/x", [*FETCH, *lines])
    assert answer.status == 200


async def test_a_sibling_cannot_shadow_our_names_with_another_spelling() -> None:
    world = World()
    browser = await world.logged_in()
    value = browser.cookies[SESSION].value
    for name in (SESSION.lower(), SESSION.upper(), SESSION + " ", "session"):
        answer = await world.raw(
            "GET", b"/api/x", [*FETCH, (b"cookie", f"{name}={value}x".encode())]
        )
        assert answer.status == 401
    assert world.api.received == []


async def test_two_login_cookies_finish_no_login() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load("https://app.example/bff/login")
    at_provider = await browser.load(started.one("location") or "")
    target = (at_provider.one("location") or "").removeprefix("https://app.example").encode()
    good = browser.cookies["__Host-Http-login"].value
    for pair in ((good, "A" * 43), ("A" * 43, good)):
        cookie = "; ".join(f"__Host-Http-login={value}" for value in pair).encode()
        answer = await world.raw("GET", target, [HOST, (b"cookie", cookie)])
        assert answer.status in (400, 401)
        assert answer.all("set-cookie") == []
    assert world.provider.seen("/token") == 0


async def test_an_upstream_cannot_set_our_cookies_b16() -> None:
    world = World()
    browser = await world.logged_in()
    mine = browser.cookies[SESSION].value
    world.api.fields = (
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"__Host-Http-session=evil; Path=/; Secure; HttpOnly"),
        (b"set-cookie", b"__host-http-SESSION=evil; Path=/; Secure; HttpOnly"),
        (b"set-cookie", b"__Host-Http-login=evil; Path=/; Secure; HttpOnly"),
    )
    answer = await browser.fetch("/api/x")
    assert answer.all("set-cookie") == []
    assert browser.cookies[SESSION].value == mine
