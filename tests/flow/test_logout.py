"""Logging out (section J, H16, B10, D13)."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.clock import TurnableClock
from tests.support.full_store import FullStore
from tests.support.store_watcher import until
from tests.support.world import LOGIN, SESSION, World


async def test_logout_kills_revokes_clears_and_sends_to_the_provider_and_back_j1_j2_j3() -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/bff/logout?return_to=/public/bye", "POST")
    assert answer.status == 200
    assert SESSION not in browser.cookies  # the deletion kept the prefix's rules (B10)
    assert LOGIN not in browser.cookies
    assert answer.one("clear-site-data") == '"cache", "storage"'
    assert answer.one("cache-control") == "no-store"
    assert world.store.live_sessions() == {}
    refresh = next(value for value in world.issued() if value.startswith("rt-"))
    assert world.provider.revoked == [refresh]
    target = answer.json()["redirect_to"]
    asked = parse_qs(urlsplit(target).query)
    assert target.startswith("https://id.example/logout?")
    assert asked["post_logout_redirect_uri"] == ["https://app.example/bff/logged-out"]
    assert asked["client_id"] == ["spa"]
    assert asked["id_token_hint"][0] in world.issued()
    await browser.navigate(target, initiator="https://app.example")
    assert browser.url == "https://app.example/public/bye"


async def test_a_form_is_answered_with_a_redirect_e15() -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.load("https://app.example/bff/logout", site="same-origin", form=b"")
    assert answer.status == 303
    assert (answer.one("location") or "").startswith("https://id.example/logout?")
    assert SESSION not in browser.cookies


async def test_logout_works_with_the_provider_down_j1() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    answer = await browser.fetch("/bff/logout", "POST")
    assert answer.status == 200
    assert world.store.live_sessions() == {}
    assert SESSION not in browser.cookies
    assert [line["outcome"] for line in world.audit("token.revocation_failed")] == ["failure"]


async def test_a_replica_that_never_met_the_provider_logs_out_while_it_is_down() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    fresh = world.browser(world.replica())
    fresh.cookies = browser.cookies
    answer = await fresh.fetch("/bff/logout", "POST")
    assert answer.status == 200
    assert answer.json()["redirect_to"] == "/"
    assert world.store.live_sessions() == {}


async def test_a_hanging_revocation_does_not_hold_the_person_h16() -> None:
    world = World()
    browser = await world.logged_in()
    plain = world.provider.send
    gate = asyncio.Event()

    async def hangs(request: object) -> object:
        if request.url.endswith("/revoke"):  # type: ignore[attr-defined]  # a BackChannelRequest
            await gate.wait()
        return await plain(request)  # type: ignore[arg-type]  # as above

    world.provider.send = hangs  # type: ignore[method-assign,assignment]  # hangs at one path
    answer = await asyncio.wait_for(browser.fetch("/bff/logout", "POST"), 5)
    assert answer.status == 200
    assert world.provider.revoked == []
    gate.set()
    await asyncio.sleep(0.05)
    assert len(world.provider.revoked) == 1


async def test_logging_out_twice_or_without_a_session_is_harmless() -> None:
    world = World()
    browser = await world.logged_in()
    for _ in range(2):
        assert (await browser.fetch("/bff/logout", "POST")).status == 200
    assert len(world.audit("session.ended")) == 1
    assert (await world.browser().fetch("/bff/logout", "POST")).json() == {"redirect_to": "/"}


async def test_a_provider_without_revocation_or_logout_endpoint_is_no_error() -> None:
    world = World()
    world.provider.metadata = {"revocation_endpoint": None, "end_session_endpoint": None}
    browser = await world.logged_in()
    answer = await browser.fetch("/bff/logout?return_to=/public/bye", "POST")
    assert answer.json() == {"redirect_to": "/public/bye"}
    assert world.audit("token.revocation_failed") == []


async def test_who_ended_a_session_is_in_the_audit_log() -> None:
    world = World()
    laptop = await world.logged_in()
    await world.logged_in()
    await laptop.fetch("/bff/sessions", "DELETE")
    world.clock.advance(10)
    await laptop.navigate("/bff/login")
    await laptop.fetch("/bff/logout", "POST")
    assert [line["by"] for line in world.audit("session.ended")] == [
        "other_session",
        "new_login",
        "user",
    ]


@pytest.mark.parametrize("state", ["", "state=", "state=x&state=y", "state=%ff"])
async def test_coming_back_without_a_good_state_ends_at_home_or_a_4xx_j3(state: str) -> None:
    world = World()
    answer = await world.browser().load(f"https://app.example/bff/logged-out?{state}")
    assert answer.status in (200, 400)
    if answer.status == 200:
        assert '0;url=/"' in answer.text


@pytest.mark.parametrize(
    ("seconds", "home"),
    [(0, "/public/bye"), (3600, "/public/bye"), (3601, "/"), (-60, "/public/bye"), (-61, "/")],
)
async def test_a_logout_state_is_good_for_an_hour_and_no_longer_j3(
    seconds: float, home: str
) -> None:
    """Replicas' clocks may differ by a minute, so one may seem to come from the future."""
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/bff/logout?return_to=/public/bye", "POST")
    state = parse_qs(urlsplit(answer.json()["redirect_to"]).query)["state"][0]
    world.clock.advance(seconds)
    back = await browser.load(f"https://app.example/bff/logged-out?state={state}")
    assert f'0;url={home}"' in back.text


async def test_coming_back_from_the_provider_is_a_step_of_our_own_site_b5() -> None:
    """A redirect goes on as the cross-site navigation it is, and a session's route refuses that."""
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/bff/logout?return_to=/api/home", "POST")
    at_provider = await browser.load(answer.json()["redirect_to"])
    back = await browser.load(at_provider.one("location") or "", site="cross-site")
    assert back.status == 200
    assert '0;url=/api/home"' in back.text
    assert "<script" not in back.text
    landed = await browser.load("https://app.example/api/home", site="same-origin")
    assert landed.status == 303  # nobody is logged in: to the login, not to a refusal
    assert (landed.one("location") or "").startswith("/bff/login")


async def test_logging_out_ends_what_a_parallel_tab_left_in_this_browser_d3() -> None:
    world = World()
    browser = world.browser()
    urls = []
    for _ in range(2):
        started = await browser.load("https://app.example/bff/login")
        at_provider = await browser.load(started.one("location") or "")
        urls.append(at_provider.one("location") or "")
    for url in urls:
        await browser.load(url, site="cross-site")
    assert len(world.store.live_sessions()) == 2
    await browser.fetch("/bff/logout", "POST")
    assert world.store.live_sessions() == {}


@pytest.mark.parametrize("whose", ["all others", "another", "its own"])
async def test_an_end_of_sessions_that_has_begun_goes_on_when_its_browser_leaves(
    whose: str,
) -> None:
    world = World()
    browser = await world.logged_in()
    others = [await world.logged_in() for _ in range(3)]
    target = "/bff/sessions"
    if whose != "all others":
        named = browser if whose == "its own" else others[0]
        target += "/" + (await named.fetch("/bff/session")).json()["session_id"]
    plain = world.store.end
    begun, told = asyncio.Event(), asyncio.Event()

    async def ends_and_tells_late(*arguments: Any, **named: Any) -> bool:
        was_there: bool = await plain(*arguments, **named)
        begun.set()
        await told.wait()
        return was_there

    world.store.end = ends_and_tells_late
    leaving = asyncio.create_task(browser.fetch(target, "DELETE"))
    await until(begun.is_set)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    told.set()
    await world.gateway.aclose()  # an orderly stop waits for it
    left = 1 if whose == "all others" else 3
    assert len(world.store.live_sessions()) == left
    ended = [line["by"] for line in world.audit("session.ended")]
    assert ended == ["other_session"] * (4 - left)


async def test_a_second_logout_after_a_503_that_took_effect_gives_the_token_back_h16() -> None:
    """The first may have ended the session unheard, with the store away right after it."""
    world = World()
    browser = await world.logged_in()
    plain = world.store.end

    async def ends_and_goes_away(*arguments: Any, **named: Any) -> bool:
        await plain(*arguments, **named)
        world.store.down = True
        return await plain(*arguments, **named)  # type: ignore[no-any-return]  # raises

    world.store.end = ends_and_goes_away
    assert (await browser.fetch("/bff/logout", "POST")).status == 503
    assert SESSION in browser.cookies
    assert world.provider.revoked == []
    world.store.end = plain
    world.store.down = False
    assert (await browser.fetch("/bff/logout", "POST")).status == 200
    await asyncio.sleep(0.05)
    assert world.provider.revoked == [value for value in world.issued() if value.startswith("rt-")]


async def test_a_store_that_is_full_lets_a_person_leave() -> None:
    clock = TurnableClock()
    world = World(clock=clock, store=(store := FullStore(clock)))
    browser = await world.logged_in()
    store.full = True
    assert (await browser.fetch("/bff/logout", "POST")).status == 200
    assert store.live_sessions() == {}
    assert len(world.provider.revoked) == 1


def two_login_cookies(session: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"host", b"app.example"),
        (b"x-csrf", b"1"),
        (b"sec-fetch-site", b"same-origin"),
        (b"origin", b"https://app.example"),
        (b"cookie", f"{SESSION}={session}; {LOGIN}=a; {LOGIN}=b".encode()),
    ]


async def test_two_login_cookies_keep_nobody_from_an_answer_or_from_leaving() -> None:
    world = World()
    browser = await world.logged_in()
    dead = await world.raw("GET", b"/api/x", two_login_cookies("x"))
    assert (dead.status, dead.json()["code"]) == (401, "session.ended")
    answer = await world.raw(
        "POST", b"/bff/logout", two_login_cookies(browser.cookies[SESSION].value)
    )
    assert answer.status == 200
    assert world.store.live_sessions() == {}


async def test_a_late_logout_with_the_cookie_before_the_last_ends_what_the_browser_has_now() -> (
    None
):
    """Its answer drops the cookie of the newer session, which must not live on without it."""
    world = World()
    browser = await world.logged_in()
    old = browser.cookies[SESSION]
    world.clock.advance(100)
    await browser.navigate("/bff/login?prompt=login")
    browser.cookies[SESSION] = old
    assert (await browser.fetch("/bff/logout", "POST")).status == 200
    assert world.store.live_sessions() == {}
