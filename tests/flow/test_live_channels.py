"""Open channels end when their session does, and count as activity by rule (P4, P7, P9, J16)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.ports import LookupId, StoredRecord
from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.event_streams import Speaker, listen
from tests.support.live_channels import ended, opened, settle
from tests.support.memory_store import MemoryStore
from tests.support.websocket_ends import LiveApi, connected
from tests.support.world import World, settings_of


async def idle_left(browser: Browser) -> Any:
    return (await browser.fetch("/bff/session")).json()["idle_expires_in"]


# -- what ends a session ends its channels


async def test_logging_out_ends_an_open_websocket_with_4401_p4() -> None:
    world = World()
    browser, here, there = await opened(world)
    await browser.fetch("/bff/logout", "POST")
    await ended(here, there)
    assert len(world.gateway.channels) == 0


async def test_every_websocket_of_the_session_ends_and_no_other() -> None:
    world = World()
    api = LiveApi(world)
    laptop, phone = await world.logged_in(), await world.logged_in()
    mine = [await connected(laptop, api) for _ in range(3)]
    other = await connected(phone, api)
    await laptop.fetch("/bff/logout", "POST")
    for here, there in mine:
        await ended(here, there)
    other[0].text("still here")
    await other[1].until(lambda end: end.messages == ["still here"])


async def test_a_providers_verdict_at_a_refresh_ends_them_h10() -> None:
    world = World()
    browser, here, there = await opened(world)
    world.provider.refresh_tokens.clear()
    world.clock.advance(400)
    assert (await browser.fetch("/api/x")).status == 401
    await ended(here, there)


async def test_a_store_that_was_emptied_ends_them_when_the_link_is_made_anew() -> None:
    world = World()
    _, here, there = await opened(world)
    world.store.cut()
    world.store.lose_everything()
    world.store.mend()
    await ended(here, there)


async def test_whoever_knows_for_sure_can_end_them_without_the_store() -> None:
    world = World()
    browser, here, there = await opened(world)
    world.store.down = True
    world.gateway.live.ended(world.lookup_of(browser))
    await ended(here, there)


async def test_a_session_that_ended_while_the_api_was_asked_is_noticed() -> None:
    world = World()
    browser = await world.logged_in()
    api = LiveApi(world)
    await connected(browser, api)
    here, there = await connected(browser, api)
    world.store.cut()  # nobody is told
    await world.store.end(world.lookup_of(browser), [])
    await settle(world)
    await ended(here, there)


class Stumbling(MemoryStore):
    """A store whose client has a bug, once."""

    stumbles = False

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        if self.stumbles:
            self.stumbles = False
            raise ZeroDivisionError
        return await super().read_many(lookups)


async def test_a_bug_while_one_is_looked_at_does_not_end_the_looking() -> None:
    clock = TurnableClock()
    store = Stumbling(clock)
    world = World(clock=clock, store=store)
    _, here, there = await opened(world)
    store.stumbles = True
    world.gateway.live.changed(None)
    await settle(world)
    store.cut()
    store.lose_everything()
    clock.advance(15)
    await settle(world)
    await ended(here, there)


# -- deadlines


async def test_a_silent_websocket_does_not_defeat_the_idle_deadline_p7() -> None:
    world = World()
    _, here, there = await opened(world)
    world.clock.advance(1799)
    await settle(world)
    assert here.closed is None
    world.clock.advance(1)
    await settle(world)
    await ended(here, there)


async def test_pings_and_what_the_server_sends_are_no_activity_p7() -> None:
    world = World()
    _, here, there = await opened(world)
    for _ in range(30):
        world.clock.advance(60)
        here.ping(b"alive")
        there.text("news")
        there.ping(b"you?")
        await asyncio.sleep(0)
        await settle(world)
    await ended(here, there)


async def test_what_the_person_sends_is_activity_and_written_at_most_once_a_minute_p7() -> None:
    world = World()
    browser, here, there = await opened(world)
    world.clock.advance(70)
    writes = world.store.writes
    for number in range(20):
        here.text(f"{number}")
        await asyncio.sleep(0)
        await settle(world)
        world.clock.advance(1)
    assert world.store.writes == writes + 1
    assert await idle_left(browser) == 1800 - 20
    for _ in range(100):
        world.clock.advance(61)
        here.binary(b"x")
        await asyncio.sleep(0)
        await settle(world)
    assert here.closed is None
    assert len(there.messages) == 120


async def test_activity_elsewhere_keeps_a_silent_websocket_open() -> None:
    world = World()
    browser, here, _ = await opened(world)
    for _ in range(5):
        world.clock.advance(1000)
        assert (await browser.fetch("/api/x")).status == 200
        await settle(world)
    assert here.closed is None


async def test_nothing_moves_the_absolute_deadline_not_even_an_outage_p7() -> None:
    world = World(settings_of({"session": {"idle_timeout": "1h", "absolute_timeout": "2h"}}))
    _, here, there = await opened(world)
    for _ in range(7):
        world.clock.advance(1000)
        here.text("busy")
        await asyncio.sleep(0)
        await settle(world)
    assert here.closed is None
    world.store.down = True
    world.clock.advance(200)
    await settle(world)
    await ended(here, there)


async def test_an_outage_of_the_store_ends_nothing_d11() -> None:
    world = World()
    browser, here, there = await opened(world)
    world.clock.advance(1000)
    await browser.fetch("/api/x")
    world.clock.advance(800)  # the deadline this process knows of
    world.store.down = True
    for _ in range(10):
        await settle(world)
        world.clock.advance(20)
    assert here.closed is None
    world.store.down = False
    await settle(world)
    assert here.closed is None  # it had been extended
    world.clock.advance(1000)
    await settle(world)
    await ended(here, there)


# -- the token it was opened with


async def test_a_token_that_runs_out_is_renewed_for_an_open_websocket_p4() -> None:
    world = World()
    _, here, _ = await opened(world)
    for turn in range(2, 6):
        world.clock.advance(300)
        await settle(world)
        assert world.provider.seen("/token") == turn
    assert here.closed is None


async def test_a_token_that_cannot_be_renewed_ends_it_p4() -> None:
    world = World()
    world.provider.change_token_answer = lambda answer: {
        name: value for name, value in answer.items() if name != "refresh_token"
    }
    _, here, there = await opened(world)
    world.clock.advance(290)
    await settle(world)
    assert here.closed is None
    world.clock.advance(10)
    await settle(world)
    await ended(here, there, "token.expired")


async def test_a_provider_that_refuses_to_renew_ends_it_p4() -> None:
    world = World()
    _, here, there = await opened(world)
    world.provider.refresh_tokens.clear()
    world.clock.advance(300)
    await settle(world)
    await ended(here, there)
    assert world.audit("session.ended")[0]["by"] == "provider"


async def test_a_provider_that_is_down_ends_nothing_h10() -> None:
    world = World()
    _, here, _ = await opened(world)
    world.provider.down = True
    for _ in range(5):
        world.clock.advance(300)
        await settle(world)
    assert here.closed is None


async def test_without_a_token_on_the_way_none_is_renewed() -> None:
    world = World()
    _, here, _ = await opened(world, "/live/bare/x")
    world.clock.advance(1000)
    await settle(world)
    assert here.closed is None
    assert world.provider.seen("/token") == 1


# -- in the middle of something


async def test_the_last_word_waits_for_the_frame_under_way() -> None:
    world = World()
    browser, here, there = await opened(world)
    there.answers = False
    whole = b"\x82\x7e\x03\xe8" + b"x" * 1000
    there.raw(whole[:600])
    await here.until(lambda end: len(end.octets) == 600)
    await browser.fetch("/bff/logout", "POST")
    await there.until(lambda end: end.closed)
    assert here.closed is None
    there.raw(whole[600:] + b"\x81\x05after")
    await here.until(lambda end: end.closed)
    assert here.messages == [b"x" * 1000]  # and not what came after the session's end
    assert here.closed == (4401, "session.ended")


@pytest.mark.parametrize("path", ["/live/x", "/live/bare/x"])
async def test_nothing_passes_after_the_end(path: str) -> None:
    world = World()
    browser, here, there = await opened(world, path)
    here.answers = there.answers = False
    await browser.fetch("/bff/logout", "POST")
    await here.until(lambda end: end.closed)
    here.raw(b"\x81\x85\x00\x00\x00\x00later")
    there.raw(b"\x81\x05later")
    await asyncio.sleep(0.05)
    assert here.messages == there.messages == []


# -- how many there are


def counted(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line.startswith("gateway_open_channels{")]
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}


async def test_the_metrics_tell_how_many_channels_of_each_kind_are_open() -> None:
    world = World()
    assert counted((await world.admin(b"/metrics")).text) == {"websocket": 0, "event_stream": 0}
    browser, here, there = await opened(world)
    speaker = Speaker(world)
    hearer = await listen(world, browser)
    for end in (there, here):
        found = counted((await world.admin(b"/metrics")).text)
        assert found == {"websocket": 1, "event_stream": 1}
        end.text("a message changes nothing")
    speaker.stop()
    await hearer.until(lambda one: one.finished)
    await browser.fetch("/bff/logout", "POST")
    await ended(here, there)
    assert counted((await world.admin(b"/metrics")).text) == {"websocket": 0, "event_stream": 0}
