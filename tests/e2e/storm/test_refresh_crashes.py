"""The process that spends a refresh token dies, hangs, stops, or never hears the answer (F11, F16).

Its provider has replaced the token by then. One with a grace period takes the old one once more;
one without takes that for theft and ends everything, which must cost one login and no more.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Sequence

import pytest

from tests.support.four_gateways import FourGateways
from tests.support.storm import Answered, Caller, cookies_set, longest, statuses

pytestmark = pytest.mark.e2e

CALLS = 150
LEASE = 5.0  # seconds after which nobody waits for a process that is gone, its last word included
HOLD = 0.7  # seconds the provider takes to answer
WITHIN = 4.0  # seconds beyond both, for the answers themselves on a busy machine
GRACE = 60  # seconds in which a provider takes a refresh token twice


def ended(answered: Sequence[Answered]) -> None:
    """Everybody was told the same: the session is over."""
    assert statuses(answered) == {401: len(answered)}
    for one in answered:
        assert one.answer is not None
        assert json.loads(one.answer.body)["code"] == "session.ended"


def took_the_cookie(answered: Sequence[Answered]) -> None:
    """One browser made all of these calls: it is enough that some answers take its cookie."""
    taken = cookies_set(answered)
    assert taken
    for cookie in taken:
        assert cookie.startswith(b"__Host-Http-session=;")
        assert b"Max-Age=0" in cookie


async def a_login_is_all_it_takes(fleet: FourGateways, browser: Caller, account: str) -> None:
    """No loop: who comes with the old cookie asks nobody, and after a login all is well."""
    before = fleet.provider.grants()
    ended(await browser.storm(fleet.ports, 2 * len(fleet.ports)))
    fleet.provider.plan(first=300)
    fresh = await asyncio.to_thread(fleet.log_in, account)
    answered = await fresh.storm(fleet.ports, 2 * len(fleet.ports))
    assert statuses(answered) == {200: len(answered)}
    assert fleet.provider.grants() == before


async def logged_in(fleet: FourGateways, lenient: str, strict: str) -> tuple[Caller, Caller]:
    """Two people: for the first there is a grace period, the other's token has one use."""
    fleet.provider.plan(grace={lenient: GRACE})
    first, second = await asyncio.gather(*map(fleet.log_in_and_expire, (lenient, strict)))
    return first, second


async def test_a_killed_refresh_costs_nothing_or_one_login_as_the_provider_sees_it_f11(
    fleet: FourGateways,
) -> None:
    kept, lost = await logged_in(fleet, "killed-kept", "killed-lost")
    fleet.provider.plan(hold=HOLD)
    async with fleet.refreshing(kept, lost) as links:
        killed = fleet.gateways[0].send(signal.SIGKILL)
        storms = (browser.storm(fleet.ports[1:], CALLS) for browser in (kept, lost))
        served, refused = await asyncio.gather(*storms)
        for link in links:
            assert (await kept.end(fleet.ports[0], link, 0.0)).answer is None
    assert longest(served + refused) < LEASE + HOLD + WITHIN
    assert statuses(served) == {200: CALLS}
    assert cookies_set(served) == []
    assert len(set(fleet.tokens_at_the_api())) == 1
    assert fleet.provider.grants("killed-kept") == ["granted", "granted again"]
    assert fleet.kept(kept) is not None
    ended(refused)
    took_the_cookie(refused)
    assert fleet.kept(lost) is None
    assert fleet.provider.grants("killed-lost") == ["granted", "used before"]
    await a_login_is_all_it_takes(fleet, lost, "killed-lost")
    await asyncio.to_thread(fleet.gateways[0].until_ready, but=killed)


async def test_a_process_that_slept_past_its_lease_overwrites_nothing_f11(
    fleet: FourGateways,
) -> None:
    browser = await fleet.log_in_and_expire("asleep")
    revocations = fleet.provider.revocations()
    fleet.provider.plan(hold=HOLD, grace={"asleep": GRACE})
    async with fleet.refreshing(browser) as (link,):
        begun = time.monotonic()
        asleep = fleet.gateways[0].send(signal.SIGSTOP)
        try:
            answered = await browser.storm(fleet.ports[1:], CALLS)
            assert statuses(answered) == {200: CALLS}
            assert longest(answered) < LEASE + HOLD + WITHIN
            assert fleet.provider.grants() == ["granted", "granted again"]
            (winner,) = set(fleet.tokens_at_the_api())
            kept = fleet.kept(browser)
        finally:
            os.kill(asleep, signal.SIGCONT)
        late = await browser.end(fleet.ports[0], link, begun)
    await asyncio.sleep(0.5)  # whatever it means to do about it, it has done
    assert late.status == 200
    assert fleet.kept(browser) == kept
    assert fleet.has_kept_the_newest(browser)
    again = await browser.storm(fleet.ports, 4 * len(fleet.ports))
    assert statuses(again) == {200: len(again)}
    assert cookies_set([late, *answered, *again]) == []
    assert set(fleet.tokens_at_the_api()) == {winner}
    # Giving back what the late one got would cost the whole grant, and with it the session.
    assert fleet.provider.revocations() == revocations
    assert fleet.provider.grants() == ["granted", "granted again"]


async def test_a_process_that_is_told_to_stop_keeps_what_it_was_granted_first_h9(
    fleet: FourGateways,
) -> None:
    browser = await fleet.log_in_and_expire("stopped")
    before = fleet.kept(browser)
    fleet.provider.plan(hold=HOLD)
    async with fleet.refreshing(browser) as (link,):
        await browser.leave(link)  # nobody waits for this one
    assert fleet.kept(browser) == before
    assert await asyncio.to_thread(fleet.gateways[0].stop) == 0
    try:
        assert fleet.has_kept_the_newest(browser)
        answered = await browser.storm(fleet.ports[1:], CALLS)
        assert statuses(answered) == {200: CALLS}
        assert set(fleet.tokens_at_the_api()) == {fleet.provider.access_tokens()[-1]}
        assert fleet.provider.grants() == ["granted"]
    finally:
        fleet.gateways[0].start()
        await asyncio.to_thread(fleet.gateways[0].until_ready)


async def test_an_answer_gets_lost_and_one_more_grant_is_all_that_follows_f16(
    fleet: FourGateways,
) -> None:
    kept, lost = await logged_in(fleet, "answer-kept", "answer-lost")
    fleet.provider.plan(hold=0.3, lose=2)
    both = kept, lost
    storms = await asyncio.gather(*(browser.storm(fleet.ports, CALLS) for browser in both))
    served, refused = await asyncio.gather(
        *(outlast(fleet, *one) for one in zip(both, storms, strict=True))
    )
    assert statuses(served) == {200: len(served)}
    assert fleet.provider.grants("answer-kept") == ["granted", "granted again"]
    ended(refused)
    assert fleet.provider.grants("answer-lost") == ["granted", "used before"]
    await a_login_is_all_it_takes(fleet, lost, "answer-lost")


async def outlast(fleet: FourGateways, browser: Caller, answered: list[Answered]) -> list[Answered]:
    """Ask until nobody is told to come again: after a grant that failed, a second or so."""
    while 503 in statuses(answered):
        waiting = [one for one in answered if one.status == 503]
        assert all(one.values(b"retry-after") for one in waiting)
        assert cookies_set(waiting) == []
        assert longest(answered) < LEASE + WITHIN
        await asyncio.sleep(0.2)
        answered = await browser.storm(fleet.ports, 2 * len(fleet.ports))
    return answered
