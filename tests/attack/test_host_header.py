"""Host header: what a request claims to be for never becomes an address (C6, E12, K2, K3)."""

import pytest

from tests.support.world import World


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        ([], 400),
        ([b"app.example", b"app.example"], 400),
        ([b"app.example", b"evil.example"], 400),
        ([b""], 400),
        ([b"app.example, evil.example"], 400),
        ([b"app.example:x"], 400),
        ([b"app.example/evil"], 400),
        ([b"user@app.example"], 400),
        ([b"evil.example"], 421),
        ([b"app.example.evil.example"], 421),
        ([b"app.example:8443"], 421),
        ([b"APP.example"], 404),
        ([b"app.example"], 404),
        ([b"app.example:443"], 404),
    ],
)
async def test_only_our_own_host_is_answered(hosts: list[bytes], status: int) -> None:
    world = World()
    answer = await world.raw("GET", b"/nothing", [(b"host", host) for host in hosts])
    assert answer.status == status
    if status != 404:
        assert answer.json()["code"].startswith("host.")


@pytest.mark.parametrize(
    "spoof",
    [
        (b"x-forwarded-host", b"evil.example"),
        (b"x-forwarded-proto", b"http"),
        (b"forwarded", b"host=evil.example;proto=http"),
        (b"x-original-url", b"/admin"),
        (b"x-rewrite-url", b"/admin"),
        (b"x-forwarded-prefix", b"/evil"),
        (b"x-forwarded-port", b"81"),
    ],
)
async def test_forwarded_fields_change_neither_redirect_uri_nor_cookies_n3(
    spoof: tuple[bytes, bytes],
) -> None:
    world = World()
    answer = await world.raw("GET", b"/bff/login", [(b"host", b"app.example"), spoof])
    location = answer.one("location") or ""
    assert location.startswith("https://id.example/authorize?")
    assert "redirect_uri=https%3A%2F%2Fapp.example%2Fbff%2Fcallback%2Fmain" in location
    assert "Secure" in (answer.one("set-cookie") or "")


async def test_a_foreign_host_with_a_matching_origin_is_still_foreign_c6() -> None:
    world = World()
    browser = await world.logged_in()
    cookie = f"__Host-Http-session={browser.cookies['__Host-Http-session'].value}".encode()
    fields = [
        (b"host", b"evil.example"),
        (b"origin", b"https://evil.example"),
        (b"x-csrf", b"1"),
        (b"cookie", cookie),
    ]
    answer = await world.raw("POST", b"/api/x", fields)
    assert answer.status == 421
    assert world.api.received == []


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://evil.example/api/x", 421),
        (b"https://app.example/nothing", 404),
        (b"https://app.example:443/nothing", 421),
        (b"https://user@app.example/api/x", 421),
        (b"@evil.example/", 400),
        (b"*", 400),
        (b"evil.example:443", 400),
        (b".evil.example/x", 400),
        (b"ftp://app.example/x", 400),
    ],
)
async def test_the_authority_of_an_absolute_target_counts_k1(target: bytes, status: int) -> None:
    world = World()
    answer = await world.raw("GET", target, [(b"host", b"app.example")])
    assert answer.status == status
    assert world.api.received == []


async def test_options_about_the_server_as_a_whole_is_answered_here_k1_l6() -> None:
    world = World()
    ours = await world.raw("OPTIONS", b"*", [(b"host", b"app.example")])
    assert (ours.status, ours.body) == (204, b"")
    assert ours.all("access-control-allow-origin") == []
    theirs = await world.raw("OPTIONS", b"*", [(b"host", b"evil.example")])
    assert theirs.status == 421
    others = await world.raw("GET", b"*", [(b"host", b"app.example")])
    assert others.status == 400
    assert world.api.received == []
