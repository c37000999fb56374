"""Session fixation: a session planted before a login must not become the victim's (D1, D2)."""

from tests.support.browser import Cookie
from tests.support.world import SESSION, World


async def test_a_login_never_writes_into_a_planted_session() -> None:
    world = World()
    attacker = await world.logged_in()
    planted = attacker.cookies[SESSION].value
    victim = world.browser()
    victim.cookies[SESSION] = Cookie(planted, "strict", "app.example")
    world.provider.subject = "victim"
    await victim.navigate("/bff/login")
    assert victim.cookies[SESSION].value != planted
    # What the attacker holds still shows the attacker, never the victim.
    seen = (await attacker.fetch("/bff/session")).json()
    assert seen["user"]["sub"] == "ada"


async def test_an_unknown_id_never_creates_a_session_under_that_id_d2() -> None:
    world = World()
    browser = world.browser()
    handle = world.ring.new_handle()
    browser.cookies[SESSION] = Cookie(world.ring.cookie_value(handle), "strict", "app.example")
    writes = world.store.writes
    answer = await browser.fetch("/bff/session")
    assert answer.json()["authenticated"] is False
    assert await world.store.read(world.ring.lookup(handle)) is None
    assert world.store.writes - writes <= 1  # the marker beside it, never a session


async def test_a_second_login_gives_a_new_handle_and_the_old_one_is_dead_on_every_replica() -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    old = browser.cookies[SESSION].value
    world.clock.advance(10)
    await browser.navigate("/bff/login")
    assert browser.cookies[SESSION].value != old
    for gateway in world.gateways:
        thief = world.browser(gateway)
        thief.cookies[SESSION] = Cookie(old, "strict", "app.example")
        assert (await thief.fetch("/api/x")).status == 401
    assert world.api.received == []


async def test_another_user_in_the_same_browser_inherits_nothing_d12() -> None:
    world = World()
    browser = await world.logged_in()
    old = browser.cookies[SESSION].value
    world.provider.subject = "grace"
    world.clock.advance(10)
    await browser.navigate("/bff/login?prompt=login")
    assert (await browser.fetch("/bff/session")).json()["user"]["sub"] == "grace"
    assert [s["current"] for s in (await browser.fetch("/bff/sessions")).json()["sessions"]] == [
        True
    ]
    thief = world.browser()
    thief.cookies[SESSION] = Cookie(old, "strict", "app.example")
    assert (await thief.fetch("/bff/session")).json()["authenticated"] is False


async def test_a_login_cookie_or_a_state_is_no_session_b14() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load("https://app.example/bff/login")
    state = (started.one("location") or "").partition("state=")[2].partition("&")[0]
    login_cookie = browser.cookies["__Host-Http-login"].value
    for value in (state, login_cookie, login_cookie + "." + login_cookie):
        browser.cookies[SESSION] = Cookie(value, "strict", "app.example")
        assert (await browser.fetch("/api/x")).status == 401
    assert world.api.received == []


async def test_of_two_parallel_logins_only_the_one_in_use_stays_d1() -> None:
    """Spared for a moment, since nobody knew which cookie the browser would take last."""
    world = World()
    browser = await world.logged_in()
    old = browser.cookies[SESSION]
    world.clock.advance(1)
    await browser.navigate("/bff/login?prompt=login")
    assert len(world.store.live_sessions()) == 2
    world.clock.advance(61)
    assert (await browser.fetch("/api/x")).status == 200
    assert len(world.store.live_sessions()) == 1
    browser.cookies[SESSION] = old
    assert (await browser.fetch("/api/x")).status == 401
