"""One browser whose logins overlap each other, a slide, or a logout (ADR 0015, D1, D3)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import Code, Unavailable
from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.memory_store import MemoryStore
from tests.support.store_watcher import until
from tests.support.world import LOGIN, SESSION, World


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


class HeldStep:
    """Holds one step of a login, after it took effect, until `release`: `token` or `create`."""

    def __init__(self, world: World, step: str) -> None:
        self._gate = asyncio.Event()
        self.begun = asyncio.Event()
        if step == "create":
            world.store.create = self._late(world.store.create)
        else:
            plain = world.provider.send
            late = self._late(plain)

            async def send(request: Any) -> Any:
                return await (late if request.url.endswith("/token") else plain)(request)

            world.provider.send = send  # type: ignore[method-assign]  # the same, later

    def release(self) -> None:
        self._gate.set()

    def _late(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        async def late(*arguments: Any, **named: Any) -> Any:
            answer = await plain(*arguments, **named)
            self.begun.set()
            await self._gate.wait()
            return answer

        return late


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


async def test_two_logins_that_find_each_other_at_the_same_moment_leave_one_session() -> None:
    """As two people, in two tabs: neither is spared, and not both are ended (D12)."""
    world = World()
    browser = world.browser()
    first = await at_callback(world, browser)
    world.provider.subject = "grace"
    tab = tab_of(world, browser)
    second = await at_callback(world, tab)
    plain, both = world.store.read_many, asyncio.Barrier(2)

    async def read_many(lookups: Any) -> Any:
        found = await plain(lookups)
        if len(lookups) == 2:  # each has found the other's, and ends nothing before the other has
            async with asyncio.timeout(5):
                await both.wait()
        return found

    world.store.read_many = read_many
    written = HeldStep(world, "create")
    one = asyncio.create_task(browser.load(first, site="cross-site"))
    other = asyncio.create_task(tab.load(second, site="cross-site"))
    await until(lambda: len(world.store.live_sessions()) == 2)
    written.release()
    answers = await asyncio.gather(one, other)
    world.store.read_many = plain
    assert [answer.status for answer in answers] == [200, 200]
    assert len(world.store.live_sessions()) == 1


@pytest.mark.parametrize("step", ["token", "create"])
async def test_a_login_under_way_does_not_bring_back_who_logged_out_meanwhile_d6(step: str) -> None:
    world = World()
    browser = await world.logged_in()
    callback = await at_callback(world, browser)
    held = HeldStep(world, step)
    login = asyncio.create_task(browser.load(callback, site="cross-site"))  # in a second tab
    await held.begun.wait()
    assert (await browser.fetch("/bff/logout", "POST")).status == 200
    held.release()
    answer = await login
    assert answer.status == 403
    assert "login.overtaken" in answer.text
    assert "logged out in this browser" in answer.text
    assert SESSION not in browser.cookies
    assert world.store.live_sessions() == {}
    await asyncio.sleep(0.05)
    refresh_tokens = [value for value in world.issued() if value.startswith("rt-")]
    assert sorted(world.provider.revoked) == sorted(refresh_tokens)
    assert {line["by"] for line in world.audit("session.ended")} == {"user"}
    world.clock.advance(1)
    await browser.navigate("/bff/login")
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_login_begun_after_a_logout_is_never_hit_by_it() -> None:
    """Not even one by a login cookie that was to go, where the logout's answer got lost."""
    world = World()
    browser = await world.logged_in()
    kept = browser.cookies[LOGIN]
    await browser.fetch("/bff/logout", "POST")
    for seconds in (0.001, 1, 700):
        browser.cookies[LOGIN] = kept
        world.clock.advance(seconds)
        await browser.navigate("/bff/login")
        assert (await browser.fetch("/api/x")).status == 200


@pytest.mark.parametrize("step", ["token", "create"])
async def test_a_browser_that_leaves_its_callback_leaves_no_session_and_no_token_behind(
    step: str,
) -> None:
    world = World()
    browser = await world.logged_in()
    (older,) = world.store.live_sessions()
    world.clock.advance(10)
    callback = await at_callback(world, browser)
    held = HeldStep(world, step)
    login = asyncio.create_task(browser.load(callback, site="cross-site"))
    await held.begun.wait()
    login.cancel()
    await asyncio.gather(login, return_exceptions=True)
    held.release()
    await world.gateway.aclose()  # an orderly stop waits for it
    assert list(world.store.live_sessions()) == [older]
    newest = [value for value in world.issued() if value.startswith("rt-")][-1]
    assert world.provider.revoked == [newest]
    assert "the browser left" in world.audit("login.failed")[-1]["note"]
    assert len(world.audit("login.succeeded")) == 1
    assert (await browser.fetch("/api/x")).status == 200  # it goes on with what it had


async def test_a_login_that_fails_after_its_browser_left_is_in_the_audit_log() -> None:
    world = World()
    browser = world.browser()
    callback = await at_callback(world, browser)
    world.provider.change_id_token = lambda claims: {**claims, "nonce": "another"}
    held = HeldStep(world, "token")
    login = asyncio.create_task(browser.load(callback, site="cross-site"))
    await held.begun.wait()
    login.cancel()
    await asyncio.gather(login, return_exceptions=True)
    held.release()
    await world.gateway.aclose()
    assert [line["code"] for line in world.audit("login.failed")] == ["id_token.nonce"]
    assert world.store.live_sessions() == {}


async def test_ending_all_others_ends_no_login_that_came_while_it_was_on_its_way() -> None:
    """A store may take its time over the list, and then name a session nobody has spoken of."""
    world = World()
    browser = await world.logged_in()
    await world.logged_in()
    listing = HeldList(world.stores[0])
    ending = asyncio.create_task(browser.fetch("/bff/sessions", "DELETE"))
    await listing.begun.wait()
    world.clock.advance(10)
    again = tab_of(world, browser)
    await again.navigate("/bff/login?prompt=login")
    listing.release()
    answer = await ending
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    assert (await again.fetch("/api/x")).status == 200
    assert "other_session" not in [line["by"] for line in world.audit("session.ended")]


async def test_a_logout_that_was_answered_503_and_is_repeated_overtakes_a_login_under_way() -> None:
    world = World()
    browser = await world.logged_in()
    callback = await at_callback(world, browser)
    held = HeldStep(world, "token")
    tab = tab_of(world, browser)
    login = asyncio.create_task(tab.load(callback, site="cross-site"))
    await held.begun.wait()
    mark, members = world.store.mark, world.store.members

    async def fails(*_: Any, **__: Any) -> Any:
        raise Unavailable(Code.STORE_UNAVAILABLE)

    world.store.mark = world.store.members = fails
    assert (await browser.fetch("/bff/logout", "POST")).status == 503
    world.store.mark, world.store.members = mark, members
    assert (await browser.fetch("/bff/logout", "POST")).status == 200
    held.release()
    assert (await login).status == 403
    assert world.store.live_sessions() == {}


async def test_a_logout_ends_a_login_under_way_that_carries_another_tag() -> None:
    """The browser lost its login cookie: the session has the tag of before, the login a new one."""
    world = World()
    browser = await world.logged_in()
    world.clock.advance(100)
    del browser.cookies[LOGIN]
    callback = await at_callback(world, browser)
    tab = tab_of(world, browser)
    listing = HeldList(world.stores[0])
    login = asyncio.create_task(tab.load(callback, site="cross-site"))
    await listing.begun.wait()
    assert (await browser.fetch("/bff/logout", "POST")).status == 200
    listing.release()
    await login
    assert world.store.live_sessions() == {}


async def test_a_dead_cookie_leaves_one_mark_whatever_login_cookies_come_with_it() -> None:
    world = World()
    browser = await world.logged_in()
    dead = browser.cookies[SESSION]
    await browser.fetch("/bff/logout", "POST")
    plain, marks = world.store.mark, []

    async def noted(*names: Any, **more: Any) -> Any:
        marks.append(names)
        return await plain(*names, **more)

    world.store.mark = noted
    for number in range(20):
        browser.cookies[SESSION] = dead
        await browser.navigate("/bff/login?prompt=login")  # another login cookie each time
        browser.cookies[SESSION] = dead
        assert (await browser.fetch("/bff/logout", "POST")).status == 200, number
    assert len(marks) == 1
