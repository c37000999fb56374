"""Cross-site WebSocket hijacking: another site's page opens a socket with the user's cookies (P1).

Browsers send cookies along with every handshake, ask no preflight, and let any page read what
comes. Only Origin says who asks. A handshake from elsewhere must not so much as read a cookie.
"""

import itertools

import pytest

from tests.support.websocket_ends import HANDSHAKE, LiveApi, ask, open_websocket
from tests.support.world import ORIGIN, SESSION, World

BAD_ORIGINS: list[list[bytes]] = [
    [],
    [b""],
    [b"null"],
    [b"https://evil.example"],
    [b"https://b.app.example"],
    [b"https://app.example.evil.example"],
    [b"https://evil-app.example"],
    [b"https://app.example:8443"],
    [b"https://app.example:443"],
    [b"http://app.example"],
    [b"wss://app.example"],
    [b"https://app.example/"],
    [b"https://APP.example"],
    [b"https://app.example."],
    [b"//app.example"],
    [b"app.example"],
    [b"*"],
    [b"https://app.example, https://evil.example"],
    [b"https://app.example https://evil.example"],
    [ORIGIN.encode(), ORIGIN.encode()],
    [ORIGIN.encode(), b"https://evil.example"],
    [b"https://evil.example", ORIGIN.encode()],
]
PATHS = ["/live/x", "/live/bare/x", "/live/public/x", "/api/admin/x"]
COOKIES = ["none", "good", "made up", "twice"]


async def test_no_origin_but_ours_opens_a_websocket_whatever_the_cookies() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    value = browser.cookies[SESSION].value
    cookies: dict[str, list[tuple[bytes, bytes]]] = {
        "none": [],
        "good": [(b"cookie", f"{SESSION}={value}".encode())],
        "made up": [(b"cookie", f"{SESSION}=made-up".encode())],
        "twice": [(b"cookie", f"{SESSION}={value}; {SESSION}=x".encode())],
    }
    reads, writes = world.store.reads, world.store.writes
    for origins, path, cookie in itertools.product(BAD_ORIGINS, PATHS, COOKIES):
        fields = [(b"host", b"app.example"), *HANDSHAKE, *cookies[cookie]]
        fields += [(b"origin", origin) for origin in origins]
        opening = await ask(world.gateway.public, path.encode(), fields)
        case = (origins, path, cookie)
        assert (opening.status, opening.code) == (403, "csrf.origin"), case
        assert opening.all("set-cookie") == [], case
    assert (world.store.reads, world.store.writes) == (reads, writes)
    assert world.api.received == []
    assert len(world.gateway.channels) == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "sideways"])
async def test_fetch_metadata_outweighs_a_right_origin_c4(site: str) -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    reads = world.store.reads
    opening = await open_websocket(browser, "/live/x", (b"sec-fetch-site", site.encode()))
    assert (opening.status, opening.code) == (403, "csrf.cross_site")
    assert (world.store.reads, world.api.dials) == (reads, 0)


@pytest.mark.parametrize("host", [b"evil.example", b"app.example.evil.example"])
async def test_a_host_that_agrees_with_the_origin_proves_nothing_c6(host: bytes) -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    cookie = (b"cookie", f"{SESSION}={browser.cookies[SESSION].value}".encode())
    fields = [(b"host", host), (b"origin", b"https://" + host), *HANDSHAKE, cookie]
    opening = await ask(world.gateway.public, b"/live/x", fields)
    assert opening.status == 421
    assert world.api.received == []


async def test_the_csrf_field_is_no_substitute_for_the_origin() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    opening = await open_websocket(
        browser, "/live/x", (b"x-csrf", b"1"), (b"referer", b"https://app.example/"), origin=None
    )
    assert (opening.status, opening.code) == (403, "csrf.origin")
    assert world.api.dials == 0


@pytest.mark.parametrize(
    "more",
    [
        (b"x_origin", b"https://app.example"),
        (b"x-forwarded-origin", b"https://app.example"),
        (b"sec-websocket-origin", b"https://app.example"),
        (b"x-original-origin", b"https://app.example"),
    ],
)
async def test_no_other_field_speaks_for_the_origin(more: tuple[bytes, bytes]) -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    opening = await open_websocket(browser, "/live/x", more, origin="https://evil.example")
    assert opening.status == 403
    assert world.api.dials == 0


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket/13", b"TLS/1.0", b"foo"])
async def test_no_other_protocol_gets_behind_the_gateway_p2(upgrade: bytes) -> None:
    """h2c smuggling: behind a 101 for another protocol, requests would pass unseen."""
    world = World()
    api = LiveApi(world)
    browser = world.browser()
    fields = [(name, upgrade if name == b"upgrade" else value) for name, value in HANDSHAKE]
    fields += [(b"host", b"app.example"), (b"http2-settings", b"AAMAAABkAARAAAAAAAIAAAAA")]
    opening = await ask(browser.origins[browser.home], b"/live/public/x", fields)
    assert opening.status == 200
    assert (world.api.dials, api.opened) == (0, [])
    for name in (b"upgrade", b"http2-settings", b"connection"):
        assert world.api.sent(name) == []


async def test_of_several_protocols_only_websocket_is_passed_on_p2() -> None:
    world = World()
    LiveApi(world)
    fields = [(name, b"h2c, websocket" if name == b"upgrade" else v) for name, v in HANDSHAKE]
    fields += [(b"host", b"app.example"), (b"origin", ORIGIN.encode())]
    opening = await ask(world.gateway.public, b"/live/public/x", fields)
    assert opening.status == 101
    assert world.api.sent(b"upgrade") == [b"websocket"]


@pytest.mark.parametrize(
    "planted",
    [
        (b"sec_websocket_protocol", b"admin"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"Sec-WebSocket.Key", b"x"),
        (b"sec-websocket-accept", b"x"),
    ],
)
async def test_handshake_fields_are_written_anew_in_every_spelling_l4(
    planted: tuple[bytes, bytes],
) -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    assert (await open_websocket(browser, "/live/x", planted)).status == 101
    sent = [
        name
        for name, _ in world.api.received[-1].fields
        if b"websocket" in name.replace(b"_", b"-")
    ]
    assert sent == [b"sec-websocket-version", b"sec-websocket-key"]
