"""A channel that outlives its session: whoever holds it would read on after the logout (P4, J16).

The peers' own story: Origin not checked, and the socket lives on after expiry and logout.
"""

import asyncio

import pytest

from tests.support import frames
from tests.support.event_streams import Speaker, listen
from tests.support.websocket_ends import LiveApi, connected, open_websocket
from tests.support.world import World

HEARD = b"\x81\x06secret"  # from a server, unmasked


async def test_after_a_logout_neither_side_hears_another_word() -> None:
    world = World()
    browser = await world.logged_in()
    here, there = await connected(browser, LiveApi(world))
    here.answers = there.answers = False  # both stay, and go on talking
    await browser.fetch("/bff/logout", "POST")
    await here.until(lambda end: end.closed)
    for _ in range(5):
        here.raw(frames.frame(1, b"still me"))
        there.raw(HEARD)
        await asyncio.sleep(0.01)
    assert here.messages == []
    assert there.messages == []
    assert here.closed == (4401, "session.ended")
    # And whoever does not go is shown out.
    await here.until(lambda end: end.lost_at_all)
    await there.until(lambda end: end.lost_at_all)


async def test_a_client_that_reads_nothing_cannot_hold_its_channel_open() -> None:
    world = World()
    browser = await world.logged_in()
    api = LiveApi(world)
    opening = await open_websocket(browser)
    here, there = opening.endpoint, api.opened[0]
    assert here is not None
    here.wire.pause()
    for _ in range(4):
        there.binary(b"x" * 65536)
    await asyncio.sleep(0.02)
    await browser.fetch("/bff/logout", "POST")
    await there.until(lambda end: end.lost_at_all)
    async with asyncio.timeout(8):
        while len(world.gateway.channels):  # noqa: ASYNC110  nobody tells when it is gone
            await asyncio.sleep(0.05)


async def test_an_upstream_cannot_hold_a_channel_open_by_never_ending_a_frame() -> None:
    world = World()
    browser = await world.logged_in()
    here, there = await connected(browser, LiveApi(world))
    there.answers = False
    whole = frames.frame(2, b"x" * 100_000, masked=False)
    there.raw(whole[:10])
    await here.until(lambda end: len(end.octets) == 10)
    await browser.fetch("/bff/logout", "POST")
    for at in range(10, 400):
        there.raw(whole[at : at + 1])
        await asyncio.sleep(0.01)
        if here.lost_at_all:
            break
    assert here.lost_at_all
    assert here.messages == []


@pytest.mark.parametrize("stuck", ["browser", "upstream", "both"])
async def test_an_end_that_takes_no_more_of_a_frame_is_given_up_within_a_minute_f29(
    stuck: str,
) -> None:
    """No Ping can be written inside a frame, and whoever stops there has nothing to answer."""
    world = World()
    api = LiveApi(world)
    opening = await open_websocket(await world.logged_in())
    here, there = opening.endpoint, api.opened[0]
    assert here is not None
    here.answers = there.answers = False
    if stuck != "upstream":
        here.wire.pause()
        there.raw(frames.frame(2, b"x" * 1_000_000, masked=False)[:500_000])
    if stuck != "browser":
        there.wire.pause()
        here.raw(frames.frame(2, b"x" * 1_000_000)[:500_000])
    await asyncio.sleep(0.02)
    for _ in range(65):
        world.gateway.channels.visit()
        for _ in range(5):
            await asyncio.sleep(0)
    async with asyncio.timeout(8):
        while len(world.gateway.channels):  # noqa: ASYNC110  nobody tells when it is gone
            await asyncio.sleep(0.05)


async def test_a_slow_reader_of_an_event_without_an_end_hears_no_more_after_a_logout_p9() -> None:
    world = World()
    speaker = Speaker(world)
    hearer = await listen(world, await world.logged_in())
    speaker.say(b"data: 1\n")
    await hearer.until(lambda one: one.octets)
    hearer.reads.clear()
    speaker.say(b"data: 2\n")
    await asyncio.sleep(0.02)
    for lookup in list(world.store.live_sessions()):
        await world.store.end(lookup, [])
    world.gateway.live.sweep()
    await world.gateway.live.settled()
    await asyncio.sleep(1.2)  # patience ends while the browser reads nothing
    speaker.say(b"data: 3\n")
    hearer.reads.set()
    await hearer.until(lambda one: one.finished)
    assert b"data: 3" not in hearer.octets
    assert speaker.closed.is_set()


async def test_a_dead_session_opens_no_channel_again() -> None:
    world = World()
    browser = await world.logged_in()
    api = LiveApi(world)
    old = dict(browser.cookies)
    await connected(browser, api)
    await browser.fetch("/bff/logout", "POST")
    browser.cookies = old
    opening = await open_websocket(browser)
    assert (opening.status, opening.code) == (401, "session.ended")
    assert world.api.dials == 1


async def test_chatter_does_not_outlive_the_absolute_deadline_d5() -> None:
    world = World()
    browser = await world.logged_in()
    here, there = await connected(browser, LiveApi(world))
    for _ in range(43200 // 600):
        world.clock.advance(600)
        here.text("busy")
        there.text("busy")
        await asyncio.sleep(0)
        world.gateway.live.sweep()
        await world.gateway.live.settled()
    await here.until(lambda end: end.closed)
    assert here.closed == (4401, "session.ended")


async def test_an_event_stream_says_nothing_more_after_a_logout_p9() -> None:
    world = World()
    speaker = Speaker(world)
    browser = await world.logged_in()
    hearer = await listen(world, browser)
    await browser.fetch("/bff/logout", "POST")
    for _ in range(5):
        speaker.say(b"data: secret\n\n")
    await hearer.until(lambda one: one.finished)
    assert b"secret" not in hearer.octets
    assert speaker.closed.is_set()


@pytest.mark.parametrize("half", [b"data: half", b"data: half\n", b"event: x\r\ndata"])
async def test_the_last_event_completes_none_that_was_half_written(half: bytes) -> None:
    """A browser dispatches what stands before a blank line: ours must not be the one."""
    world = World()
    speaker = Speaker(world)
    browser = await world.logged_in()
    hearer = await listen(world, browser)
    speaker.say(half)
    await hearer.until(lambda one: one.octets)
    await browser.fetch("/bff/logout", "POST")
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == half
