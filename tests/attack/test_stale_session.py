"""A session that ended is used where another worker still has it in memory (D3-D6, ADR 0007).

Two workers on one store. The second has served the session a moment ago and keeps it opened; the
first ends it, or changes it. `LAG` is the second within which the store's word may be on its way.
"""

import asyncio

import pytest

from tests.support.browser import Browser
from tests.support.key_rings import NEW, with_keys
from tests.support.memory_store import LAG, MemoryStore
from tests.support.world import SESSION, World, settings_of


async def two_workers() -> tuple[World, Browser, Browser, MemoryStore]:
    """A world, the person's browser at the first worker, its copy at the second, its store."""
    world = World(replicas=2)
    here = await world.logged_in()
    there = world.browser(world.gateways[1])
    there.cookies = here.cookies.copy()
    world.clock.advance(1)
    assert (await there.fetch("/api/x")).status == 200
    reads = world.store.reads
    assert (await there.fetch("/api/x")).status == 200
    assert world.store.reads == reads, "the second worker has it in memory"
    world.api.received.clear()
    return world, here, there, world.stores[1]


async def refused(world: World, there: Browser) -> None:
    copied = there.cookies.copy()
    answer = await there.fetch("/api/x")
    assert answer.status == 401
    assert answer.json()["code"] == "session.ended"
    assert world.api.received == []
    there.cookies = copied  # a thief's program forgets no cookie


async def test_after_a_logout_no_other_worker_serves_the_copied_cookie_d3() -> None:
    world, here, there, _ = await two_workers()
    await here.fetch("/bff/logout", "POST")
    await refused(world, there)


async def test_a_session_ended_from_another_browser_is_dead_on_every_worker() -> None:
    world, here, there, _ = await two_workers()
    session_id = (await here.fetch("/bff/session")).json()["session_id"]
    other = await world.logged_in()
    assert (await other.fetch(f"/bff/sessions/{session_id}", "DELETE")).status == 204
    await refused(world, there)


async def test_a_session_replaced_by_a_new_login_is_dead_on_every_worker_d1() -> None:
    world, here, there, _ = await two_workers()
    world.clock.advance(10)
    await here.navigate("/bff/login")
    await refused(world, there)


async def test_the_store_emptied_by_its_operator_is_empty_everywhere_f6() -> None:
    world, _, there, _ = await two_workers()
    world.store.lose_everything()
    await refused(world, there)


async def test_without_the_link_memory_is_not_believed() -> None:
    world, here, there, link = await two_workers()
    link.cut()
    await here.fetch("/bff/logout", "POST")
    await refused(world, there)
    link.mend()
    await refused(world, there)


async def test_what_was_read_without_the_link_is_not_believed_with_it() -> None:
    world, here, there, link = await two_workers()
    link.cut()
    assert (await there.fetch("/api/x")).status == 200
    world.api.received.clear()
    await here.fetch("/bff/logout", "POST")
    link.mend()
    await refused(world, there)


async def test_a_lagging_announcement_is_waited_for_a_second_at_most() -> None:
    world, here, there, link = await two_workers()
    link.hold()
    await here.fetch("/bff/logout", "POST")
    world.clock.advance(LAG)
    await refused(world, there)


async def test_a_lagging_copy_brings_nothing_back_d6() -> None:
    """The copy is a moment old and due for a slide: the write finds out, and so does the caller."""
    world, here, there, link = await two_workers()
    world.clock.advance(120)
    assert (await there.fetch("/bff/session")).json()["authenticated"] is True
    link.hold()
    await here.fetch("/bff/logout", "POST")
    await refused(world, there)
    assert world.store.live_sessions() == {}


async def test_a_lagging_copy_cannot_be_refreshed_d6() -> None:
    world, here, there, link = await two_workers()
    world.clock.advance(400)
    assert (await there.fetch("/bff/session")).json()["authenticated"] is True
    link.hold()
    await here.fetch("/bff/logout", "POST")
    await refused(world, there)
    assert world.store.live_sessions() == {}
    assert world.provider.seen("/token") == 1


async def test_a_slow_read_that_crosses_the_logout_is_not_kept() -> None:
    """The read saw the session; the logout and its announcement overtake the reply."""
    world, here, there, link = await two_workers()
    link.cut()
    link.mend()  # nothing is in memory
    link.gate = asyncio.Event()
    slow = asyncio.create_task(there.fetch("/api/x"))
    await link.at_gate.wait()
    await here.fetch("/bff/logout", "POST")
    link.gate.set()
    await slow  # it was on its way when the session ended, as without any memory
    world.api.received.clear()
    await refused(world, there)


@pytest.mark.parametrize("idle", ["60s", "100s"])
async def test_the_idle_deadline_holds_for_a_session_in_memory_d4(idle: str) -> None:
    world = World(settings_of({"session": {"idle_timeout": idle, "refresh_margin": 10}}))
    browser = await world.logged_in()
    seconds = float(idle.removesuffix("s"))
    await browser.fetch("/bff/session")
    world.clock.advance(seconds - 0.5)
    reads = world.store.reads
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True
    assert (seconds > 60) == (world.store.reads > reads)
    world.clock.advance(0.5)
    assert (await browser.fetch("/api/x")).status == 401
    assert world.api.received == []


async def test_traffic_from_memory_does_not_stretch_the_absolute_deadline_d5() -> None:
    world = World(settings_of({"session": {"absolute_timeout": "10m", "idle_timeout": "2m"}}))
    browser = await world.logged_in()
    for _ in range(599):
        world.clock.advance(1)
        assert (await browser.fetch("/api/x")).status == 200
    world.clock.advance(1)
    world.api.received.clear()
    assert (await browser.fetch("/api/x")).status == 401
    assert world.api.received == []


async def test_memory_keeps_a_session_alive_that_is_used_d4() -> None:
    """Hits count as use: somebody who works is not logged out for want of a read."""
    world = World(settings_of({"session": {"idle_timeout": "2m"}}))
    browser = await world.logged_in()
    for _ in range(100):
        world.clock.advance(10)
        assert (await browser.fetch("/api/x")).status == 200


async def test_a_changed_cookie_finds_nobodys_session_in_memory_b13() -> None:
    world = World()
    victim = await world.logged_in()
    world.provider.subject = "mallory"
    mallory = await world.logged_in()
    for browser in (victim, mallory):
        assert (await browser.fetch("/api/x")).status == 200
    world.api.received.clear()
    good = [browser.cookies[SESSION].value for browser in (victim, mallory)]
    handles, signatures = zip(*(value.split(".") for value in good), strict=True)
    crossed = [f"{handles[0]}.{signatures[1]}", f"{handles[1]}.{signatures[0]}"]
    cut = [value[:length] for value in good for length in range(0, len(value) - 1, 7)]
    thief = world.browser()
    for value in [*crossed, *cut, *handles, good[0].swapcase(), good[0] + good[1]]:
        thief.cookies[SESSION] = victim.cookies[SESSION].__class__(value, "strict", "app.example")
        assert (await thief.fetch("/api/x")).status == 401
    assert world.api.received == []


async def test_everybody_gets_their_own_however_many_share_the_memory() -> None:
    """It holds three of the ten; they come and go all the time."""
    world = World(settings_of({"session": {"cache_bytes": "20KiB"}}))
    people = {}
    for number in range(10):
        world.provider.subject = f"person-{number}"
        people[f"person-{number}"] = await world.logged_in()
    for turn in range(60):
        subject = f"person-{turn * 7 % 10}"
        seen = (await people[subject].fetch("/bff/session")).json()
        assert seen["user"]["sub"] == subject


async def test_a_worker_without_the_key_does_not_serve_what_another_has_in_memory_d16() -> None:
    world, _, there, _ = await two_workers()
    stranger = world.replica(with_keys(world.settings, NEW))
    there.origins = {**there.origins, world.home: stranger.public}
    assert (await there.fetch("/api/x")).status == 401
    assert world.api.received == []
