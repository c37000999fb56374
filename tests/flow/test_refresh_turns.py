"""One grant per session over all processes, whatever becomes of who began it (H8, H9, F11, F16)."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Code, Unavailable
from gateway.ports import Caller, LookupId
from gateway.session.timing import Timing
from tests.support.browser import Browser
from tests.support.slow_grants import SlowGrants
from tests.support.store_watcher import until
from tests.support.world import SESSION, World, settings_of

QUICK = replace(Timing(), retry_write_first=0.01, retry_write_longest=0.02, patience=0.2)


def browsers(world: World, browser: Browser) -> list[Browser]:
    """The same person's browser, at each replica."""
    found = []
    for gateway in world.gateways:
        one = world.browser(gateway)
        one.cookies = browser.cookies
        found.append(one)
    return found


def bearers(world: World) -> set[bytes]:
    return set(world.api.sent(b"authorization"))


def fail_writes(world: World, replica: int, *, times: int, after: bool = False) -> None:
    """Have a replica's next writes fail, before or after they have taken effect."""
    store = world.stores[replica]
    plain, left = store.replace, [times]

    async def failing(*arguments: Any, **named: Any) -> bool:
        if left[0] > 0:
            left[0] -= 1
            if after:
                await plain(*arguments, **named)
            raise Unavailable(Code.STORE_UNAVAILABLE, note="refused by the test")
        done: bool = await plain(*arguments, **named)
        return done

    store.replace = failing


async def test_two_hundred_calls_over_four_processes_cost_one_grant_h8_f16() -> None:
    world = World(replicas=4)
    everywhere = browsers(world, await world.logged_in())
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    calls = [asyncio.create_task(one.fetch(f"/api/{n}")) for n in range(50) for one in everywhere]
    await slow.begun.wait()
    await asyncio.sleep(0.05)
    assert slow.waiting == 1
    slow.release()
    answers = await asyncio.gather(*calls)
    assert [answer.status for answer in answers] == [200] * 200
    assert world.provider.seen("/token") == 2  # the login's, and one more
    assert len(bearers(world)) == 1
    assert world.store.lock_of(world.lookup_of(everywhere[0]))[1].owner is None


async def test_other_scopes_and_other_sessions_are_other_refreshes_with_one_grant_a_session() -> (
    None
):
    """Or one's token would go to another; their refresh token has one lock all the same."""
    world = World()
    refresher, sessions = world.gateway.refresher, world.gateway.refresher._sessions
    opened = []
    for browser in (await world.logged_in(), await world.logged_in()):
        session = await sessions.open(browser.cookies[SESSION].value, extend=False)
        assert session is not None
        opened.append(session)
    one, other = opened
    fewer = replace(one, tokens=replace(one.tokens, scopes=frozenset({"openid"})))
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    asking = [
        asyncio.create_task(refresher.tokens_for(session, Caller()))
        for session in (one, one, fewer, other)
    ]
    await until(lambda: slow.waiting == 2)
    assert len(refresher._flights) == 3
    slow.release()
    first, again, narrow, another = await asyncio.gather(*asking)
    assert first == again == narrow != another
    assert world.provider.seen("/token") == 4  # two logins, and one for each


async def test_who_waits_is_woken_and_does_not_wait_for_the_end_of_the_lease() -> None:
    timing = replace(Timing(), lease=60.0, renew_every=1000.0)
    world = World(replicas=2, timing=timing)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    first = asyncio.create_task(one.fetch("/api/x"))
    await slow.begun.wait()
    second = asyncio.create_task(other.fetch("/api/x"))
    await until(lambda: world.gateways[1].refresher._turns._waiting != {})
    await asyncio.sleep(0.05)
    assert not second.done()
    slow.release()
    async with asyncio.timeout(timing.lease / 6):
        answers = await asyncio.gather(first, second)
    assert [answer.status for answer in answers] == [200, 200]
    assert world.provider.seen("/token") == 2


async def test_a_renewal_that_is_on_its_way_does_not_take_a_lock_that_was_given_back() -> None:
    world = World(timing=replace(Timing(), renew_every=0.01))
    browser = await world.logged_in()
    lookup, lock = world.lookup_of(browser), world.gateway.refresher._turns._lock
    plain, gate, held = lock.renew, asyncio.Event(), asyncio.Event()

    async def slowly(lookup: LookupId, owner: str, **terms: Any) -> bool:
        held.set()
        await gate.wait()
        return await plain(lookup, owner, **terms)

    lock.renew = slowly  # type: ignore[method-assign]  # the same, later
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    call = asyncio.create_task(browser.fetch("/api/x"))
    await slow.begun.wait()
    await held.wait()
    slow.release()
    await until(lambda: len(world.audit("token.refreshed")) == 1)
    await asyncio.sleep(0.05)  # all is done by now that does not wait for the renewal
    gate.set()
    assert (await call).status == 200
    await asyncio.sleep(0.05)
    assert world.store.lock_of(lookup)[1].owner is None


async def test_whose_token_is_still_good_never_waits_for_anybodys_grant_h11() -> None:
    world = World(replicas=2)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(250)  # due, and good for another 45 s
    slow = SlowGrants(world.provider)
    for browser in (one, other, one, other):
        assert (await browser.fetch("/api/x")).status == 200
    await slow.begun.wait()
    assert slow.waiting == 1
    slow.release()
    await until(lambda: world.provider.seen("/token") == 2)


async def test_the_grant_goes_on_when_everybody_has_left_h9() -> None:
    world = World(replicas=2)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    calls = [asyncio.create_task(browser.fetch("/api/x")) for browser in (one, one, other)]
    await slow.begun.wait()
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    slow.release()
    await until(lambda: len(world.audit("token.refreshed")) == 1)
    assert (await other.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 2
    assert world.store.lock_of(world.lookup_of(one))[1].owner is None


async def test_a_gateway_that_closes_finishes_its_grant_h9() -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    call = asyncio.create_task(browser.fetch("/api/x"))
    await slow.begun.wait()
    closing = asyncio.create_task(world.gateway.aclose())
    await asyncio.sleep(0.02)
    assert not closing.done()
    slow.release()
    await closing
    assert (await call).status == 200
    assert len(world.audit("token.refreshed")) == 1


async def test_a_gateway_that_closes_does_not_wait_for_another_ones_grant() -> None:
    world = World(replicas=2)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    first = asyncio.create_task(one.fetch("/api/x"))
    await slow.begun.wait()
    second = asyncio.create_task(other.fetch("/api/x"))
    await asyncio.sleep(0.02)
    await asyncio.wait_for(world.gateways[1].aclose(), 5)
    answer = await second
    assert (answer.status, answer.json()["code"]) == (503, "token.unavailable")
    assert answer.all("set-cookie") == []
    slow.release()
    assert (await first).status == 200


@pytest.mark.parametrize("after", [False, True], ids=["refused", "done but not confirmed"])
async def test_tokens_the_store_refuses_are_kept_and_written_when_it_takes_them(
    after: bool,
) -> None:
    world = World(replicas=2, timing=QUICK)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    fail_writes(world, 0, times=3 if not after else 1, after=after)
    answers = await asyncio.gather(*(one.fetch(f"/api/{n}") for n in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert (await other.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 2
    assert len(bearers(world)) == 1


async def test_no_token_is_used_before_it_is_durable_h9() -> None:
    world = World(timing=QUICK)
    browser = await world.logged_in()
    world.clock.advance(400)
    fail_writes(world, 0, times=40)  # for longer than anybody has patience
    answer = await browser.fetch("/api/x")
    assert answer.status == 503
    assert answer.json()["code"] == "store.unavailable"
    assert answer.all("set-cookie") == []
    assert world.api.received == []
    again = await browser.fetch("/api/x")  # at once: nothing is granted a second time
    assert again.status == 503
    metrics = (await world.admin(b"/metrics")).body.decode()
    assert "gateway_unwritten_tokens 1.0" in metrics
    await until(lambda: len(world.audit("token.refreshed")) == 1)
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 2


async def test_a_session_that_ends_while_new_tokens_wait_stays_ended_and_they_are_revoked_d6() -> (
    None
):
    world = World(replicas=2, timing=QUICK)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    fail_writes(world, 0, times=8)
    call = asyncio.create_task(one.fetch("/api/x"))
    await until(lambda: world.provider.seen("/token") == 2)
    await other.fetch("/bff/logout", "POST")
    answer = await call
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    assert world.store.live_sessions() == {}
    assert world.api.received == []
    live = set(world.provider.refresh_tokens)
    assert live <= set(world.provider.revoked)


async def test_a_refresh_that_ends_after_the_logout_changes_nothing_d6() -> None:
    world = World(replicas=2)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    call = asyncio.create_task(one.fetch("/api/x"))
    await slow.begun.wait()
    await other.fetch("/bff/logout", "POST")
    slow.release()
    assert (await call).status == 401
    assert world.store.live_sessions() == {}
    assert set(world.provider.refresh_tokens) <= set(world.provider.revoked)
    assert world.api.received == []


async def crashed(world: World, browser: Browser) -> SlowGrants:
    """Have the first replica die with a grant under way: spent, and its answer lost."""
    slow = SlowGrants(world.provider)
    call = asyncio.create_task(browser.fetch("/api/x"))
    await slow.begun.wait()
    call.cancel()
    world.stores[0].cut()
    for store_method in ("replace", "end", "read", "read_many"):
        setattr(world.stores[0], store_method, _gone)
    world.stores[0].lock_of = _dead
    slow.release()
    return slow


async def _gone(*_: object, **__: object) -> None:
    _dead()


def _dead(*_: object) -> None:
    raise Unavailable(Code.STORE_UNAVAILABLE, note="this replica is dead")


async def test_after_a_crash_the_old_token_is_tried_once_when_the_lease_is_over_f11() -> None:
    """A provider that allows for lost answers keeps the session."""
    world = World(replicas=2)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    world.provider.rotate = False  # the old token is accepted again
    await crashed(world, one)
    world.clock.advance(3.4)
    waiting = asyncio.create_task(other.fetch("/api/x"))
    await asyncio.sleep(0.05)
    assert not waiting.done()  # the lease is not over
    world.clock.advance(0.2)
    answer = await asyncio.wait_for(waiting, 10)
    assert answer.status == 200
    assert world.provider.seen("/token") == 3


async def test_after_a_crash_a_provider_that_calls_it_reuse_ends_it_in_one_clean_login_f11() -> (
    None
):
    world = World(replicas=2)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    await crashed(world, one)
    world.clock.advance(5.1)
    answers = await asyncio.gather(*(other.fetch(f"/api/{n}") for n in range(10)))
    assert {(answer.status, answer.json()["code"]) for answer in answers} == {
        (401, "session.ended")
    }
    assert SESSION not in other.cookies
    assert world.provider.seen("/token") == 3  # the login's, the lost one, and one more
    (failed,) = world.audit("token.refresh_failed")
    assert "possibly reused" in failed["note"]
    assert "never known" in failed["note"]
    await other.navigate("/bff/login")
    assert (await other.fetch("/api/x")).status == 200


async def test_a_late_holder_overwrites_nothing_f11() -> None:
    world = World(replicas=2, timing=replace(Timing(), renew_every=1000.0))  # it sleeps
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    world.provider.rotate = False
    slow = SlowGrants(world.provider, most=1)
    late = asyncio.create_task(one.fetch("/api/late"))
    await slow.begun.wait()
    world.clock.advance(5.1)  # suspended past its lease
    assert (await other.fetch("/api/x")).status == 200
    stored, winner = world.store.live_sessions(), bearers(world)
    slow.release()
    assert (await late).status == 200
    assert bearers(world) == winner
    assert world.store.live_sessions() == stored
    assert world.provider.revoked == []  # it would take the winner's tokens with it


async def test_a_process_that_slept_past_its_lease_spends_nothing_f11() -> None:
    world = World(timing=replace(Timing(), lease=0.05))
    browser = await world.logged_in()
    world.clock.advance(400)
    plain = world.store.read

    async def slowly(lookup: LookupId) -> Any:
        await asyncio.sleep(0.1)  # between the lock and the grant
        return await plain(lookup)

    world.store.read = slowly
    answer = await browser.fetch("/api/x")
    assert (answer.status, answer.json()["code"]) == (503, "token.unavailable")
    assert world.provider.seen("/token") == 1
    assert answer.all("set-cookie") == []
    world.store.read = plain
    world.clock.advance(2)
    assert (await browser.fetch("/api/x")).status == 200


async def test_nobody_waits_longer_than_five_seconds_for_the_dead_f11() -> None:
    timing = Timing()
    assert timing.lease + timing.last_word <= 5
    assert timing.renew_every * 3 <= timing.lease


@pytest.mark.parametrize("failing", [1, 2], ids=["under the lock", "during the last word"])
async def test_a_failed_read_does_not_take_the_last_word_from_who_had_the_lock(
    failing: int,
) -> None:
    """The store is back, and its first answers may still fail: the one before may live."""
    world = World(replicas=2, timing=replace(Timing(), last_word=0.5))
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    living = asyncio.create_task(one.fetch("/api/x"))
    await slow.begun.wait()
    world.clock.advance(5)  # it could not renew
    plain, reads = world.stores[1].read, [0]

    async def fails_once(lookup: LookupId) -> Any:
        reads[0] += 1
        if reads[0] == 1 + failing:  # the first is the request's own
            raise Unavailable(Code.STORE_UNAVAILABLE, note="refused by the test")
        return await plain(lookup)

    world.stores[1].read = fails_once
    assert (await other.fetch("/api/x")).status == 503
    again = asyncio.create_task(other.fetch("/api/x"))
    await asyncio.sleep(0.1)
    assert slow.waiting == 1  # nobody else has spent the token meanwhile
    slow.release()
    assert (await living).status == 200
    assert (await again).status == 200
    assert world.provider.seen("/token") == 2


async def test_who_waits_is_told_before_a_provider_that_is_very_slow_and_the_grant_goes_on() -> (
    None
):
    quick = replace(Timing(), lease=0.1, last_word=0.05)
    limits = {"total_timeout": "100ms", "refresh_timeout": "500ms"}  # 0.65 s with the dead
    world = World(settings_of({"back_channel": limits}), timing=quick)
    browser = await world.logged_in()
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    async with asyncio.timeout(10):  # none after the first waits as long again
        for _ in range(40):
            answer = await browser.fetch("/api/x")
            assert (answer.status, answer.json()["code"]) == (503, "token.unavailable")
            assert answer.all("set-cookie") == []
    slow.release()
    await until(lambda: len(world.audit("token.refreshed")) == 1)
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 2


async def test_a_slow_grant_outlives_a_store_that_was_away_for_longer_than_its_lease_h9() -> None:
    """Whoever took the lock over has spent nothing yet, and gives it back at a sign of life."""
    timing = replace(Timing(), renew_every=0.05, last_word=0.3)
    world = World(replicas=2, timing=timing)
    one, other = browsers(world, await world.logged_in())
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    living = asyncio.create_task(one.fetch("/api/x"))
    await slow.begun.wait()
    world.clock.advance(5)  # it could not renew
    waiting = asyncio.create_task(other.fetch("/api/x"))
    await asyncio.sleep(0.8)  # the last word is over, and the provider has not answered
    assert slow.waiting == 1
    slow.release()
    assert (await living).status == 200
    assert (await waiting).status == 200
    assert world.provider.seen("/token") == 2
    assert len(bearers(world)) == 1
