"""Ending sessions: only one's own, only on purpose, and it holds (C12, D3, D6, D7)."""

import asyncio

import pytest

from tests.support.browser import Cookie
from tests.support.world import SESSION, World


async def test_after_logout_the_copied_cookie_is_useless_on_every_replica_d3() -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    copied = browser.cookies[SESSION].value
    await browser.fetch("/bff/logout", "POST")
    assert SESSION not in browser.cookies
    for gateway in world.gateways:
        thief = world.browser(gateway)
        thief.cookies[SESSION] = Cookie(copied, "strict", "app.example")
        assert (await thief.fetch("/api/x")).status == 401
        assert (await thief.fetch("/bff/session")).json()["authenticated"] is False
    assert world.api.received == []


async def test_nobody_ends_a_strangers_session_by_its_id_d7() -> None:
    world = World()
    victim = await world.logged_in()
    victims_id = (await victim.fetch("/bff/session")).json()["session_id"]
    world.provider.subject = "mallory"
    attacker = await world.logged_in()
    answer = await attacker.fetch(f"/bff/sessions/{victims_id}", "DELETE")
    assert answer.status == 404
    assert (await victim.fetch("/bff/session")).json()["authenticated"] is True


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_logout_is_not_a_link_c12(method: str) -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/bff/logout", method)
    assert answer.status == 405
    assert answer.one("allow") == "POST"
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True


async def test_a_cross_site_form_logs_nobody_out_c12() -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.load("https://app.example/bff/logout", site="cross-site", form=b"x=1")
    assert answer.status == 403
    assert SESSION in browser.cookies
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True


async def test_a_request_that_ends_after_the_logout_revives_nothing_d6() -> None:
    """A refresh under way while the person logs out: its tokens go back to the provider."""
    world = World()
    browser = await world.logged_in()
    copied = browser.cookies[SESSION].value
    world.clock.advance(400)  # the access token is over, so the call has to wait for the grant
    gate = asyncio.Event()

    async def slow(request: object) -> object:
        if request.url.endswith("/token"):  # type: ignore[attr-defined]  # a BackChannelRequest
            await gate.wait()
        return await plain(request)  # type: ignore[arg-type]  # as above

    plain, world.provider.send = world.provider.send, slow  # type: ignore[method-assign,assignment]  # slower
    call = asyncio.create_task(browser.fetch("/api/x"))
    await asyncio.sleep(0.05)
    await browser.fetch("/bff/logout", "POST")
    gate.set()
    assert (await call).status == 401
    thief = world.browser()
    thief.cookies[SESSION] = Cookie(copied, "strict", "app.example")
    assert (await thief.fetch("/bff/session")).json()["authenticated"] is False
    assert world.store.live_sessions() == {}
    newest = [value for value in world.provider.issued if value.startswith("rt-")][-1]
    assert newest in world.provider.revoked


async def test_polling_the_session_keeps_nobody_logged_in_a8() -> None:
    world = World()
    browser = await world.logged_in()
    for _ in range(50):
        world.clock.advance(35)
        await browser.fetch("/bff/session")
    world.clock.advance(51)  # 1801 s after the last real use
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False
    assert (await browser.fetch("/api/x")).status == 401


async def test_no_activity_extends_the_absolute_limit_d5() -> None:
    world = World()
    browser = await world.logged_in()
    elapsed = 0
    while elapsed + 600 < 43200:
        world.clock.advance(600)
        elapsed += 600
        assert (await browser.fetch("/api/x")).status == 200
    world.clock.advance(43200 - elapsed)
    assert (await browser.fetch("/api/x")).status == 401
    assert world.store.live_sessions() == {}


async def test_idle_is_enforced_here_not_by_the_browser_d4_b11() -> None:
    world = World()
    browser = await world.logged_in()
    copied = browser.cookies[SESSION].value
    world.clock.advance(1801)
    thief = world.browser()
    thief.cookies[SESSION] = Cookie(copied, "strict", "app.example")
    assert (await thief.fetch("/api/x")).status == 401
    assert world.api.received == []
