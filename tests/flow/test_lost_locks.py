"""A lock on a grant that was lost: whoever had it spends, overwrites and ends nothing (F11, H8)."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.ports import LookupId
from gateway.session.timing import Timing
from tests.support.browser import Browser
from tests.support.slow_grants import SlowGrants
from tests.support.world import World

ASLEEP = replace(Timing(), renew_every=1000.0, last_word=0.05)
"""Leases are not renewed: by the store's clock a process sleeps past them."""


def elsewhere(world: World, browser: Browser, replica: int = 1) -> Browser:
    """The same person's browser, at another replica."""
    other = world.browser(world.gateways[replica])
    other.cookies = browser.cookies
    return other


class Gate:
    """Holds back the first request to an address of the provider until `open`; then none."""

    def __init__(self, world: World, ending: str) -> None:
        self._plain = world.provider.send
        self._ending = ending
        self._open = asyncio.Event()
        self.reached = asyncio.Event()
        world.provider.send = self._send  # type: ignore[method-assign]  # the same, later

    def open(self) -> None:
        self._open.set()

    async def _send(self, request: Any) -> Any:
        if request.url.endswith(self._ending) and not self.reached.is_set():
            self.reached.set()
            await self._open.wait()
        return await self._plain(request)


async def test_who_waited_for_the_providers_metadata_spends_nothing_that_another_has_spent() -> (
    None
):
    """A worker that has just been started knows no endpoints, and its lease may end meanwhile."""
    world = World(timing=replace(ASLEEP, lease=0.2))
    browser = await world.logged_in()
    world.gateways.append(world.replica())
    other = elsewhere(world, browser)
    world.clock.advance(400)
    gate = Gate(world, "/openid-configuration")
    late = asyncio.create_task(other.fetch("/api/late"))
    await gate.reached.wait()
    world.clock.advance(5)
    await asyncio.sleep(0.3)  # a lease that had begun before would be over, and taken over
    assert (await browser.fetch("/api/x")).status == 200
    gate.open()
    assert (await late).status == 200
    assert world.provider.seen("/token") == 2  # the login's, and one more
    assert set(world.provider.families.spent.values()) == {1}


async def test_who_takes_a_lock_over_reads_once_more_when_it_is_theirs_for_good() -> None:
    """The one before has written its tokens, and nobody has heard of it yet."""
    world = World(replicas=2, timing=ASLEEP)
    browser = await world.logged_in()
    other = elsewhere(world, browser)
    world.clock.advance(400)
    slow = SlowGrants(world.provider)
    living = asyncio.create_task(browser.fetch("/api/x"))
    await slow.begun.wait()
    world.clock.advance(5)
    plain, clock = world.stores[1].read, asyncio.get_running_loop().time
    over = clock() + ASLEEP.last_word

    async def read(lookup: LookupId) -> Any:
        found = await plain(lookup)
        if clock() > over:  # the last word is over, and this the last look for it
            slow.release()
            await living
        return found

    world.stores[1].read = read
    assert (await other.fetch("/api/x")).status == 200
    assert (await living).status == 200
    assert world.provider.seen("/token") == 2


async def test_the_loser_of_a_race_is_refused_reads_again_and_deletes_nothing() -> None:
    world = World(replicas=2, timing=ASLEEP)
    browser = await world.logged_in()
    other = elsewhere(world, browser)
    world.clock.advance(400)
    gate = Gate(world, "/token")  # on its way for longer than a lease
    late = asyncio.create_task(browser.fetch("/api/late"))
    await gate.reached.wait()
    world.clock.advance(5.1)
    assert (await other.fetch("/api/x")).status == 200
    stored, tokens = world.store.live_sessions(), world.api.sent(b"authorization")
    gate.open()
    assert (await late).status == 200
    assert world.provider.families.spent.most_common(1)[0][1] == 2  # so the second was refused
    assert world.api.sent(b"authorization") == tokens
    assert world.store.live_sessions() == stored
    assert world.audit("session.ended") == []
    assert world.audit("token.refresh_failed") == []
    assert (await other.fetch("/api/x")).status == 200


async def test_a_mistake_of_ours_under_the_lock_is_told_as_it_is_and_the_lock_given_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    lookup, plain = world.lookup_of(browser), world.store.read

    async def mistaken(lookup: LookupId) -> Any:
        if world.store.lock_of(lookup)[1].owner is None:
            return await plain(lookup)
        raise ZeroDivisionError

    world.store.read = mistaken
    assert (await browser.fetch("/api/x")).status == 500
    (logged,) = [record.exc_info for record in caplog.records if record.exc_info]
    assert logged[0] is ZeroDivisionError
    world.store.read = plain
    assert world.store.lock_of(lookup)[1].owner is None
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 2
