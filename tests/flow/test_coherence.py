"""What memory spares the store, and what the store's word does to memory (ADR 0007)."""

import asyncio

import pytest

from gateway.errors import Code, Unavailable
from gateway.ports import LookupId
from gateway.session.manager import Sessions
from tests.support.world import SESSION, World, settings_of


def sessions_of(world: World, number: int = 0) -> Sessions:
    """The life of sessions in one worker of this world."""
    return world.gateways[number].refresher._sessions


def bearers(world: World) -> list[bytes]:
    """The token of each call that reached the API, in order."""
    return [dict(request.fields)[b"authorization"] for request in world.api.received]


async def test_a_hundred_calls_cost_one_read() -> None:
    world = World()
    browser = await world.logged_in()
    reads = world.store.reads
    for _ in range(100):
        world.clock.advance(0.1)
        assert (await browser.fetch("/api/x")).status == 200
    assert world.store.reads == reads + 1


async def test_while_the_store_is_not_watched_every_call_costs_a_read() -> None:
    world = World()
    browser = await world.logged_in()
    world.store.cut()
    reads = world.store.reads
    for _ in range(10):
        assert (await browser.fetch("/api/x")).status == 200
    assert world.store.reads == reads + 10


async def test_without_memory_every_call_costs_a_read() -> None:
    world = World(settings_of({"session": {"cache_bytes": 0}}))
    browser = await world.logged_in()
    reads = world.store.reads
    for _ in range(10):
        assert (await browser.fetch("/api/x")).status == 200
    assert world.store.reads == reads + 10


async def test_a_session_in_memory_is_a_503_like_any_other_when_the_store_is_down_f1() -> None:
    world = World()
    browser = await world.logged_in()
    assert (await browser.fetch("/api/x")).status == 200
    world.store.down = True
    answer = await browser.fetch("/api/x")
    assert answer.status == 503
    assert answer.all("set-cookie") == []
    world.store.down = False
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_token_refreshed_by_one_worker_is_used_by_the_other_at_once() -> None:
    world = World(replicas=2)
    here = await world.logged_in()
    there = world.browser(world.gateways[1])
    there.cookies = here.cookies.copy()
    await there.fetch("/api/x")
    world.clock.advance(400)
    await here.fetch("/api/x")
    await there.fetch("/api/x")
    before, renewed, after = bearers(world)
    assert before != renewed
    assert after == renewed
    assert world.provider.seen("/token") == 2


async def test_a_worker_uses_the_token_it_has_just_refreshed_itself() -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x")
    world.store.hold()  # its own write is not announced yet
    world.clock.advance(250)
    await browser.fetch("/api/x")
    await asyncio.sleep(0.05)
    await browser.fetch("/api/x")
    before, still, after = bearers(world)
    assert before == still
    assert after != before


async def test_a_logout_is_known_to_its_own_worker_before_it_is_announced() -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x")
    thief = world.browser()
    thief.cookies = browser.cookies.copy()
    world.store.hold()
    await browser.fetch("/bff/logout", "POST")
    assert (await thief.fetch("/api/x")).status == 401


async def test_a_write_of_unknown_outcome_is_not_believed_to_have_failed() -> None:
    """The store took it and the answer was lost: memory must not go on with what was before."""
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x")
    sessions = sessions_of(world)
    cookie = browser.cookies[SESSION].value
    session = await sessions.open(cookie, extend=False)
    assert session is not None
    store = world.store
    plain = store.replace

    async def replace_and_break_off(*arguments: object, **more: object) -> bool:
        await plain(*arguments, **more)
        raise Unavailable(Code.STORE_UNAVAILABLE)

    store.hold()
    store.replace = replace_and_break_off
    with pytest.raises(Unavailable):
        await sessions.write(session, facts=session.facts)
    del store.replace
    found = await sessions.open(cookie, extend=False)
    assert found is not None
    assert found.generation == session.generation + 1


async def test_listeners_hear_of_an_end_here_and_of_changes_elsewhere() -> None:
    world = World(replicas=2)
    here = await world.logged_in()
    lookup = world.lookup_of(here)
    heard: dict[int, list[LookupId | None]] = {0: [], 1: []}
    for number, words in heard.items():
        sessions_of(world, number).on_change(words.append)
    await here.fetch("/bff/logout", "POST")
    assert set(heard[0]) == set(heard[1]) == {lookup}
    world.stores[1].cut()
    assert heard[1][-1] is None
    assert heard[0][-1] == lookup
