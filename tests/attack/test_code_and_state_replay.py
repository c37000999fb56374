"""Replay: a state is good for one token request, whoever presents it and how often (E4, E18)."""

import asyncio

import pytest

from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.memory_store import MemoryStore
from tests.support.world import LOGIN, SESSION, World


async def ready_to_return(world: World, path: str = "/bff/login") -> tuple[Browser, str]:
    browser = world.browser()
    started = await browser.load("https://app.example" + path)
    at_provider = await browser.load(started.one("location") or "")
    return browser, at_provider.one("location") or ""


async def test_twenty_parallel_callbacks_on_two_replicas_make_one_token_request_e4() -> None:
    world = World(replicas=2)
    browser, url = await ready_to_return(world)
    binding = browser.cookies[LOGIN]

    async def once(number: int) -> bool:
        twin = world.browser(world.gateways[number % 2])
        twin.cookies[LOGIN] = binding
        await twin.load(url, site="cross-site")
        return SESSION in twin.cookies

    logged_in = await asyncio.gather(*(once(number) for number in range(20)))
    assert sum(logged_in) == 1
    assert world.provider.seen("/token") == 1
    assert len(world.audit("login.succeeded")) == 1
    replayed = [line for line in world.audit("login.failed") if line["code"] == "state.replayed"]
    assert len(replayed) == 19


async def test_a_replay_by_the_person_leads_to_where_they_wanted_to_go() -> None:
    world = World()
    browser, url = await ready_to_return(world, "/bff/login?return_to=/public/page")
    await browser.navigate(url, initiator="https://id.example")
    landed = await browser.navigate(url, initiator="https://id.example")  # the back button
    assert landed.status == 200
    assert browser.url == "https://app.example/public/page"
    assert world.provider.seen("/token") == 1


@pytest.mark.parametrize("ahead", [0, 59])
async def test_an_attempt_stays_consumed_for_as_long_as_its_state_opens_e3_e4_e18(
    ahead: float,
) -> None:
    """Just before the attempt is over, and with a store whose clock runs ahead of the gateway's."""
    store_clock = TurnableClock()
    world = World(store=MemoryStore(store_clock))
    browser, url = await ready_to_return(world)
    await browser.load(url, site="cross-site")
    assert SESSION in browser.cookies
    world.clock.advance(599)
    store_clock.advance(599 + ahead)
    await browser.load(url, site="cross-site")
    assert world.provider.seen("/token") == 1
    assert [line["code"] for line in world.audit("login.failed")] == ["state.replayed"]


async def test_an_expired_state_restarts_the_login_once_at_its_own_target_e18() -> None:
    world = World()
    browser, url = await ready_to_return(world, "/bff/login?return_to=/public/page")
    world.clock.advance(601)
    landed = await browser.navigate(url, initiator="https://id.example")
    assert landed.status == 200
    assert browser.url == "https://app.example/public/page"
    assert world.provider.seen("/token") == 1  # the restarted login's own
    assert len(world.provider.authorizations) == 2
    assert SESSION in browser.cookies


async def test_a_browser_that_keeps_no_cookies_is_told_so_and_not_sent_in_circles() -> None:
    world = World()

    class NoCookies(Browser):
        def _keep(self, line: str, host: str) -> None:
            return

    browser = NoCookies({**world.providers, world.home: world.gateway.public}, world.home)
    landed = await browser.navigate("/bff/login?return_to=/public/page")
    assert landed.status == 400
    assert "state.unknown" in landed.text
    assert "cookies" in landed.text
    assert len(world.provider.authorizations) == 2
    assert world.provider.seen("/token") == 0


async def test_garbage_as_state_ends_in_one_login_never_in_a_loop() -> None:
    world = World()
    browser = world.browser()
    await browser.navigate(
        "/bff/callback/main?code=x&state=garbage&iss=https%3A%2F%2Fid.example",
        initiator="https://evil.example",
    )
    assert (
        world.provider.authorizations == []
    )  # it keeps no login cookie yet: explained, not restarted


async def test_a_provider_that_damages_every_state_causes_no_loop() -> None:
    world = World()
    world.provider.change_callback = lambda answer: {**answer, "state": "damaged"}
    browser = world.browser()
    landed = await browser.navigate("/bff/login?return_to=/public/page")
    assert landed.status == 400
    assert "state.unknown" in landed.text
    assert "/bff/login" in landed.text
    assert len(world.provider.authorizations) == 2
    assert world.provider.seen("/token") == 0


async def test_two_tabs_that_finish_at_the_same_moment_do_not_end_each_other() -> None:
    """Nobody knows which answer the browser takes last, so both cookies have to work."""
    world = World()
    browser = world.browser()
    cookies = []
    urls = []
    for _ in range(2):
        started = await browser.load("https://app.example/bff/login")
        at_provider = await browser.load(started.one("location") or "")
        urls.append(at_provider.one("location") or "")
    for url in urls:
        await browser.load(url, site="cross-site")
        cookies.append(browser.cookies[SESSION])
    for cookie in cookies:
        browser.cookies[SESSION] = cookie
        assert (await browser.fetch("/api/x")).status == 200
    world.clock.advance(10)
    await browser.navigate("/bff/login")  # the next login ends both
    assert len(world.store.live_sessions()) == 1


async def test_a_code_is_sent_with_the_verifier_of_its_own_attempt_only() -> None:
    """Two tabs, answers swapped: PKCE and state keep them apart (E1, E5)."""
    world = World()
    browser = world.browser()
    urls = []
    for tab in ("one", "two"):
        started = await browser.load(f"https://app.example/bff/login?return_to=/public/{tab}")
        at_provider = await browser.load(started.one("location") or "")
        urls.append(at_provider.one("location") or "")
    codes = [url.partition("code=")[2].partition("&")[0] for url in urls]
    swapped = urls[0].replace(codes[0], codes[1])
    await browser.load(swapped, site="cross-site")
    assert SESSION not in browser.cookies
    assert world.audit("login.failed")[-1]["code"] == "token_response.refused"


async def test_twenty_tabs_all_log_in_and_the_cookie_stays_one_e5_b9() -> None:
    world = World()
    browser = world.browser()
    urls = []
    for number in range(20):
        started = await browser.load(f"https://app.example/bff/login?return_to=/public/{number}")
        at_provider = await browser.load(started.one("location") or "")
        urls.append(at_provider.one("location") or "")
    assert list(browser.cookies) == [LOGIN]
    for number, url in enumerate(urls):
        world.clock.advance(6)
        await browser.navigate(url, initiator="https://id.example")
        assert browser.url == f"https://app.example/public/{number}"
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True
    # One browser, one session: the nineteen before were ended by the logins after them.
    assert len((await browser.fetch("/bff/sessions")).json()["sessions"]) == 1


async def test_an_unsolicited_error_ends_no_session_and_consumes_no_state_e9() -> None:
    world = World()
    browser = await world.logged_in()
    started = await browser.load("https://app.example/bff/login")
    at_provider = await browser.load(started.one("location") or "")
    for query in ("error=access_denied", "error=access_denied&state=garbage"):
        await browser.load(f"https://app.example/bff/callback/main?{query}", site="cross-site")
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True
    await browser.navigate(at_provider.one("location") or "", initiator="https://id.example")
    assert len(world.audit("login.succeeded")) == 2
