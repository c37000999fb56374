"""One browser whose logins overlap each other, a slide, or a logout (ADR 0015, D1, D3)."""

import asyncio
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.memory_store import MemoryStore
from tests.support.world import World


class HeldList:
    """Holds the next reading of an index by this store until `release`."""

    def __init__(self, store: MemoryStore) -> None:
        self._plain = store.members
        self._gate = asyncio.Event()
        self.begun = asyncio.Event()
        store.members = self._members  # type: ignore[method-assign]  # the same, later

    def release(self) -> None:
        self._gate.set()

    async def _members(self, index: Any) -> Any:
        if not self.begun.is_set():
            self.begun.set()
            await self._gate.wait()
        return await self._plain(index)


def tab_of(world: World, browser: Browser, replica: Any = None) -> Browser:
    """A second tab: the same cookies, for good."""
    tab = world.browser(replica)
    tab.cookies = browser.cookies
    return tab


async def at_callback(world: World, tab: Browser) -> str:
    """Begin a login and return the address the provider sends the browser back to."""
    started = await tab.load(f"{world.home}/bff/login")
    at_provider = await tab.load(started.one("location") or "")
    return at_provider.one("location") or ""


@pytest.mark.parametrize("seconds", [61, 66, 700])
async def test_a_first_slide_ends_no_login_that_came_while_it_was_on_its_way(
    seconds: float,
) -> None:
    world = World()
    browser = await world.logged_in()
    tab = tab_of(world, browser)
    world.clock.advance(seconds)
    slide = HeldList(world.store)
    call = asyncio.create_task(tab.fetch("/api/x"))
    await slide.begun.wait()
    await browser.navigate("/bff/login")
    slide.release()
    await call
    assert (await browser.fetch("/api/x")).status == 200
    assert [line["by"] for line in world.audit("session.ended")] == ["new_login"]


@pytest.mark.parametrize("ahead", [6, 8, 29])
async def test_two_tabs_that_log_in_at_once_leave_a_session_though_replicas_clocks_differ_f34(
    ahead: float,
) -> None:
    world = World()
    true, world.clock = world.clock, TurnableClock(world.clock.now() + ahead)
    other, world.clock = world.replica(), true
    browser = world.browser()
    first = await at_callback(world, browser)
    tab = tab_of(world, browser, other)
    second = await at_callback(world, tab)
    listing = HeldList(world.stores[0])
    login = asyncio.create_task(browser.load(first, site="cross-site"))
    await listing.begun.wait()  # both have written their sessions before either looks for others
    assert (await tab.load(second, site="cross-site")).status == 200
    listing.release()
    assert (await login).status == 200
    assert len(world.store.live_sessions()) == 1


async def test_what_a_clock_ahead_made_seem_younger_ends_with_the_first_use_that_is_noted_d1() -> (
    None
):
    world = World()
    true, world.clock = world.clock, TurnableClock(world.clock.now() + 25)
    ahead, world.clock = world.replica(), true
    browser = world.browser(ahead)
    await browser.navigate("/bff/login")
    old = world.lookup_of(browser)
    world.clock.advance(10)
    tab = tab_of(world, browser)
    await tab.navigate("/bff/login?prompt=login")
    assert old in world.store.live_sessions()
    world.clock.advance(61)
    assert (await tab.fetch("/api/x")).status == 200
    assert list(world.store.live_sessions()) == [world.lookup_of(tab)]
