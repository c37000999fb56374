"""An upstream's answer reaches the browser with one length and one date, whole or as a stream."""

import pytest

from tests.support.asgi import Answer
from tests.support.world import World

JSON = (b"content-type", b"application/json")


async def answered(world: World, method: str = "GET") -> Answer:
    browser = await world.logged_in()
    return await browser.fetch("/api/x", method, headers={"x-csrf": "1"})


@pytest.mark.parametrize("fields", [(JSON,), (JSON, (b"content-length", b"5"))])
async def test_the_length_of_a_whole_answer_is_said_once(
    fields: tuple[tuple[bytes, bytes], ...],
) -> None:
    world = World()
    world.api.whole, world.api.fields, world.api.pieces = True, fields, (b"he", b"llo")
    answer = await answered(world)
    assert answer.body == b"hello"
    assert answer.all("content-length") == ["5"]


async def test_of_a_stream_the_length_is_what_the_upstream_said() -> None:
    world = World()
    world.api.fields, world.api.pieces = ((b"content-length", b"5"),), (b"he", b"llo")
    answer = await answered(world)
    assert (answer.body, answer.all("content-length")) == (b"hello", ["5"])


async def test_head_says_the_length_get_would_have_l11() -> None:
    world = World()
    world.api.whole, world.api.pieces = True, ()
    world.api.fields = ((b"content-length", b"1000"),)
    assert (await answered(world, "HEAD")).all("content-length") == ["1000"]
    world.api.fields = (JSON,)
    assert (await answered(world, "HEAD")).all("content-length") == []  # nobody knows it


@pytest.mark.parametrize("status", [204, 304])
async def test_without_a_body_no_length_is_made_up_m9(status: int) -> None:
    world = World()
    world.api.whole, world.api.status, world.api.fields, world.api.pieces = True, status, (), ()
    answer = await answered(world)
    assert (answer.status, answer.body, answer.all("content-length")) == (status, b"", [])


@pytest.mark.parametrize("whole", [True, False])
async def test_the_upstreams_date_stays_and_the_server_adds_none(whole: bool) -> None:
    world = World()
    world.api.whole = whole
    world.api.fields = ((b"date", b"Tue, 24 Nov 2026 08:00:00 GMT"), JSON)
    assert (await answered(world)).all("date") == ["Tue, 24 Nov 2026 08:00:00 GMT"]
