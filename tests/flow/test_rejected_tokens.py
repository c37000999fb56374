"""An API that calls a token invalid gets another one, once, if that can be done at all (H12)."""

import asyncio
from typing import Any

from gateway.edge.messages import UpstreamRequest
from tests.support.browser import Browser
from tests.support.slow_grants import SlowGrants
from tests.support.websocket_ends import LiveApi, open_websocket
from tests.support.world import SESSION, World


def bearer_of(request: UpstreamRequest) -> bytes:
    return dict(request.fields)[b"authorization"]


def rejecting_the_first(world: World) -> None:
    """Have the API call the token of the login invalid, and take every other one."""
    seen: list[bytes] = []

    def is_first(request: UpstreamRequest) -> bool:
        seen.append(bearer_of(request))
        return seen[-1] == seen[0]

    world.api.rejects = is_first


async def test_a_rejected_token_is_replaced_and_the_call_repeated_once_h12() -> None:
    world = World()
    browser = await world.logged_in()
    rejecting_the_first(world)
    assert (await browser.fetch("/api/x")).status == 200
    first, second = world.api.received
    assert bearer_of(first) != bearer_of(second)
    assert (first.method, first.target) == (second.method, second.target)
    assert world.provider.seen("/token") == 2
    assert world.api.closed == 2  # the answer nobody read was given up, not lost to the pool


async def test_a_small_body_is_sent_again_h12() -> None:
    world = World()
    browser = await world.logged_in()
    rejecting_the_first(world)
    answer = await browser.fetch("/api/x", "POST", {"content-type": "text/plain"}, b"order" * 100)
    assert answer.status == 200
    assert world.api.bodies == [b"order" * 100] * 2


async def test_a_large_body_is_not_and_the_401_is_passed_on_h12() -> None:
    world = World()
    browser = await world.logged_in()
    rejecting_the_first(world)
    answer = await browser.fetch("/api/x", "POST", {}, b"x" * 65537)
    assert answer.status == 401
    assert len(world.api.received) == 1
    assert world.provider.seen("/token") == 1
    assert SESSION in browser.cookies


async def test_an_api_that_rejects_every_token_costs_two_calls_and_one_grant_h12() -> None:
    world = World()
    browser = await world.logged_in()
    world.api.rejects = lambda _: True
    assert (await browser.fetch("/api/x")).status == 401
    assert len(world.api.received) == 2
    assert world.provider.seen("/token") == 2
    for _ in range(5):  # and the next calls cost nothing more
        assert (await browser.fetch("/api/x")).status == 401
    assert len(world.api.received) == 7
    assert world.provider.seen("/token") == 2
    assert SESSION in browser.cookies  # an API's opinion ends no session
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True


async def test_many_rejected_at_once_share_one_grant() -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    other = world.browser(world.gateways[1])
    other.cookies = browser.cookies
    rejecting_the_first(world)
    answers = await asyncio.gather(
        *(one.fetch("/api/x") for _ in range(20) for one in (browser, other))
    )
    assert [answer.status for answer in answers] == [200] * 40
    assert world.provider.seen("/token") == 2


async def test_the_other_token_may_have_run_out_too_and_is_not_sent_then_i8() -> None:
    """The API took ten minutes to say no, and another tab has had a new token meanwhile."""
    world = World()
    browser = await world.logged_in()
    plain, sent = world.api.send, list[float]()

    async def slowly(request: UpstreamRequest, body: Any) -> Any:
        token = bearer_of(request).decode().removeprefix("Bearer ")
        sent.append(world.provider.families.access[token][1] - world.clock.now())
        if len(sent) == 1:
            world.clock.advance(310)
            await browser.fetch("/api/y")
            world.clock.advance(310)
        return await plain(request, body)

    world.api.send = slowly  # type: ignore[method-assign]  # the same, later
    world.api.rejects = lambda request: request.target.endswith(b"/x") and len(sent) < 3
    assert (await browser.fetch("/api/x")).status == 200
    assert min(sent) > 5
    assert world.provider.seen("/token") == 3


async def test_another_401_is_passed_on_as_it_is() -> None:
    world = World()
    browser = await world.logged_in()
    world.api.status = 401
    world.api.fields = ((b"www-authenticate", b'Bearer error="insufficient_scope"'),)
    assert (await browser.fetch("/api/x")).status == 401
    assert len(world.api.received) == 1
    assert world.provider.seen("/token") == 1


async def test_without_a_token_of_ours_nothing_is_refreshed() -> None:
    world = World()
    browser = await world.logged_in()
    world.api.rejects = lambda _: True
    assert (await browser.fetch("/public/x")).status == 401
    assert len(world.api.received) == 1
    assert world.provider.seen("/token") == 1


async def test_a_provider_that_is_down_leaves_the_401_as_it_is() -> None:
    world = World()
    browser = await world.logged_in()
    world.api.rejects = lambda _: True
    world.provider.down = True
    assert (await browser.fetch("/api/x")).status == 401
    assert len(world.api.received) == 1
    assert SESSION in browser.cookies


async def test_a_provider_that_calls_the_grant_dead_ends_the_session_h10() -> None:
    world = World()
    browser = await world.logged_in()
    world.api.rejects = lambda _: True
    world.provider.refresh_tokens.clear()
    answer = await browser.fetch("/api/x")
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    assert world.store.live_sessions() == {}
    assert SESSION not in browser.cookies


async def test_a_refresh_that_brings_fewer_scopes_does_not_repeat_the_call() -> None:
    world = World()
    world.api.rejects = lambda _: True
    browser = await scoped(world)
    world.provider.change_token_answer = lambda answer: {**answer, "scope": "openid"}
    answer = await browser.fetch("/api/admin/users")
    assert (answer.status, answer.json()["code"]) == (403, "scope.insufficient")
    assert len(world.api.received) == 1


async def test_a_handshake_that_is_rejected_is_made_again_with_another_token_h12() -> None:
    world = World()
    LiveApi(world)
    browser = await world.logged_in()
    tokens: list[bytes] = []

    def is_of_the_login(request: UpstreamRequest) -> bool:
        tokens.append(bearer_of(request))
        return tokens[-1] == tokens[0]

    world.api.rejects = is_of_the_login
    opening = await open_websocket(browser, "/live/x")
    assert opening.status == 101
    assert len(set(tokens)) == 2
    assert world.provider.seen("/token") == 2


async def test_a_browser_that_leaves_meanwhile_leaves_no_connection_behind() -> None:
    world = World()
    browser = await world.logged_in()
    rejecting_the_first(world)
    slow = SlowGrants(world.provider)
    call = asyncio.create_task(browser.fetch("/api/x"))
    await slow.begun.wait()
    call.cancel()
    await asyncio.wait({call})
    assert world.api.closed == 1
    slow.release()


async def scoped(world: World) -> Browser:
    """A browser whose session has the scope `admin`."""
    world.provider.change_token_answer = lambda answer: {**answer, "scope": "openid admin"}
    return await world.logged_in()
