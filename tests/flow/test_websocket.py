"""Opening a WebSocket: what is asked, in which order, and what the upstream gets to see (P1-P5)."""

import pytest

from gateway.errors import Code, Unavailable
from tests.support.websocket_ends import HANDSHAKE, LiveApi, ask, connected, open_websocket
from tests.support.world import ORIGIN, SESSION, World

ORIGIN_FIELD = (b"origin", ORIGIN.encode())


async def test_a_websocket_opens_and_speaks_both_ways() -> None:
    world = World()
    api = LiveApi(world)
    browser = await world.logged_in()
    here, there = await connected(browser, api)
    here.text("hello")
    await there.until(lambda end: end.messages == ["hello"])
    there.binary(b"\x00\xff")
    await here.until(lambda end: end.messages == [b"\x00\xff"])


async def test_the_upstream_sees_a_clean_handshake_with_the_token_p2_p3() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    opening = await open_websocket(browser, "/live/x?room=7", (b"x-forwarded-user", b"root"))
    assert opening.status == 101
    request = world.api.received[-1]
    assert request.target == b"/live/x?room=7"
    assert world.api.sent(b"authorization")[0].startswith(b"Bearer at-")
    assert world.api.sent(b"upgrade") == [b"websocket"]
    assert world.api.sent(b"connection") == []  # the adapter's own line
    assert world.api.sent(b"sec-websocket-version") == [b"13"]
    assert world.api.sent(b"origin") == [ORIGIN.encode()]
    assert world.api.sent(b"host") == [b"api.internal:8080"]
    for name in (b"sec-websocket-extensions", b"cookie", b"x-forwarded-user"):
        assert world.api.sent(name) == []


async def test_the_browser_sees_a_clean_101() -> None:
    world = World()
    api = LiveApi(world)
    api.more = (
        (b"server", b"inner/1.0"),
        (b"set-cookie", f"{SESSION}=planted; Path=/".encode()),
        (b"x-room", b"7"),
        (b"date", b"now"),
        (b"content-length", b"0"),
    )
    opening = await open_websocket(await world.logged_in())
    assert opening.all("upgrade") == ["websocket"]
    assert len(opening.all("sec-websocket-accept")) == 1
    assert opening.all("x-room") == ["7"]
    assert len(opening.all("x-request-id")) == 1
    for name in ("server", "set-cookie", "sec-websocket-extensions", "sec-websocket-protocol"):
        assert opening.all(name) == []


async def test_a_subprotocol_passes_both_ways_p5() -> None:
    world = World()
    LiveApi(world).protocol = "v2.chat"
    browser = await world.logged_in()
    opening = await open_websocket(
        browser, "/live/x", (b"sec-websocket-protocol", b"v1.chat, v2.chat")
    )
    assert world.api.sent(b"sec-websocket-protocol") == [b"v1.chat, v2.chat"]
    assert opening.all("sec-websocket-protocol") == ["v2.chat"]


async def test_a_subprotocol_nobody_offered_is_a_502_and_the_upstream_is_dropped() -> None:
    world = World()
    api = LiveApi(world)
    api.protocol = "other"
    opening = await open_websocket(await world.logged_in())
    assert opening.status == 502
    assert opening.code == "upstream.protocol"
    await api.opened[0].until(lambda end: end.lost_at_all)


async def test_without_a_session_the_upstream_is_not_asked_p3() -> None:
    world = World()
    LiveApi(world)
    opening = await open_websocket(world.browser())
    assert (opening.status, opening.code) == (401, "session.required")
    browser = await world.logged_in()
    world.store.lose_everything()
    opening = await open_websocket(browser)
    assert (opening.status, opening.code) == (401, "session.ended")
    assert world.api.dials == 0


async def test_a_token_is_renewed_before_the_101_p3() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    world.clock.advance(400)  # it has run out
    assert (await open_websocket(browser)).status == 101
    assert world.provider.seen("/token") == 2
    world.provider.refresh_tokens.clear()
    world.clock.advance(400)
    opening = await open_websocket(browser)
    assert (opening.status, opening.code) == (401, "session.ended")
    assert world.api.dials == 1


async def test_an_outage_is_a_503_before_the_101() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    world.store.down = True
    opening = await open_websocket(browser)
    assert (opening.status, opening.code) == (503, "store.unavailable")
    assert opening.all("set-cookie") == []


@pytest.mark.parametrize("status", [200, 400, 403, 404, 426, 503])
async def test_what_the_upstream_answers_instead_of_a_101_is_its_answer_p3(status: int) -> None:
    world = World()
    world.api.status = status
    world.api.fields = ((b"content-type", b"text/plain"), (b"server", b"inner"))
    world.api.pieces = (b"not ", b"today")
    opening = await open_websocket(await world.logged_in())
    assert opening.status == status
    assert opening.answer is not None
    assert opening.answer.body == b"not today"
    assert opening.all("server") == []
    assert opening.all("cache-control") == ["no-store"]
    assert world.api.closed == 1  # its connection is given back


async def test_an_upstream_that_cannot_be_reached_is_told_as_for_any_request() -> None:
    world = World()
    world.api.failure = Unavailable(Code.UPSTREAM_CONNECT, note="refused")
    opening = await open_websocket(await world.logged_in())
    assert (opening.status, opening.code) == (502, "upstream.connect")


async def test_a_public_route_needs_the_origin_and_no_session_p1() -> None:
    world = World()
    LiveApi(world)
    browser = world.browser()
    assert (await open_websocket(browser, "/live/public/x")).status == 101
    assert world.api.sent(b"authorization") == []
    opening = await open_websocket(browser, "/live/public/x", origin="https://evil.example")
    assert (opening.status, opening.code) == (403, "csrf.origin")
    assert world.api.dials == 1


async def test_a_scope_the_session_lacks_is_a_403() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    opening = await open_websocket(browser, "/api/admin/x")
    assert (opening.status, opening.code) == (403, "scope.insufficient")
    assert world.api.dials == 0


async def test_a_handshake_opens_with_the_session_and_counts_as_activity() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    world.clock.advance(1000)
    assert (await open_websocket(browser)).status == 101
    seen = (await browser.fetch("/bff/session")).json()
    assert seen["idle_expires_in"] == 1800


async def test_a_route_without_websockets_answers_as_plain_http_p2() -> None:
    world = World()
    browser = await world.logged_in()
    opening = await open_websocket(browser, "/api/x", (b"x-csrf", b"1"))
    assert opening.status == 200
    assert world.api.dials == 0
    assert world.api.sent(b"upgrade") == world.api.sent(b"sec-websocket-key") == []


async def test_a_plain_request_on_a_websocket_route_is_a_plain_request() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    assert (await browser.fetch("/live/x")).status == 200
    assert (await browser.fetch("/live/x", headers={"x-csrf": "0"})).status == 403
    assert world.api.dials == 0


@pytest.mark.parametrize("version", ["1.0", "2"])
async def test_upgrade_means_nothing_outside_http_1_1(version: str) -> None:
    world = World()
    LiveApi(world)
    fields = [(b"host", b"app.example"), *HANDSHAKE, ORIGIN_FIELD]
    opening = await ask(world.gateway.public, b"/live/public/x", fields, http_version=version)
    assert opening.status == 200
    assert world.api.dials == 0


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        (b"sec-websocket-version", b"8", 426, "websocket.version"),
        (b"sec-websocket-key", b"short", 400, "websocket.malformed"),
        (b"connection", b"keep-alive", 400, "websocket.malformed"),
    ],
)
async def test_a_handshake_that_is_none_is_refused_with_a_code(
    name: bytes, value: bytes, status: int, code: str
) -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    reads = world.store.reads
    changed = [(key, value if key == name else old) for key, old in HANDSHAKE]
    cookie = (b"cookie", f"{SESSION}={browser.cookies[SESSION].value}".encode())
    fields = [(b"host", b"app.example"), *changed, ORIGIN_FIELD, cookie]
    opening = await ask(world.gateway.public, b"/live/x", fields)
    assert (opening.status, opening.code) == (status, code)
    if status == 426:
        assert opening.all("sec-websocket-version") == ["13"]
        assert opening.all("upgrade") == ["websocket"]
    assert (world.store.reads, world.api.dials) == (reads, 0)


@pytest.mark.parametrize(
    ("target", "protocol"),
    [
        ("/live/x?access_token=abc", b"chat"),
        ("/live/x", b"access_token, abc"),
        ("/live/x", b"base64url.bearer.authorization.k8s.io.abc"),
    ],
)
async def test_tokens_do_not_belong_in_a_handshake_p5(target: str, protocol: bytes) -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    opening = await open_websocket(browser, target, (b"sec-websocket-protocol", protocol))
    assert (opening.status, opening.code) == (400, "token.in_request")
    assert world.api.dials == 0


async def test_openings_are_counted_and_refusals_audited() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    await open_websocket(browser)
    await open_websocket(browser, origin="null")
    text = (await world.admin(b"/metrics")).text
    assert 'gateway_requests_total{status="1xx"} 1.0' in text
    assert world.audit("request.refused")[-1]["code"] == "csrf.origin"
