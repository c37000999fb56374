"""Hundreds of calls over four processes while a session's access token is renewed (F16, H7-H10).

The provider is a certified one that replaces refresh tokens, and takes back everything it has
granted when one is used a second time: whoever asks twice logs the person out.
"""

import asyncio
import time

import pytest

from tests.support.four_gateways import FourGateways
from tests.support.storm import Caller, cookies_set, longest, statuses, until

pytestmark = pytest.mark.e2e

CALLS = 200
SLOWEST = 15.0  # seconds a token endpoint may take, and nobody is logged out
SLOW = 1.2  # the same, where it only has to be longer than everything else
LEASE = 5.0  # seconds after which whoever says nothing is taken for dead, its last word included
WITHIN = 8.0  # seconds beyond that, for two hundred answers on a busy machine


async def everybody_has_the_new_token(fleet: FourGateways, browser: Caller, calls: int) -> None:
    """One grant, kept; so many calls had its token and no other, and so has every process now."""
    assert fleet.provider.grants() == ["granted"]
    assert fleet.has_kept_the_newest(browser)
    new = fleet.provider.access_tokens()[-1]
    assert fleet.tokens_at_the_api() == [new] * calls
    again = await browser.storm(fleet.ports, 2 * len(fleet.ports))
    assert statuses(again) == {200: len(again)}
    assert set(fleet.tokens_at_the_api()) == {new}
    assert fleet.provider.grants() == ["granted"]


async def test_two_hundred_calls_over_four_processes_cost_one_grant_f16(
    fleet: FourGateways,
) -> None:
    browser = await fleet.log_in_and_expire("one-grant")
    fleet.provider.plan(hold=SLOWEST)
    answered = await browser.storm(fleet.ports, CALLS)
    assert statuses(answered) == {200: CALLS}
    assert cookies_set(answered) == []
    assert longest(answered) < SLOWEST + WITHIN
    await everybody_has_the_new_token(fleet, browser, CALLS)


async def test_the_browser_that_began_a_refresh_leaves_and_the_others_are_served_h9(
    fleet: FourGateways,
) -> None:
    browser = await fleet.log_in_and_expire("gone")
    fleet.provider.plan(hold=SLOW)
    async with fleet.refreshing(browser) as (link,):
        await browser.leave(link)
    answered = await browser.storm(fleet.ports, CALLS)
    assert statuses(answered) == {200: CALLS}
    assert cookies_set(answered) == []
    assert longest(answered) < SLOW + WITHIN
    await everybody_has_the_new_token(fleet, browser, CALLS)


async def test_everybody_leaves_in_the_middle_of_a_refresh_and_its_tokens_are_kept_h9(
    fleet: FourGateways,
) -> None:
    browser = await fleet.log_in_and_expire("all-gone")
    before = fleet.kept(browser)
    fleet.provider.plan(hold=SLOW)
    async with fleet.refreshing(browser) as (link,):
        links = [await browser.begin(port) for port in fleet.ports for _ in range(10)]
        await asyncio.sleep(0.2)  # they wait by now, in every process
        for left in (link, *links):
            await browser.leave(left)
    await until(lambda: fleet.kept(browser) != before)
    await everybody_has_the_new_token(fleet, browser, 0)


async def test_redis_refuses_the_write_of_rotated_tokens_once_and_nobody_notices_h9(
    fleet: FourGateways,
) -> None:
    browser = await fleet.log_in_and_expire("refused")
    before = fleet.kept(browser)
    assert before is not None
    fleet.provider.plan(hold=SLOW)
    async with fleet.refreshing(browser) as (link,):
        begun = time.monotonic()
        storm = asyncio.create_task(browser.storm(fleet.ports, CALLS))
        await asyncio.sleep(begun + SLOW - 0.3 - time.monotonic())
        fleet.refuse_writes()
        try:
            await asyncio.sleep(begun + SLOW + 0.6 - time.monotonic())
            # What is not kept yet is not used yet: a crash now would have spent it for nothing.
            assert fleet.provider.access_tokens()[-1] != before.access_token.reveal()
            assert fleet.tokens_at_the_api() == []
            assert fleet.kept(browser) == before
        finally:
            fleet.accept_writes()
        answered = [*await storm, await browser.end(fleet.ports[0], link, begun)]
    assert statuses(answered) == {200: CALLS + 1}
    assert cookies_set(answered) == []
    assert longest(answered) < SLOW + WITHIN
    await everybody_has_the_new_token(fleet, browser, CALLS + 1)


async def test_redis_is_away_for_longer_than_a_lease_and_the_rotated_tokens_outlive_it_h9(
    fleet: FourGateways,
) -> None:
    """Who holds the lock cannot say so: nobody may take it for dead and spend the token again."""
    browser = await fleet.log_in_and_expire("away")
    fleet.provider.plan(hold=SLOW)
    async with fleet.refreshing(browser):
        await asyncio.to_thread(fleet.redis.stop)
        try:
            answered = await browser.storm(fleet.ports, CALLS)
            await asyncio.sleep(LEASE)
        finally:
            await asyncio.to_thread(fleet.redis.start)
    while (again := await browser.storm(fleet.ports, 8)) and statuses(again) != {200: 8}:
        answered += again
    assert statuses(answered).keys() <= {200, 503}
    assert cookies_set(answered) == []
    assert fleet.provider.grants() == ["granted"]
    assert fleet.has_kept_the_newest(browser)


async def test_a_refresh_token_that_is_not_replaced_is_used_again_h7(fleet: FourGateways) -> None:
    browser = await fleet.log_in_and_expire("not-rotated")
    first = fleet.kept(browser)
    fleet.provider.plan(rotates=False, next=1)
    assert (await browser.ask(fleet.ports[0])).status == 200
    await asyncio.sleep(1.1)  # the access token is no good any more
    assert (await browser.ask(fleet.ports[1])).status == 200
    assert fleet.provider.grants() == ["granted", "granted"]
    last = fleet.kept(browser)
    assert first is not None
    assert last is not None
    assert first.refresh_token == last.refresh_token
    assert first.access_token != last.access_token
