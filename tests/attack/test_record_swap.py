"""Whoever can write to the store can destroy sessions, but not open, swap or extend one (D10)."""

import pytest

from gateway.ports import StoredRecord
from tests.support.world import SESSION, World


async def test_another_sessions_record_under_my_id_opens_nothing() -> None:
    world = World()
    browser = await world.logged_in()
    mine = world.lookup_of(browser)
    world.provider.subject = "grace"
    theirs = world.lookup_of(await world.logged_in())
    world.store.plant(mine, await world.store.read(theirs))
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False
    assert (await browser.fetch("/api/x")).status == 401
    assert world.api.received == []


async def test_an_older_record_of_the_same_session_cannot_be_put_back_as_a_newer_one() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    old = await world.store.read(lookup)
    world.store.plant(lookup, StoredRecord(old.generation + 1, old.sealed))
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False


async def test_halves_of_two_records_do_not_join() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    mine = await world.store.read(lookup)
    world.provider.subject = "grace"
    other = await world.store.read(world.lookup_of(await world.logged_in()))
    end = 5 + int.from_bytes(mine.sealed[1:5], "big")
    other_end = 5 + int.from_bytes(other.sealed[1:5], "big")
    joined = mine.sealed[:end] + other.sealed[other_end:]
    world.store.plant(lookup, StoredRecord(1, joined))
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False


async def test_a_stranger_entered_in_my_index_is_neither_shown_nor_ended() -> None:
    world = World()
    world.provider.subject = "grace"
    stranger = await world.logged_in()
    theirs = world.lookup_of(stranger)
    world.provider.subject = "ada"
    me = await world.logged_in()
    for name in world.ring.index_names("user", "https://id.example", "ada"):
        world.store.enter(name, theirs)
    listed = (await me.fetch("/bff/sessions")).json()["sessions"]
    assert [one["current"] for one in listed] == [True]
    await me.fetch("/bff/sessions", "DELETE")
    assert (await stranger.fetch("/bff/session")).json()["authenticated"] is True


@pytest.mark.parametrize(("step", "steps"), [(1801, 1), (600, 72)])
async def test_a_record_kept_beyond_its_deadline_is_over_all_the_same_d4_d5(
    step: float, steps: int
) -> None:
    """The store's own timer is a convenience; idle (once) and absolute end (in use) are sealed."""
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    cookie = browser.cookies[SESSION]
    record = await world.store.read(lookup)
    world.clock.advance(step)
    for _ in range(steps - 1):
        assert (await browser.fetch("/api/x")).status == 200
        record = await world.store.read(lookup)
        world.clock.advance(step)
    received = len(world.api.received)
    world.store.plant(lookup, record, kept_for=86400)
    for kind, value in (("user", "ada"), ("sid", "sid-1")):
        for name in world.ring.index_names(kind, "https://id.example", value):
            world.store.enter(name, lookup)
    browser.cookies[SESSION] = cookie
    assert (await browser.fetch("/api/x")).status == 401
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False
    assert len(world.api.received) == received
    # Nor is it shown to its user, or counted among what they end.
    elsewhere = await world.logged_in()
    listed = (await elsewhere.fetch("/bff/sessions")).json()["sessions"]
    assert [one["current"] for one in listed] == [True]
    assert (await elsewhere.fetch("/bff/sessions", "DELETE")).json() == {"ended": 0}


async def test_every_flipped_octet_means_no_session_and_no_error() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    record = await world.store.read(lookup)
    cookie = browser.cookies[SESSION]
    for position in range(0, len(record.sealed), 7):
        changed = bytearray(record.sealed)
        changed[position] ^= 0x40
        world.store.plant(lookup, StoredRecord(record.generation, bytes(changed)))
        answer = await browser.fetch("/bff/session")
        assert (answer.status, answer.json()["authenticated"]) == (200, False)
    world.store.plant(lookup, record)
    browser.cookies[SESSION] = cookie
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_record_of_a_newer_format_is_left_alone_for_whoever_wrote_it() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    record = await world.store.read(lookup)
    newer = StoredRecord(record.generation, b"\x02" + record.sealed[1:])
    world.store.plant(lookup, newer)
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False
    assert await world.store.read(lookup) == newer
