"""A dead cookie is dropped, and never the one of the next login: an answer names it, not its value.

A browser sends a request, something ends its session, it logs in again, and then the first request
is answered (ADR 0015).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.logout_tokens import deliver, logout_token
from tests.support.slow_grants import SlowGrants
from tests.support.world import SESSION, World

Ending = Callable[[World, Browser], Awaitable[None]]


class SlowCall:
    """A call that an API answers when it is released, with a 401 that calls the token invalid."""

    def __init__(self, world: World, browser: Browser) -> None:
        self._world = world
        self._plain = world.api.send
        self._gate = asyncio.Event()
        self.begun = asyncio.Event()
        world.api.send = self._send  # type: ignore[method-assign]  # the same, later
        self._call = asyncio.create_task(browser.fetch("/api/slow"))

    async def answered(self) -> Any:
        """Release it, and return what the browser gets."""
        self._gate.set()
        return await self._call

    async def _send(self, request: Any, body: Any) -> Any:
        if not request.target.endswith(b"/slow"):
            return await self._plain(request, body)
        self.begun.set()
        await self._gate.wait()
        self._world.api.rejects = lambda _: True  # its token has been revoked meanwhile
        try:
            return await self._plain(request, body)
        finally:
            self._world.api.rejects = lambda _: False


async def by_logout(_: World, browser: Browser) -> None:
    assert (await browser.fetch("/bff/logout", "POST")).status == 200


async def by_an_operator(world: World, browser: Browser) -> None:
    session_id = (await browser.fetch("/bff/session")).json()["session_id"]
    ended = await world.admin(f"/admin/sessions/{session_id}".encode(), "DELETE")
    assert ended.status == 200


async def by_its_provider(world: World, _: Browser) -> None:
    assert (await deliver(world, logout_token(world.provider))).status == 200
    world.clock.advance(2)  # a login of the same second would be overtaken by it (J13)


async def by_another_browser(world: World, _: Browser) -> None:
    elsewhere = await world.logged_in()
    assert (await elsewhere.fetch("/bff/sessions", "DELETE")).status == 200


async def by_itself_in_the_list(_: World, browser: Browser) -> None:
    session_id = (await browser.fetch("/bff/session")).json()["session_id"]
    assert (await browser.fetch(f"/bff/sessions/{session_id}", "DELETE")).status == 204


async def by_a_deadline(world: World, _: Browser) -> None:
    world.clock.advance(1800)


async def by_the_next_login(world: World, _: Browser) -> None:
    world.clock.advance(10)


ENDINGS: list[Ending] = [
    by_logout,
    by_an_operator,
    by_its_provider,
    by_another_browser,
    by_itself_in_the_list,
    by_a_deadline,
    by_the_next_login,
]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("seconds", [3, 125, 1300])
async def test_a_late_answer_of_an_ended_session_leaves_the_next_logins_cookie_alone(
    ending: Ending, seconds: float
) -> None:
    world = World()
    browser = await world.logged_in()
    slow = SlowCall(world, browser)
    await slow.begun.wait()
    await ending(world, browser)
    await browser.navigate("/bff/login")
    world.clock.advance(seconds)
    answer = await slow.answered()
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    assert answer.all("set-cookie") == []
    assert (await browser.fetch("/api/x")).status == 200


@pytest.mark.parametrize("ending", [by_logout, by_its_provider, by_the_next_login])
async def test_the_same_holds_for_a_call_that_waited_for_a_token(ending: Ending) -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    slow = SlowGrants(world.provider, most=1)
    call = asyncio.create_task(browser.fetch("/api/x"))
    await slow.begun.wait()
    await ending(world, browser)
    world.clock.advance(3)
    await browser.navigate("/bff/login")
    slow.release()
    answer = await call
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    assert answer.all("set-cookie") == []
    assert (await browser.fetch("/api/x")).status == 200


@pytest.mark.parametrize(
    "ending", [by_an_operator, by_its_provider, by_another_browser, by_a_deadline]
)
@pytest.mark.parametrize("path", ["/api/x", "/bff/session"])
async def test_a_browser_whose_session_has_ended_is_told_to_drop_its_cookie_once(
    ending: Ending, path: str
) -> None:
    world = World()
    browser = await world.logged_in()
    await ending(world, browser)
    assert len((await browser.fetch(path)).all("set-cookie")) == 1
    assert SESSION not in browser.cookies
    assert (await browser.fetch(path)).all("set-cookie") == []
    await browser.navigate("/bff/login")
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_browser_without_a_login_cookie_drops_a_dead_session_cookie_too() -> None:
    world = World()
    browser = await world.logged_in()
    kept = browser.cookies[SESSION]
    await by_an_operator(world, browser)
    browser.cookies = {SESSION: kept}
    await browser.fetch("/api/x")
    assert SESSION not in browser.cookies


async def test_while_nobody_can_say_what_the_browser_has_its_cookie_stays() -> None:
    """Whether it has another session cannot be looked up: the store fails at that very question."""
    world = World()
    browser = await world.logged_in()
    await by_its_provider(world, browser)
    plain = world.store.marks

    async def fails(_: Any) -> Any:
        world.store.down = True
        return await plain(_)

    world.store.marks = fails
    assert (await browser.fetch("/api/x")).all("set-cookie") == []
    assert SESSION in browser.cookies
