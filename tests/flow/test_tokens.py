"""Access tokens: refreshed ahead, once, and never at the price of the session (H5-H11)."""

import asyncio
from collections import deque

import pytest

from gateway.edge.messages import UpstreamRequest
from gateway.oidc.back_channel import BackChannelAnswer
from tests.support.provider import OTHER_KEY, sign
from tests.support.world import BASE, SESSION, World, settings_of


def bearer(world: World) -> str:
    (value,) = world.api.sent(b"authorization")
    return value.decode().removeprefix("Bearer ")


async def test_a_token_is_refreshed_before_it_expires_and_the_new_one_is_used() -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x")
    first = bearer(world)
    world.clock.advance(250)  # 50 s left, the margin is 60
    await browser.fetch("/api/x")
    assert bearer(world) == first  # still good: nobody waits
    await asyncio.sleep(0.05)
    await browser.fetch("/api/x")
    assert bearer(world) != first
    assert world.provider.seen("/token") == 2


async def test_fifty_parallel_calls_on_an_expired_token_cost_one_grant_h8() -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    plain = world.provider.send

    async def slowly(request: object) -> object:
        await asyncio.sleep(0.05)
        return await plain(request)  # type: ignore[arg-type]  # a BackChannelRequest

    world.provider.send = slowly  # type: ignore[method-assign,assignment]  # the same, later
    answers = await asyncio.gather(*(browser.fetch(f"/api/{n}") for n in range(50)))
    assert [answer.status for answer in answers] == [200] * 50
    assert world.provider.seen("/token") == 2  # the login's and one more
    tokens = {
        value
        for request in world.api.received
        for key, value in request.fields
        if key == b"authorization"
    }
    assert len(tokens) == 1


@pytest.mark.parametrize("rotate", [True, False])
async def test_refresh_goes_on_with_and_without_rotation_h7(rotate: bool) -> None:
    world = World()
    world.provider.rotate = rotate
    if not rotate:

        def keep(answer: dict[str, object]) -> dict[str, object]:
            if world.provider.seen("/token") > 1:
                del answer["refresh_token"]
            return answer

        world.provider.change_token_answer = keep
    browser = await world.logged_in()
    for _ in range(4):
        world.clock.advance(400)
        assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 5


async def test_invalid_grant_ends_the_session_and_drops_the_cookie_a9_h10() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.refresh_tokens.clear()
    world.clock.advance(400)
    answer = await browser.fetch("/api/x")
    assert answer.status == 401
    assert answer.json()["code"] == "session.ended"
    assert SESSION not in browser.cookies
    assert world.store.live_sessions() == {}
    assert world.audit("session.ended")[0]["by"] == "provider"


WEATHER = [
    BackChannelAnswer(503, "text/html", b"<h1>busy</h1>"),
    BackChannelAnswer(500, "application/json", b'{"error":"server_error"}'),
    BackChannelAnswer(429, "application/json", b'{"error":"slow_down"}', 7),
    BackChannelAnswer(200, "text/html", b"<h1>login</h1>"),
    BackChannelAnswer(200, "application/json", b"[]"),
    BackChannelAnswer(400, "text/html", b"invalid_grant"),
    BackChannelAnswer(
        400, "application/json", b'{"error":"invalid_request","error_description":"invalid_grant"}'
    ),
    BackChannelAnswer(401, "application/json", b'{"error":"invalid_client"}'),
    BackChannelAnswer(302, "text/html", b""),
]


@pytest.mark.parametrize(
    "weather", WEATHER, ids=lambda answer: f"{answer.status}-{answer.body[:20]!r}"
)
async def test_no_weather_at_the_provider_logs_anybody_out_h10(weather: BackChannelAnswer) -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    world.provider.answers["/token"] = deque([weather])
    answer = await browser.fetch("/api/x")
    assert answer.status == 503
    assert answer.json()["code"] == "token.unavailable"
    assert int(answer.one("retry-after") or 0) >= 1
    assert answer.all("set-cookie") == []
    seen = (await browser.fetch("/bff/session")).json()
    assert seen["authenticated"] is True
    assert seen["tokens"] == "degraded"
    world.clock.advance(10)
    assert (await browser.fetch("/api/x")).status == 200
    assert (await browser.fetch("/bff/session")).json()["tokens"] == "healthy"


async def test_with_a_valid_token_nobody_notices_that_the_provider_is_down() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    world.clock.advance(250)
    for _ in range(5):
        assert (await browser.fetch("/api/x")).status == 200
        await asyncio.sleep(0.01)
        world.clock.advance(6)
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (None, 300),
        ("3600", 3600),
        (3600.5, 3600.5),
        (0, 300),
        (-1, 300),
        ("soon", 300),
        (True, 300),
        ([], 300),
        (1e300, 30 * 86400),
        (2**40, 30 * 86400),
    ],
    ids=repr,
)
async def test_an_odd_lifetime_is_neither_an_error_nor_for_ever_h6(
    sent: object, seconds: float
) -> None:
    world = World(settings_of({"session": {"idle_timeout": "90d", "absolute_timeout": "90d"}}))
    world.provider.lifetime = sent
    browser = await world.logged_in()
    world.clock.advance(seconds / 2 - 2)
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 1
    world.clock.advance(seconds / 2 + 1)
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 2


@pytest.mark.parametrize("lifetime", [1, 3, 5, 8])
async def test_of_a_token_born_with_seconds_to_live_half_are_used_and_not_a_grant_each_call_h6(
    lifetime: int,
) -> None:
    world = World()
    world.provider.lifetime = lifetime
    browser = await world.logged_in()
    left: list[float] = []

    def look(request: UpstreamRequest) -> bool:
        token = dict(request.fields)[b"authorization"].decode().removeprefix("Bearer ")
        left.append(world.provider.families.access[token][1] - world.clock.now())
        return False

    world.api.rejects = look
    for _ in range(40):  # over four of its lives
        assert (await browser.fetch("/api/x")).status == 200
        world.clock.advance(lifetime / 10)
    assert world.provider.seen("/token") <= 1 + 2 * 4
    assert min(left) >= lifetime / 2 - 0.001


async def test_the_browser_hanging_up_does_not_abort_the_grant_h9() -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    gate = asyncio.Event()
    plain = world.provider.send

    async def slow(request: object) -> object:
        answer = await plain(request)  # type: ignore[arg-type]  # a BackChannelRequest
        await gate.wait()  # the refresh token is spent, its successor on the way
        return answer

    world.provider.send = slow  # type: ignore[method-assign,assignment]  # the same, later
    call = asyncio.create_task(browser.fetch("/api/x"))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.set()
    await asyncio.sleep(0.05)
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 2


async def test_a_refreshed_id_token_that_does_not_verify_is_left_out_and_audited_g18() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.sign = lambda claims: sign(claims, OTHER_KEY, {"kid": "k1"})
    world.clock.advance(400)
    assert (await browser.fetch("/api/x")).status == 200
    assert world.audit("token.refresh_failed")[0]["code"] == "id_token.signature"
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True


@pytest.mark.parametrize("mixed_up", [{}, {"nonce": "of-grace"}, {"iat": 1}, {"aud": "of-grace"}])
async def test_a_refreshed_id_token_of_somebody_else_ends_the_session_g18(
    mixed_up: dict[str, object],
) -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.change_id_token = lambda claims: {**claims, "sub": "grace", **mixed_up}
    world.clock.advance(400)
    answer = await browser.fetch("/api/x")
    assert answer.status == 401
    assert world.store.live_sessions() == {}
    assert world.api.received == []


async def test_a_refreshed_id_token_of_another_issuer_ends_the_session_g18() -> None:
    """A person is both, issuer and subject (OpenID Connect Core section 12.2)."""
    world = World()
    browser = await world.logged_in()
    world.provider.change_id_token = lambda claims: {**claims, "iss": "https://other.example"}
    world.clock.advance(400)
    answer = await browser.fetch("/api/x")
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    assert world.store.live_sessions() == {}
    assert world.api.received == []
    (ended,) = world.audit("session.ended")
    assert ended["by"] == "provider"


async def test_a_missing_scope_is_a_403_and_the_api_hears_nothing() -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/api/admin/users")
    assert answer.status == 403
    assert answer.json()["code"] == "scope.insufficient"
    assert world.api.received == []


async def test_without_a_refresh_token_the_end_of_the_access_token_is_a_login_not_an_error() -> (
    None
):
    world = World()
    world.provider.change_token_answer = lambda answer: {
        name: value for name, value in answer.items() if name != "refresh_token"
    }
    browser = await world.logged_in()
    world.clock.advance(400)
    answer = await browser.fetch("/api/x")
    assert answer.status == 401
    assert answer.json()["code"] == "token.expired"
    assert answer.json()["login_url"] == "/bff/login"
    assert world.api.received == []


async def test_replicas_read_again_before_they_refresh() -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    other = world.browser(world.gateways[1])
    other.cookies = browser.cookies
    world.clock.advance(400)
    assert (await browser.fetch("/api/x")).status == 200
    assert (await other.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 2


async def test_a_refresh_that_brings_fewer_scopes_counts_for_the_request_it_was_made_for() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.change_token_answer = lambda answer: {**answer, "scope": "openid profile"}
    world.clock.advance(400)
    routes = BASE["routes"][0] | {"path": "/api/orders/", "scopes": ["orders.read"]}
    gateway = world.replica(settings_of({"routes": [routes]}))
    other = world.browser(gateway)
    other.cookies = browser.cookies
    for _ in range(3):
        answer = await other.fetch("/api/orders/7")
        assert answer.status == 403
        assert answer.json()["code"] == "scope.insufficient"
    assert world.provider.seen("/token") == 2
    assert world.api.received == []


async def test_an_optional_route_goes_on_without_a_token_that_cannot_be_had() -> None:
    world = World()
    world.provider.change_token_answer = lambda answer: {
        name: value for name, value in answer.items() if name != "refresh_token"
    }
    browser = await world.logged_in()
    world.clock.advance(400)
    assert (await browser.fetch("/maybe/x")).status == 200
    assert world.api.sent(b"authorization") == []
    assert (await browser.fetch("/api/x")).status == 401


async def test_an_optional_route_waits_for_a_provider_that_is_down_as_any_other() -> None:
    """Silently treating a person as a stranger would be worse than saying: in a moment."""
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    world.provider.down = True
    answer = await browser.fetch("/maybe/x")
    assert answer.status == 503
    assert world.api.received == []
