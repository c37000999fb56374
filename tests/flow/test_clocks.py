"""Clocks that differ, and clocks that jump: ours, the provider's, the store's, a replica's (F34).

Deadlines are judged by our clock, times to live by the store's, what a provider signed by ours with
the configured leeway. None of it is a reason to end a session that people use.
"""

import asyncio

import pytest

from gateway.edge.messages import UpstreamRequest
from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.memory_store import MemoryStore
from tests.support.websocket_ends import LiveApi, connected
from tests.support.world import BASE, SESSION, World, settings_of

HOUR = 3600.0


class Watches:
    """A gateway and a store, each with a clock of its own, on which time goes by alike."""

    def __init__(self, ahead: float = 0.0) -> None:
        """`ahead` is how far the store's is ahead of ours."""
        self.ours = TurnableClock()
        self.theirs = TurnableClock(self.ours.now() + ahead)

    def world(self) -> World:
        return World(clock=self.ours, store=MemoryStore(self.theirs))

    def advance(self, seconds: float) -> None:
        self.ours.advance(seconds)
        self.theirs.advance(seconds)


def with_leeway(seconds: str) -> World:
    main = {**BASE["providers"]["main"], "leeway": seconds}
    return World(settings_of({"providers": {"main": main}}))


# -- the provider's


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(
    ("leeway", "ahead", "accepted"),
    [("30s", 8, True), ("30s", 31, False), ("60s", 59, True), ("60s", 70, False)],
)
async def test_f34_a_token_from_the_future_counts_within_the_leeway_and_not_beyond(
    claim: str, leeway: str, ahead: int, accepted: bool
) -> None:
    world = with_leeway(leeway)
    world.provider.change_id_token = lambda claims: {
        **claims,
        claim: int(world.clock.now()) + ahead,
    }
    browser = world.browser()
    page = await browser.navigate("/bff/login")
    assert (page.status == 502) is not accepted
    assert (SESSION in browser.cookies) is accepted
    codes = [line["code"] for line in world.audit("login.failed")]
    assert codes == ([] if accepted else ["id_token.time"])


@pytest.mark.parametrize("off", [-300, 300])
async def test_f34_a_provider_whose_clock_is_off_costs_no_session_its_refresh(off: int) -> None:
    """A refreshed ID token is optional; an access token lives from when we have it (H6)."""
    world = World()
    browser = await world.logged_in()
    world.provider.change_id_token = lambda claims: {
        **claims,
        "iat": claims["iat"] + off,
        "exp": claims["exp"] + off,
    }
    for number in range(3):
        world.clock.advance(400)
        assert (await browser.fetch("/api/x")).status == 200
        assert world.provider.seen("/token") == number + 2
    assert (await browser.fetch("/bff/session")).json()["tokens"] == "healthy"


# -- ours, set back


async def test_f34_a_clock_set_back_by_an_hour_ends_no_session_that_is_used() -> None:
    """The store goes on counting: uses have to be written down meanwhile."""
    watches = Watches()
    world = watches.world()
    browser = await world.logged_in()
    watches.advance(600)
    assert (await browser.fetch("/api/x")).status == 200
    watches.ours.advance(-HOUR)
    for _ in range(24):  # two hours
        assert (await browser.fetch("/api/x")).status == 200
        watches.advance(300)
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True
    watches.advance(1801)
    assert (await browser.fetch("/api/x")).status == 401  # and the idle deadline holds again


async def test_f34_a_clock_set_back_by_an_hour_ends_no_websocket_that_is_used_p7() -> None:
    watches = Watches()
    world = watches.world()
    browser = await world.logged_in()
    here, there = await connected(browser, LiveApi(world), "/live/x")
    watches.ours.advance(-HOUR)
    for number in range(12):  # an hour
        here.text(f"{number}")
        await there.until(lambda end: f"{number}" in end.messages)  # noqa: B023
        world.gateway.live.sweep()
        await world.gateway.live.settled()
        watches.advance(300)
    assert here.closed is None
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True


async def test_f34_a_token_that_is_over_by_the_true_time_is_replaced_when_an_api_says_so() -> None:
    """After the jump it looks good for an hour; the API knows better (H12)."""
    watches = Watches()
    world = watches.world()
    over: dict[bytes, float] = {}  # by the true time, which is the store's here

    def is_over(request: UpstreamRequest) -> bool:
        token = dict(request.fields)[b"authorization"]
        over.setdefault(token, watches.theirs.now() + 300)
        return watches.theirs.now() >= over[token]

    world.api.rejects = is_over
    browser = await world.logged_in()
    assert (await browser.fetch("/api/x")).status == 200
    watches.ours.advance(-HOUR)
    for number in range(8):
        watches.advance(400)
        assert (await browser.fetch("/api/x")).status == 200
        assert world.provider.seen("/token") == number + 2
    assert world.audit("session.ended") == []


async def test_f34_what_a_provider_published_is_asked_for_again_after_the_clock_was_set_back() -> (
    None
):
    """Else a copy is used for an hour longer than documents are believed (F7)."""
    world = World()
    await world.logged_in()
    world.clock.advance(-HOUR)
    await world.logged_in()
    assert world.provider.seen("/.well-known/openid-configuration") == 2
    for _ in range(3):
        world.clock.advance(10)
        await world.logged_in()
    assert world.provider.seen("/.well-known/openid-configuration") == 2


async def test_f34_a_login_under_way_when_the_clock_is_set_back_ends_or_begins_again() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load(f"{world.home}/bff/login")
    at_provider = await browser.load(started.one("location") or "")
    world.clock.advance(-HOUR)
    await browser.navigate(at_provider.one("location") or "", initiator=world.provider.issuer)
    assert SESSION in browser.cookies
    assert (await browser.fetch("/api/x")).status == 200
    assert len(world.provider.authorizations) <= 2


# -- ours, set forward


async def test_f34_a_clock_set_forward_ends_what_is_over_by_it_with_one_login() -> None:
    """Deadlines are judged by our clock: an hour is longer than the half hour without a use."""
    watches = Watches()
    world = watches.world()
    browser = await world.logged_in()
    watches.ours.advance(HOUR)
    answer = await browser.fetch("/api/x")
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    await browser.navigate("/bff/login")
    assert (await browser.fetch("/api/x")).status == 200
    assert len(world.provider.authorizations) == 2


# -- the store's


@pytest.mark.parametrize("ahead", [-300.0, 300.0])
async def test_f34_a_store_whose_clock_is_off_changes_nothing(ahead: float) -> None:
    """It is told times to live, never moments."""
    watches = Watches(ahead)
    world = watches.world()
    browser = await world.logged_in()
    for _ in range(4):
        watches.advance(1790)
        assert (await browser.fetch("/api/x")).status == 200
    assert len((await browser.fetch("/bff/sessions")).json()["sessions"]) == 1
    watches.advance(1795)
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True
    watches.advance(10)
    assert (await browser.fetch("/api/x")).status == 401
    assert world.store.live_sessions() == {}


# -- a replica's


def moved(browser: Browser, world: World, gateway: int) -> None:
    """Send this browser to another replica from now on."""
    browser.origins = {**browser.origins, world.home: world.gateways[gateway].public}


@pytest.mark.parametrize("off", [-300.0, -40.0, 40.0, 300.0])
async def test_f34_replicas_whose_clocks_differ_serve_one_session_in_turn(off: float) -> None:
    watches = Watches()
    world = watches.world()
    other = TurnableClock(watches.ours.now() + off)
    world.clock = other
    world.gateways.append(world.replica())
    browser = await world.logged_in()
    for turn in range(60):  # two hours
        moved(browser, world, turn % 2)
        answer = await browser.fetch("/api/x")
        assert answer.status == 200, turn
        assert answer.all("set-cookie") == []
        watches.advance(120)
        other.advance(120)
    assert world.audit("session.ended") == []
    # A token lives for five minutes: not many more grants than that takes, and no storm.
    assert world.provider.seen("/token") <= 62
    await asyncio.gather(*(gateway.aclose() for gateway in world.gateways))
