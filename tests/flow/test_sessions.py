"""What a session is to the store, and how seldom it is written."""

from typing import Any

import pytest

from tests.support.world import World, settings_of


async def test_activity_is_written_at_most_once_a_minute() -> None:
    world = World()
    browser = await world.logged_in()
    writes = world.store.writes
    for _ in range(10):
        world.clock.advance(5)
        await browser.fetch("/api/x")
    assert world.store.writes == writes
    world.clock.advance(20)
    await browser.fetch("/api/x")
    assert world.store.writes == writes + 1


async def test_a_short_idle_timeout_is_kept_to_the_second_and_use_extends_it_d4() -> None:
    """A slide may be late by a tenth of the timeout, never by more than the timeout itself."""
    world = World(settings_of({"session": {"idle_timeout": "1m", "refresh_margin": "10s"}}))
    browser = await world.logged_in()
    for _ in range(10):
        world.clock.advance(30)
        assert (await browser.fetch("/api/x")).status == 200
    world.clock.advance(59)
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True
    world.clock.advance(1)
    assert (await browser.fetch("/api/x")).status == 401


async def test_a_session_is_found_by_its_user_and_by_the_providers_own_session_d7() -> None:
    world = World()
    lookup = world.lookup_of(await world.logged_in())
    for kind, value in (("user", "ada"), ("sid", "sid-1")):
        (name,) = world.ring.index_names(kind, "https://id.example", value)
        assert await world.store.members(name) == [lookup]


async def test_the_session_is_dead_before_the_provider_hears_of_the_logout_j1() -> None:
    world = World()
    browser = await world.logged_in()
    alive: list[int] = []
    plain = world.provider.send

    async def spying(request: Any) -> Any:
        alive.append(len(world.store.live_sessions()))
        return await plain(request)

    world.provider.send = spying  # type: ignore[method-assign]  # the same, watched
    await browser.fetch("/bff/logout", "POST")
    assert alive
    assert set(alive) == {0}


async def test_an_optional_route_serves_everybody_and_knows_who_is_logged_in() -> None:
    world = World()
    stranger = world.browser()
    assert (await stranger.fetch("/maybe/x")).status == 200
    assert world.api.sent(b"authorization") == []
    browser = await world.logged_in()
    assert (await browser.fetch("/maybe/x")).status == 200
    assert len(world.api.sent(b"authorization")) == 1
    world.store.lose_everything()
    assert (await browser.fetch("/maybe/x")).status == 200
    assert world.api.sent(b"authorization") == []


@pytest.mark.parametrize("path", ["/api/x", "/maybe/x"])
async def test_a_call_to_an_api_is_use_of_the_session_whether_it_must_have_one_or_may_a8(
    path: str,
) -> None:
    world = World()
    browser = await world.logged_in()
    for _ in range(4):
        world.clock.advance(1200)
        assert (await browser.fetch(path)).status == 200
    assert (await browser.fetch("/bff/session")).json()["idle_expires_in"] == 1800
    assert len(world.api.sent(b"authorization")) == 1


async def test_the_list_tells_both_ends_of_a_session() -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(300)
    (listed,) = (await browser.fetch("/bff/sessions")).json()["sessions"]
    assert listed["current"] is True
    assert listed["expires_in"] == 43200 - 300
    assert listed["idle_expires_in"] == 1800 - 300  # looking at the list is not use (A8)
    assert listed["last_seen"] == listed["created_at"]
    assert listed["address"] == "203.0.113.7"
