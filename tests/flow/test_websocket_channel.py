"""An open WebSocket: frames pass as they are, and both ends learn when it is over (P4, P6, F29)."""

import asyncio

import pytest
from websockets.frames import Opcode

from gateway.web.open_channels import VISIT_EVERY
from tests.support import frames
from tests.support.websocket_ends import Endpoint, LiveApi, connected, open_websocket
from tests.support.wires import HIGH_WATER
from tests.support.world import World, settings_of


async def opened(world: World) -> tuple[Endpoint, Endpoint]:
    return await connected(await world.logged_in(), LiveApi(world))


async def over(world: World, *ends: Endpoint) -> None:
    """Wait until both connections are gone, and see that nothing of the channel is left."""
    for end in ends:
        await end.until(lambda one: one.lost_at_all)
    await asyncio.sleep(0)
    assert len(world.gateway.channels) == 0


async def silence(world: World, seconds: int) -> None:
    """Let so much time pass for open channels."""
    for _ in range(seconds):
        world.gateway.channels.visit()
        for _ in range(5):  # what is asked is answered
            await asyncio.sleep(0)


# -- frames


async def test_messages_pass_in_fragments_as_they_were_sent() -> None:
    here, there = await opened(World())
    here.text("one ", fin=False)
    here.more(b"two ", fin=False)
    here.ping(b"between")
    here.more(b"three", fin=True)
    await there.until(lambda end: end.messages == ["one two three"])
    assert [len(one.data) for one in there.frames if one.opcode is not Opcode.PING] == [4, 4, 5]
    assert there.of(Opcode.PING) == [b"between"]
    await here.until(lambda end: end.of(Opcode.PONG) == [b"between"])  # the API's own answer


async def test_octets_are_not_touched() -> None:
    here, there = await opened(World())
    sent = frames.frame(1, b"mask kept") + frames.frame(2, b"x" * 70000)
    here.raw(sent[:3])
    await asyncio.sleep(0.01)
    here.raw(sent[3:])
    await there.until(lambda end: len(end.octets) == len(sent))
    assert there.octets == sent


async def test_a_message_of_a_megabyte_passes_either_way() -> None:
    here, there = await opened(World())
    big = bytes(range(256)) * 4096
    here.binary(big)
    await there.until(lambda end: end.messages == [big])
    there.binary(big)
    await here.until(lambda end: end.messages == [big])


async def test_pings_of_either_end_reach_the_other() -> None:
    here, there = await opened(World())
    there.ping(b"are you there?")
    await here.until(lambda end: end.of(Opcode.PING) == [b"are you there?"])
    await there.until(lambda end: end.of(Opcode.PONG) == [b"are you there?"])


# -- closing


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 3000, 4000, 4999])
@pytest.mark.parametrize("by_browser", [True, False])
async def test_a_close_passes_as_it_is_and_is_answered_p6(code: int, by_browser: bool) -> None:
    world = World()
    ends = await opened(world)
    one, other = ends if by_browser else ends[::-1]
    one.close(code, "because")
    await over(world, *ends)
    assert other.closed == (code, "because")
    assert one.closed == (code, "because")


async def test_a_close_without_a_code_stays_without_one() -> None:
    world = World()
    here, there = await opened(world)
    here.close()
    await over(world, here, there)
    assert there.octets[:2] == b"\x88\x80"  # no payload, masked
    assert here.octets == frames.close(masked=False)


async def test_data_on_its_way_arrives_before_the_close() -> None:
    world = World()
    here, there = await opened(world)
    for number in range(50):
        there.text(f"{number}")
    there.close(1000)
    await over(world, here, there)
    assert here.messages == [str(number) for number in range(50)]


async def test_an_end_that_does_not_answer_a_close_is_not_waited_for_long() -> None:
    world = World()
    here, there = await opened(world)
    there.answers = False
    here.close(1000)
    await over(world, here, there)
    assert here.closed is not None
    assert here.closed[0] == 1000


async def test_an_upstream_that_hangs_up_after_its_close_leaves_a_clean_end() -> None:
    world = World()
    here, there = await opened(world)
    here.answers = False
    there.close(4001, "done")
    there.wire.close()
    await here.until(lambda end: end.closed)
    here.answer()
    await over(world, here, there)
    assert here.closed == (4001, "done")


async def test_an_upstream_that_hangs_up_instead_of_answering_leaves_a_clean_end() -> None:
    world = World()
    here, there = await opened(world)
    there.answers = False
    here.close(1000)
    await there.until(lambda end: end.closed)
    there.vanish()
    await over(world, here, there)
    assert here.closed == (1000, "")


async def test_a_lost_upstream_is_told_with_1011_f29() -> None:
    world = World()
    here, there = await opened(world)
    there.vanish()
    async with asyncio.timeout(2):
        await here.until(lambda end: end.closed)
    assert here.closed == (1011, "upstream.lost")
    await over(world, here, there)


async def test_a_lost_browser_is_told_with_1001_f29() -> None:
    world = World()
    here, there = await opened(world)
    here.vanish()
    async with asyncio.timeout(2):
        await there.until(lambda end: end.closed)
    assert there.closed == (1001, "browser.lost")
    await over(world, here, there)


async def test_half_a_frame_is_never_completed_by_us_f29() -> None:
    world = World()
    here, there = await opened(world)
    whole = frames.frame(2, b"x" * 1000, masked=False)
    there.raw(whole[:500])
    await here.until(lambda end: len(end.octets) == 500)
    there.vanish()
    await here.until(lambda end: end.lost_at_all)
    assert here.octets == whole[:500]  # and no Close behind it, which would be read as payload
    await over(world, here, there)


# -- what is not allowed


@pytest.mark.parametrize(
    ("octets", "code", "reason"),
    [
        (frames.frame(1, b"x", masked=False), 1002, "websocket.violation"),
        (frames.frame(1, b"x", reserved=4), 1002, "websocket.violation"),
        (frames.close(1005), 1002, "websocket.violation"),
        (frames.close(1006), 1002, "websocket.violation"),
        (frames.close(1000, b"\xff"), 1007, "websocket.violation"),
        (b"\x82\xff" + (1 << 30).to_bytes(8, "big") + frames.MASK, 1009, "websocket.too_big"),
        (b"GET / HTTP/1.1\r\n\r\n", 1002, "websocket.violation"),
    ],
)
async def test_a_browser_that_breaks_the_protocol_is_told_so_and_the_api_sees_nothing_of_it_p6(
    octets: bytes, code: int, reason: str
) -> None:
    world = World()
    here, there = await opened(world)
    here.text("good")
    here.raw(octets)
    await here.until(lambda end: end.closed)
    await there.until(lambda end: end.closed)
    assert here.closed == (code, reason)
    assert there.closed == (1001, reason)
    assert there.messages == ["good"]
    here.vanish()  # it would be let go after two seconds
    await over(world, here, there)


async def test_an_upstream_that_breaks_the_protocol_is_told_so_and_the_browser_too() -> None:
    world = World()
    here, there = await opened(world)
    there.text("good")
    there.raw(frames.frame(1, b"masked"))
    await here.until(lambda end: end.closed)
    assert here.closed == (1011, "websocket.violation")
    assert there.closed == (1002, "websocket.violation")
    assert here.messages == ["good"]
    await over(world, here, there)


async def test_the_limit_is_the_configured_one() -> None:
    world = World(settings_of({"limits": {"max_message_bytes": "1KiB"}}))
    here, there = await opened(world)
    here.binary(b"x" * 1024)
    await there.until(lambda end: end.messages)
    here.binary(b"x" * 1025)
    await here.until(lambda end: end.closed)
    assert here.closed == (1009, "websocket.too_big")
    assert len(there.messages) == 1
    await over(world, here, there)


async def test_compression_is_not_offered_so_it_is_a_violation() -> None:
    world = World()
    api = LiveApi(world)
    api.more = ((b"sec-websocket-extensions", b"permessage-deflate"),)
    opening = await open_websocket(await world.logged_in())
    assert (opening.status, opening.code) == (502, "upstream.protocol")


# -- back-pressure


async def test_a_slow_reader_slows_the_sender_down_p6() -> None:
    world = World()
    api = LiveApi(world)
    opening = await open_websocket(await world.logged_in())
    here, there, upstream = opening.endpoint, api.opened[0], api.wires[0]
    assert here is not None
    assert opening.wire is not None
    here.wire.pause()
    for _ in range(20):
        there.binary(b"x" * HIGH_WATER)
        await asyncio.sleep(0.005)
    assert upstream.pauses == 1
    assert opening.wire.buffered < 3 * HIGH_WATER  # the rest waits on the other side
    here.wire.resume()
    await here.until(lambda end: len(end.messages) == 20)
    assert upstream.resumes >= 1


async def test_a_close_gets_through_to_an_end_that_was_held_back() -> None:
    world = World()
    api = LiveApi(world)
    opening = await open_websocket(await world.logged_in())
    here, there = opening.endpoint, api.opened[0]
    assert here is not None
    there.wire.pause()  # the API reads nothing
    for _ in range(4):
        here.binary(b"x" * HIGH_WATER)
        await asyncio.sleep(0.005)
    there.vanish()
    await here.until(lambda end: end.closed)
    assert here.closed == (1011, "upstream.lost")
    await over(world, here, there)


# -- silence


async def test_a_silent_end_is_asked_and_its_answer_goes_no_further_p6() -> None:
    world = World()
    here, there = await opened(world)
    await silence(world, 30)
    assert len(here.of(Opcode.PING)) == 1
    assert len(there.of(Opcode.PING)) == 1
    assert here.of(Opcode.PONG) == there.of(Opcode.PONG) == []
    await silence(world, 300)  # they answer, so they are there
    assert (here.closed, there.closed) == (None, None)
    assert len(here.of(Opcode.PING)) > 5


async def test_an_end_that_speaks_is_not_asked() -> None:
    world = World()
    here, there = await opened(world)
    for _ in range(20):
        await silence(world, 10)
        here.text("still here")
        there.text("so am I")
        await asyncio.sleep(0.01)
    assert here.of(Opcode.PING) == there.of(Opcode.PING) == []


@pytest.mark.parametrize("lost", ["browser", "upstream"])
async def test_no_half_open_pair_outlives_a_minute_f29(lost: str) -> None:
    world = World()
    ends = await opened(world)
    gone, other = ends if lost == "browser" else ends[::-1]
    gone.wire.freeze()
    await silence(world, 24)
    assert not other.lost_at_all
    await silence(world, 60 + VISIT_EVERY - 24)
    await other.until(lambda end: end.lost_at_all)
    expected = (1001, "browser.lost") if lost == "browser" else (1011, "upstream.lost")
    assert other.closed == expected
    assert len(world.gateway.channels) == 0


async def test_a_ping_never_stands_inside_a_frame() -> None:
    world = World()
    here, there = await opened(world)
    there.answers = False  # it is in the middle of something
    whole = frames.frame(2, b"x" * 1000, masked=False)
    there.raw(whole[:500])
    await here.until(lambda end: len(end.octets) == 500)
    await silence(world, 30)
    assert len(here.octets) == 500
    there.raw(whole[500:])
    await here.until(lambda end: end.messages)
    await silence(world, 60)
    assert here.messages == [b"x" * 1000]


# -- the process stops


async def test_a_long_frame_on_its_way_is_no_silence() -> None:
    world = World()
    here, there = await opened(world)
    whole = frames.frame(2, b"x" * 1000, masked=False)
    for at in range(0, 200, 5):
        there.raw(whole[at : at + 5])
        await silence(world, VISIT_EVERY)
    there.raw(whole[200:])
    await here.until(lambda end: end.messages)
    assert here.messages == [b"x" * 1000]


async def test_a_channel_that_opens_while_the_process_stops_is_told_as_well() -> None:
    world = World()
    api = LiveApi(world)
    browser = await world.logged_in()
    world.gateway.channels.go_away()
    here, _ = await connected(browser, api)
    await here.until(lambda end: end.closed)
    assert here.closed == (1001, "gateway.stopping")


async def test_a_stopping_process_says_goodbye() -> None:
    world = World()
    here, there = await opened(world)
    await world.gateway.aclose()
    assert here.closed == there.closed == (1001, "gateway.stopping")
    assert here.lost_at_all
    assert there.lost_at_all
