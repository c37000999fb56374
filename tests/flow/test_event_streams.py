"""Event streams: unbuffered, untouched, and over when their session is (P8, P9)."""

import asyncio
import json

import pytest

from tests.support.event_streams import Hearer, Speaker, listen
from tests.support.world import World

LAST = b'\n\nevent: gateway.ended\ndata: {"code":"session.ended"}\n\n'


async def begun(world: World, *more: tuple[bytes, bytes]) -> tuple[Speaker, Hearer]:
    speaker = Speaker(world, *more)
    hearer = await listen(world, await world.logged_in())
    return speaker, hearer


async def settle(world: World) -> None:
    world.gateway.live.sweep()
    await world.gateway.live.settled()
    await asyncio.sleep(0.01)


async def log_out(world: World) -> None:
    """End every session, as an administrator could, and let it be told."""
    for lookup in list(world.store.live_sessions()):
        await world.store.end(lookup, [])
    await asyncio.sleep(0)


async def test_each_piece_is_there_when_it_is_said_p8() -> None:
    speaker, hearer = await begun(World())
    for number in range(5):
        speaker.say(b"data: %d\n\n" % number)
        await hearer.until(lambda one, n=number: one.octets.endswith(b"data: %d\n\n" % n))  # type: ignore[misc]  # bound early
    speaker.stop()
    await hearer.until(lambda one: one.finished)
    assert speaker.closed.is_set()


async def test_no_cache_keeps_it_and_nothing_recodes_it_p8() -> None:
    world = World()
    Speaker(world)
    browser = await world.logged_in()
    hearer = await listen(world, browser, "/api/events", (b"last-event-id", b"41"))
    assert hearer.status == 200
    assert hearer.fields["content-type"] == "text/event-stream"
    assert hearer.fields["cache-control"] == "no-store"
    assert hearer.fields["x-accel-buffering"] == "no"  # for a proxy in front
    assert "content-encoding" not in hearer.fields
    assert "content-length" not in hearer.fields
    assert world.api.sent(b"last-event-id") == [b"41"]
    assert world.api.sent(b"accept") == [b"text/event-stream"]
    await hearer.hang_up()


async def test_a_browser_that_leaves_ends_the_exchange_behind_it_p8() -> None:
    world = World()
    speaker, hearer = await begun(world)
    assert len(world.gateway.channels) == 1
    await hearer.hang_up()
    assert speaker.closed.is_set()
    assert len(world.gateway.channels) == 0


async def test_logout_ends_the_stream_with_an_event_that_says_so_p9() -> None:
    world = World()
    speaker = Speaker(world)
    browser = await world.logged_in()
    hearer = await listen(world, browser)
    speaker.say(b"data: 1\n\n")
    await hearer.until(lambda one: one.octets)
    await browser.fetch("/bff/logout", "POST")
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == b"data: 1\n\n" + LAST
    assert json.loads(LAST.split(b"data: ")[1]) == {"code": "session.ended"}
    await asyncio.wait_for(speaker.closed.wait(), 5)
    assert not hearer.cut
    assert len(world.gateway.channels) == 0


async def test_a_stream_on_which_nothing_was_said_ends_too() -> None:
    world = World()
    _, hearer = await begun(world)
    await log_out(world)
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == LAST


async def test_half_an_event_is_completed_by_its_own_rest_only() -> None:
    world = World()
    speaker, hearer = await begun(world)
    speaker.say(b"data: 1\n\ndata: {")
    await hearer.until(lambda one: one.octets)
    await log_out(world)
    await asyncio.sleep(0.05)
    assert not hearer.finished
    speaker.say(b'"a": 1}\n\ndata: too late\n\n')
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == b'data: 1\n\ndata: {"a": 1}\n\n' + LAST


async def test_half_an_event_without_a_rest_is_left_to_be_forgotten() -> None:
    world = World()
    speaker, hearer = await begun(world)
    speaker.say(b"data: 1\n\ndata: half")
    await hearer.until(lambda one: one.octets)
    await log_out(world)
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == b"data: 1\n\ndata: half"  # no blank line: no browser dispatches it


async def test_a_stream_that_is_being_sent_ends_behind_the_piece_on_its_way() -> None:
    world = World()
    speaker, hearer = await begun(world)
    hearer.reads.clear()
    speaker.say(b"data: 1\n\n")
    speaker.say(b"data: 2\n\n")
    await asyncio.sleep(0.05)
    await log_out(world)
    await asyncio.sleep(0.05)
    hearer.reads.set()
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == b"data: 1\n\n" + LAST


async def test_what_the_server_says_keeps_nobody_logged_in_p7() -> None:
    world = World()
    speaker, hearer = await begun(world)
    for _ in range(30):
        world.clock.advance(60)
        speaker.say(b"data: tick\n\n")
        await settle(world)
    await hearer.until(lambda one: one.finished)
    assert hearer.octets.endswith(LAST)


async def test_a_coded_stream_ends_without_octets_of_ours() -> None:
    world = World()
    speaker, hearer = await begun(world, (b"content-encoding", b"gzip"))
    speaker.say(b"\x1f\x8b\x00\x01")
    await hearer.until(lambda one: one.octets)
    await log_out(world)
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == b"\x1f\x8b\x00\x01"


async def test_a_stream_of_announced_length_is_broken_off_m12() -> None:
    world = World()
    speaker, hearer = await begun(world, (b"content-length", b"1000"))
    speaker.say(b"data: 1\n\n")
    await hearer.until(lambda one: one.octets)
    await log_out(world)
    await hearer.until(lambda one: one.cut)
    assert hearer.octets == b"data: 1\n\n"
    assert not hearer.finished


async def test_other_streams_are_not_cut_off() -> None:
    world = World()
    speaker = Speaker(world)
    world.api.fields = ((b"content-type", b"application/octet-stream"),)
    browser = await world.logged_in()
    hearer = await listen(world, browser)
    speaker.say(b"first half, ")
    await hearer.until(lambda one: one.octets)
    await browser.fetch("/bff/logout", "POST")
    await settle(world)
    speaker.say(b"second half")
    speaker.stop()
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == b"first half, second half"


async def test_a_stopping_process_ends_streams_so_that_browsers_connect_again() -> None:
    world = World()
    speaker, hearer = await begun(world)
    speaker.say(b"data: 1\n\n")
    await hearer.until(lambda one: one.octets)
    await world.gateway.aclose()
    await hearer.until(lambda one: one.finished)
    assert hearer.octets == b"data: 1\n\n"
    assert not hearer.cut


async def test_a_public_stream_lives_without_a_session() -> None:
    world = World()
    speaker = Speaker(world)
    hearer = await listen(world, world.browser(), "/public/events")
    speaker.say(b"data: 1\n\n")
    await hearer.until(lambda one: one.octets)
    assert len(world.gateway.channels) == 1
    await hearer.hang_up()
    assert len(world.gateway.channels) == 0


@pytest.mark.parametrize("ending", ["cancelled", "hung up"])
async def test_an_upstream_that_breaks_off_does_not_look_finished_m12(ending: str) -> None:
    world = World()
    speaker, hearer = await begun(world)
    speaker.say(b"data: half")
    await hearer.until(lambda one: one.octets)
    if ending == "cancelled":
        hearer.task.cancel()  # the server gives up on the request
        with pytest.raises(asyncio.CancelledError):
            await hearer.task
    else:
        await hearer.hang_up()
    assert not hearer.finished
    assert speaker.closed.is_set()
    assert len(world.gateway.channels) == 0


async def test_grpc_web_passes_octet_by_octet_and_native_grpc_is_told_p10() -> None:
    world = World()
    browser = await world.logged_in()
    trailers = b"\x80\x00\x00\x00\x10grpc-status: 0\r\n"
    message = b"\x00\x00\x00\x00\x05hello"
    world.api.fields = (
        (b"content-type", b"application/grpc-web+proto"),
        (b"grpc-status", b"0"),
        (b"grpc-message", b"ok"),
    )
    world.api.pieces = (message, trailers)
    headers = {
        "content-type": "application/grpc-web+proto",
        "x-grpc-web": "1",
        "grpc-timeout": "5S",
    }
    answer = await browser.fetch("/api/x.Y/Z", "POST", headers, message)
    assert answer.body == message + trailers
    assert answer.one("grpc-status") == "0"
    assert answer.one("grpc-message") == "ok"
    assert world.api.bodies[-1] == message
    assert world.api.sent(b"x-grpc-web") == [b"1"]
    assert world.api.sent(b"grpc-timeout") == [b"5S"]
    calls = len(world.api.received)
    native = await browser.fetch("/api/x.Y/Z", "POST", {"content-type": "application/grpc"}, b"x")
    assert (native.status, native.json()["code"]) == (415, "grpc.native")
    assert len(world.api.received) == calls


async def test_a_grpc_web_call_without_a_session_is_a_401_p10() -> None:
    headers = {"content-type": "application/grpc-web+proto"}
    answer = await World().browser().fetch("/api/x.Y/Z", "POST", headers, b"x")
    assert answer.status == 401
