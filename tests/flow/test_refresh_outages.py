"""What a provider's weather costs: attempts, never a session (H10, H11, F12, F13, F16)."""

import asyncio
from collections import deque

import pytest

from gateway.errors import Code, Effect, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer
from tests.support.browser import Browser
from tests.support.store_watcher import until
from tests.support.world import SESSION, World

BAD_GATEWAY = BackChannelAnswer(502, "text/html", b"<h1>bad gateway</h1>")
BUSY = BackChannelAnswer(503, "text/html", b"<h1>busy</h1>")


def answering(world: World, *answers: BackChannelAnswer) -> None:
    world.provider.answers["/token"] = deque(answers)


async def settled(world: World, failures: int) -> None:
    await until(lambda: len(world.audit("token.refresh_failed")) == failures)
    await asyncio.sleep(0.01)


async def test_after_an_answer_that_says_nothing_the_good_token_is_used_to_its_end() -> None:
    """The refresh token may be spent: asking again would be taken for a theft of it."""
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x")
    answering(world, BAD_GATEWAY)
    world.clock.advance(250)
    assert (await browser.fetch("/api/x")).status == 200
    await settled(world, 1)
    for _ in range(4):
        world.clock.advance(10)
        assert (await browser.fetch("/api/x")).status == 200
        await asyncio.sleep(0.02)
    assert world.provider.seen("/token") == 2  # the login, the lost one; no reuse was risked
    assert (await browser.fetch("/bff/session")).json()["tokens"] == "degraded"
    world.clock.advance(10)  # its end
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 3


async def test_a_lost_answer_is_asked_for_once_more_soon_f16() -> None:
    """Providers that rotate often accept the old token for some seconds, for this very case."""
    world = World()
    browser = await world.logged_in()
    world.provider.down = True  # no answer at all
    world.clock.advance(250)
    await browser.fetch("/api/x")
    await settled(world, 1)
    world.clock.advance(3)
    await browser.fetch("/api/x")
    await settled(world, 2)
    for _ in range(3):
        world.clock.advance(5)
        assert (await browser.fetch("/api/x")).status == 200
        await asyncio.sleep(0.02)
    assert len(world.audit("token.refresh_failed")) == 2  # and then no more while it is good


async def test_being_turned_away_spends_nothing_and_is_tried_again() -> None:
    world = World()
    browser = await world.logged_in()
    answering(world, BUSY)
    world.clock.advance(250)
    await browser.fetch("/api/x")
    await settled(world, 1)
    world.clock.advance(5)
    await browser.fetch("/api/x")
    await until(lambda: len(world.audit("token.refreshed")) == 1)


async def test_an_outage_of_a_minute_with_a_dead_token_is_503_and_nobody_is_logged_out() -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    other = world.browser(world.gateways[1])
    other.cookies = browser.cookies
    world.clock.advance(400)
    world.provider.down = True
    for _ in range(60):
        for one in (browser, other):
            answer = await one.fetch("/api/x")
            assert (answer.status, answer.json()["code"]) == (503, "token.unavailable")
            assert int(answer.one("retry-after") or 0) >= 1
            assert answer.all("set-cookie") == []
        world.clock.advance(1)
    attempts = world.provider.seen("/token") - 1
    assert 3 <= attempts <= 20  # of 120 calls
    world.provider.down = False
    world.clock.advance(15)
    assert (await browser.fetch("/api/x")).status == 200
    assert (await other.fetch("/api/x")).status == 200
    assert (await browser.fetch("/bff/session")).json()["tokens"] == "healthy"


async def test_one_replicas_failure_keeps_the_other_from_asking_at_once() -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    other = world.browser(world.gateways[1])
    other.cookies = browser.cookies
    world.clock.advance(400)
    answering(world, BUSY)
    assert (await browser.fetch("/api/x")).status == 503
    assert (await other.fetch("/api/x")).status == 503
    assert world.provider.seen("/token") == 2
    assert (await other.fetch("/bff/session")).json()["tokens"] == "degraded"


async def people(world: World, count: int) -> list[Browser]:
    return [await world.logged_in() for _ in range(count)]


async def test_an_outage_does_not_become_a_stampede_of_everybody() -> None:
    world = World()
    crowd = await people(world, 30)
    world.clock.advance(400)
    world.provider.down = True
    begun = world.provider.seen("/token")
    for _ in range(3):
        answers = await asyncio.gather(*(one.fetch("/api/x") for one in crowd[:10]))
        assert {answer.status for answer in answers} == {503}
    for _ in range(20):
        for one in crowd:
            assert (await one.fetch("/api/x")).status == 503
        world.clock.advance(3)
    attempts = world.provider.seen("/token") - begun
    assert attempts < 40  # of 630 calls in a minute: the circuit is open, one probes now and then
    metrics = (await world.admin(b"/metrics")).body.decode()
    assert 'gateway_provider_circuit_open{provider="main"} 1.0' in metrics
    world.provider.down = False
    world.clock.advance(20)
    assert (await crowd[0].fetch("/api/x")).status == 200
    answers = await asyncio.gather(*(one.fetch("/api/x") for one in crowd))
    assert {answer.status for answer in answers} <= {200, 503}
    world.clock.advance(11)
    answers = await asyncio.gather(*(one.fetch("/api/x") for one in crowd))
    assert [answer.status for answer in answers] == [200] * 30
    assert all(SESSION in one.cookies for one in crowd)


async def test_a_provider_that_says_when_is_left_alone_until_then() -> None:
    world = World()
    one, other = await people(world, 2)
    world.clock.advance(400)
    wait = BackChannelAnswer(429, "application/json", b"{}", 20)
    answering(world, wait, wait)
    answer = await one.fetch("/api/x")
    assert answer.status == 503
    assert (await other.fetch("/api/x")).status == 503  # asked: one is told for itself alone
    assert int(answer.one("retry-after") or 0) >= 20
    seen = world.provider.seen("/token")
    for _ in range(6):
        assert (await one.fetch("/api/x")).status == 503
        assert (await other.fetch("/api/x")).status == 503  # of the same provider
        world.clock.advance(3)
    assert world.provider.seen("/token") == seen
    world.clock.advance(10)
    assert (await one.fetch("/api/x")).status == 200
    assert (await other.fetch("/api/x")).status == 200


@pytest.mark.parametrize("effect", list(Effect))
async def test_a_store_that_fails_at_the_lock_costs_no_grant_and_no_session(
    effect: Effect,
) -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    plain = world.store.lock_of

    def failing(*_: object) -> None:
        raise Unavailable(Code.STORE_UNAVAILABLE, note="the lock", effect=effect)

    world.store.lock_of = failing
    answer = await browser.fetch("/api/x")
    assert (answer.status, answer.json()["code"]) == (503, "store.unavailable")
    assert world.provider.seen("/token") == 1
    assert answer.all("set-cookie") == []
    world.store.lock_of = plain
    assert (await browser.fetch("/api/x")).status == 200
