"""The contract of the `SessionStore` port, kept by every implementation on every server.

Servers: none at all (the fake), the embedded Valkey on its unix socket, redis-server over TCP with
a password and an ACL that allows no command and no key beyond what the store says it needs, and
redis-server over TLS.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from gateway.adapters.redis_store import RedisStore
from gateway.ports import IndexName, LookupId, SessionStore, StoredRecord
from tests.support.clock import TurnableClock
from tests.support.memory_store import MemoryStore
from tests.support.store_servers import SERVERS, patient
from tests.support.store_watcher import Told, until

LONG = 60.0  # seconds: not over before the test is
GUARD = 10.0  # seconds, for what has to happen within one
SHORT = 0.15  # seconds: over when `fast_forward(SHORT)` returns

A, B, C = LookupId("lookup-a"), LookupId("lookup-b"), LookupId("lookup-c")
SUBJECT, SID = IndexName("by-subject"), IndexName("by-sid")


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """A store, another process's client on the same data, and what one can do to them.

    `stranger` is a client with another prefix. `cut` breaks the link that `store` watches by.
    """

    store: SessionStore
    other: SessionStore
    stranger: SessionStore
    fast_forward: Callable[[float], Awaitable[None]]
    flush: Callable[[], object]
    cut: Callable[[], object]
    mend: Callable[[], object]

    async def put(
        self, lookup: LookupId, record: StoredRecord, indexes: Sequence[IndexName] = ()
    ) -> bool:
        return await self.store.create(lookup, record, ttl=LONG, indexes=indexes, index_ttl=LONG)


@pytest.fixture(params=["memory", *SERVERS])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield in_memory()
        return
    async with SERVERS[request.param](request) as served, contextlib.AsyncExitStack() as stack:
        usual = patient(served.settings)
        elsewhere = dataclasses.replace(usual, prefix=f"{usual.prefix}x:")
        store, other, stranger = map(RedisStore, (usual, usual, elsewhere))
        for opened in (store, other, stranger):
            stack.push_async_callback(opened.aclose)
        yield World(
            store,
            other,
            stranger,
            fast_forward=lambda seconds: asyncio.sleep(seconds + 0.02),
            flush=lambda: served.command("FLUSHALL"),
            cut=lambda: served.command("CLIENT", "KILL", "TYPE", "pubsub"),
            mend=lambda: None,
        )


def in_memory() -> World:
    clock = TurnableClock()
    store = MemoryStore(clock)

    async def turn(seconds: float) -> None:
        clock.advance(seconds)

    return World(
        store,
        store.another(),
        MemoryStore(clock),
        fast_forward=turn,
        flush=store.lose_everything,
        cut=store.cut,
        mend=store.mend,
    )


async def test_a_record_comes_back_as_it_was_stored(world: World) -> None:
    every_octet = StoredRecord(1, bytes(range(256)) * 40)
    assert await world.put(A, every_octet)
    assert await world.store.read(A) == every_octet


async def test_an_empty_record_and_a_large_generation_come_back(world: World) -> None:
    record = StoredRecord(2**63, b"")
    assert await world.put(A, record)
    assert await world.store.read(A) == record


async def test_an_unknown_lookup_id_reads_as_none_and_reading_creates_nothing(
    world: World,
) -> None:
    """D2: an unknown id never makes a session."""
    assert await world.store.read(A) is None
    assert await world.put(A, StoredRecord(1, b"first"))


async def test_a_taken_lookup_id_is_not_overwritten(world: World) -> None:
    assert await world.put(A, StoredRecord(1, b"first"))
    assert not await world.put(A, StoredRecord(1, b"second"))
    assert await world.store.read(A) == StoredRecord(1, b"first")


async def test_of_many_creations_of_one_lookup_id_exactly_one_succeeds(world: World) -> None:
    records = [StoredRecord(1, b"from %d" % i) for i in range(20)]
    created = await asyncio.gather(*(world.put(A, record) for record in records))
    assert created.count(True) == 1
    assert await world.store.read(A) == records[created.index(True)]


async def test_read_many_answers_in_order_with_gaps_and_repeats(world: World) -> None:
    await world.put(A, StoredRecord(1, b"a"))
    await world.put(C, StoredRecord(3, b"c"))
    found = await world.store.read_many([C, B, A, C])
    assert found == [StoredRecord(3, b"c"), None, StoredRecord(1, b"a"), StoredRecord(3, b"c")]


async def test_reading_no_lookup_ids_answers_nothing(world: World) -> None:
    assert await world.store.read_many([]) == []


async def test_a_record_is_over_when_its_time_to_live_is(world: World) -> None:
    """B11, D4: the store itself forgets."""
    record = StoredRecord(1, b"brief")
    await world.store.create(A, record, ttl=SHORT, indexes=[], index_ttl=SHORT)
    await world.put(B, StoredRecord(1, b"lasting"))
    await world.fast_forward(SHORT)
    assert await world.store.read(A) is None
    assert await world.store.read(B) == StoredRecord(1, b"lasting")
    assert await world.put(A, StoredRecord(1, b"again"))


async def test_replace_needs_the_generation_that_was_read(world: World) -> None:
    await world.put(A, StoredRecord(1, b"one"))
    assert await world.store.replace(A, StoredRecord(2, b"two"), expected=1, ttl=LONG)
    assert not await world.store.replace(A, StoredRecord(2, b"late"), expected=1, ttl=LONG)
    assert not await world.store.replace(A, StoredRecord(4, b"early"), expected=3, ttl=LONG)
    assert await world.store.read(A) == StoredRecord(2, b"two")


async def test_replace_takes_the_generation_it_is_given(world: World) -> None:
    await world.put(A, StoredRecord(7, b"seven"))
    assert await world.store.replace(A, StoredRecord(70, b"seventy"), expected=7, ttl=LONG)
    assert await world.store.read(A) == StoredRecord(70, b"seventy")


async def test_of_many_replacements_of_one_generation_exactly_one_succeeds(world: World) -> None:
    """H8: two refreshes of one session do not both win."""
    await world.put(A, StoredRecord(1, b"one"))
    records = [StoredRecord(2, b"from %d" % i) for i in range(20)]
    replaced = await asyncio.gather(
        *(world.store.replace(A, record, expected=1, ttl=LONG) for record in records)
    )
    assert replaced.count(True) == 1
    assert await world.store.read(A) == records[replaced.index(True)]


async def test_nothing_revives_an_ended_session(world: World) -> None:
    """D6: a slow request or a refresh that ends after logout changes nothing."""
    await world.put(A, StoredRecord(1, b"one"), [SUBJECT])
    assert await world.store.end(A, [SUBJECT])
    assert not await world.store.replace(A, StoredRecord(2, b"two"), expected=1, ttl=LONG)
    assert await world.store.read(A) is None
    assert await world.store.members(SUBJECT) == []


async def test_nothing_replaces_a_session_that_never_was_or_is_over(world: World) -> None:
    assert not await world.store.replace(B, StoredRecord(1, b"new"), expected=0, ttl=LONG)
    await world.store.create(A, StoredRecord(1, b"1"), ttl=SHORT, indexes=[], index_ttl=SHORT)
    await world.fast_forward(SHORT)
    assert not await world.store.replace(A, StoredRecord(2, b"2"), expected=1, ttl=LONG)
    assert await world.store.read_many([A, B]) == [None, None]


async def test_replace_sets_the_time_to_live_anew(world: World) -> None:
    """D4: activity moves the idle deadline, in either direction."""
    await world.store.create(A, StoredRecord(1, b"a"), ttl=LONG, indexes=[], index_ttl=LONG)
    await world.store.create(B, StoredRecord(1, b"b"), ttl=1.5, indexes=[], index_ttl=LONG)
    assert await world.store.replace(A, StoredRecord(2, b"a"), expected=1, ttl=SHORT)
    assert await world.store.replace(B, StoredRecord(2, b"b"), expected=1, ttl=LONG)
    await world.fast_forward(SHORT)
    assert await world.store.read(A) is None
    await world.fast_forward(1.5 - SHORT)
    assert await world.store.read(B) == StoredRecord(2, b"b")


async def test_end_says_whether_a_session_was_there(world: World) -> None:
    await world.put(A, StoredRecord(1, b"a"), [SUBJECT, SID])
    assert await world.store.end(A, [SUBJECT, SID])
    assert not await world.store.end(A, [SUBJECT, SID])
    assert not await world.store.end(B, [])


async def test_a_session_is_entered_in_every_index_it_names(world: World) -> None:
    """D7: by (iss, sub) and by (iss, sid)."""
    await world.put(A, StoredRecord(1, b"a"), [SUBJECT, SID])
    await world.put(B, StoredRecord(1, b"b"), [SUBJECT])
    assert set(await world.store.members(SUBJECT)) == {A, B}
    assert await world.store.members(SID) == [A]
    assert await world.store.members(IndexName("by-nobody")) == []


async def test_ending_one_session_hides_no_other(world: World) -> None:
    """D8: index entries are removed per session."""
    for lookup in (A, B, C):
        await world.put(lookup, StoredRecord(1, lookup.encode()), [SUBJECT])
    await world.store.end(B, [SUBJECT])
    assert set(await world.store.members(SUBJECT)) == {A, C}


async def test_an_index_forgets_each_entry_at_its_own_time(world: World) -> None:
    """D8: a short session beside a long one is dropped alone; the long one stays."""
    for lookup, index_ttl in ((A, SHORT), (B, LONG), (C, SHORT)):
        record = StoredRecord(1, b"x")
        await world.store.create(lookup, record, ttl=SHORT, indexes=[SUBJECT], index_ttl=index_ttl)
    await world.fast_forward(SHORT)
    assert await world.store.members(SUBJECT) == [B]


async def test_an_index_outlives_the_record_until_the_absolute_end(world: World) -> None:
    """A slide extends the record but not the index: the index already knows the absolute end."""
    record = StoredRecord(1, b"a")
    await world.store.create(A, record, ttl=0.7, indexes=[SUBJECT], index_ttl=LONG)
    assert await world.store.replace(A, StoredRecord(2, b"a"), expected=1, ttl=LONG)
    await world.fast_forward(0.7)
    assert await world.store.members(SUBJECT) == [A]
    assert await world.store.read(A) == StoredRecord(2, b"a")


async def test_a_refused_creation_does_not_shorten_the_index_of_the_session_there(
    world: World,
) -> None:
    await world.put(A, StoredRecord(1, b"a"), [SUBJECT])
    refused = await world.store.create(
        A, StoredRecord(1, b"late"), ttl=SHORT, indexes=[SUBJECT], index_ttl=SHORT
    )
    await world.fast_forward(SHORT)
    assert not refused
    assert await world.store.members(SUBJECT) == [A]


async def test_a_name_is_claimed_once_until_its_time_is_over(world: World) -> None:
    """E4: one exchange per attempt, however often the callback is sent."""
    claims = await asyncio.gather(*(world.store.claim("attempt", ttl=LONG) for _ in range(20)))
    assert claims.count(True) == 1
    assert await world.store.claim("another attempt", ttl=SHORT)
    await world.fast_forward(SHORT)
    assert await world.store.claim("another attempt", ttl=SHORT)
    assert not await world.store.claim("attempt", ttl=LONG)


async def scanned(store: SessionStore, batch: int) -> list[Sequence[LookupId]]:
    return [names async for names in store.scan(batch)]


async def test_a_scan_names_every_session_there_is_and_nothing_else(world: World) -> None:
    lookups = {LookupId(f"lookup-{i}") for i in range(120)}
    for lookup in lookups:
        await world.put(lookup, StoredRecord(1, b"x"), [SUBJECT, SID])
    await world.other.claim("attempt", ttl=LONG)
    await world.stranger.create(B, StoredRecord(1, b"1"), ttl=LONG, indexes=[], index_ttl=LONG)
    pages = await scanned(world.other, 20)
    assert len(pages) > 3
    assert max(map(len, pages)) <= 40  # about twenty; a server may say a few more
    assert {lookup for names in pages for lookup in names} == lookups


async def test_a_scan_goes_on_while_what_it_names_is_ended(world: World) -> None:
    for i in range(60):
        await world.put(LookupId(f"lookup-{i}"), StoredRecord(1, b"x"))
    ended = 0
    async for names in world.store.scan(10):
        for lookup in names:
            ended += await world.store.end(lookup, [])
    assert ended == 60
    assert not any(await scanned(world.store, 10))


async def test_an_empty_store_is_scanned_at_once(world: World) -> None:
    assert not any(await scanned(world.store, 10))


async def test_what_an_end_keeps_is_no_session_and_is_taken_once_j14(world: World) -> None:
    await world.put(A, StoredRecord(7, b"sealed"))
    await world.put(B, StoredRecord(1, b"other"))
    assert await world.other.end(A, [SUBJECT], keep=LONG)
    assert await world.store.end(B, [SUBJECT])
    assert await world.store.read(A) is None
    assert await world.store.members(SUBJECT) == []
    assert not await world.store.replace(A, StoredRecord(8, b"x"), expected=7, ttl=LONG)
    takes = await asyncio.gather(*(world.store.take(A) for _ in range(10)))
    assert [record for record in takes if record] == [StoredRecord(7, b"sealed")]
    assert await world.store.take(B) is None
    assert await world.stranger.take(A) is None


async def test_an_end_that_finds_nothing_keeps_nothing_and_spoils_nothing_j14(
    world: World,
) -> None:
    assert not await world.store.end(A, [SUBJECT], keep=LONG)
    assert await world.store.take(A) is None
    await world.put(A, StoredRecord(1, b"first"))
    assert await world.store.end(A, [SUBJECT], keep=LONG)
    assert not await world.store.end(A, [SUBJECT], keep=LONG)
    assert await world.store.take(A) == StoredRecord(1, b"first")


async def test_what_an_end_keeps_is_gone_when_its_time_is_over_j14(world: World) -> None:
    await world.put(A, StoredRecord(1, b"sealed"))
    assert await world.store.end(A, [], keep=SHORT)
    await world.fast_forward(SHORT)
    assert await world.store.take(A) is None


async def test_whether_a_name_is_claimed_can_be_asked_without_claiming_it(world: World) -> None:
    assert not await world.store.claimed("attempt")
    assert await world.store.claim("attempt", ttl=LONG)
    assert await world.store.claimed("attempt")
    assert await world.other.claimed("attempt")
    assert not await world.stranger.claimed("attempt")
    assert await world.store.claim("another", ttl=SHORT)
    await world.fast_forward(SHORT)
    assert not await world.store.claimed("another")


async def test_of_the_numbers_written_under_a_name_the_greatest_stays_j13(world: World) -> None:
    store = world.store
    assert await store.marks([SUBJECT, SID]) == [None, None]
    await store.mark([SUBJECT], 1_700_000_000.5, ttl=LONG)
    assert await world.other.marks([SID, SUBJECT, SUBJECT]) == [
        None,
        1_700_000_000.5,
        1_700_000_000.5,
    ]
    await store.mark([SUBJECT, SID], 999.0, ttl=LONG)  # as text this one is greater
    assert await store.marks([SUBJECT, SID]) == [1_700_000_000.5, 999.0]
    await world.other.mark([SUBJECT, SID], 1_700_000_001.0, ttl=LONG)
    assert await store.marks([SUBJECT, SID]) == [1_700_000_001.0, 1_700_000_001.0]
    assert await world.stranger.marks([SUBJECT]) == [None]


async def test_of_marks_written_at_once_the_greatest_stays_j13(world: World) -> None:
    values = [float(number * 7 % 50) for number in range(50)]
    writers = (world.store, world.other)
    await asyncio.gather(
        *(
            writers[number % 2].mark([SUBJECT, SID], value, ttl=LONG)
            for number, value in enumerate(values)
        )
    )
    assert await world.store.marks([SUBJECT, SID]) == [49.0, 49.0]


async def test_a_mark_is_gone_when_its_time_is_over_and_a_new_one_makes_it_last(
    world: World,
) -> None:
    await world.store.mark([SUBJECT, SID], 5.0, ttl=SHORT)
    await world.store.mark([SID], 3.0, ttl=LONG)
    await world.fast_forward(SHORT)
    assert await world.store.marks([SUBJECT, SID]) == [None, 5.0]


async def test_marks_tell_a_watcher_nothing_and_are_no_sessions(world: World) -> None:
    await world.store.mark([SUBJECT], 1.0, ttl=LONG)
    assert await world.store.members(SUBJECT) == []
    assert await world.store.read(LookupId(SUBJECT)) is None
    assert not await world.store.claimed(SUBJECT)


async def test_a_time_to_live_that_is_already_over_keeps_nothing(world: World) -> None:
    await world.store.create(A, StoredRecord(1, b"a"), ttl=-1, indexes=[SUBJECT], index_ttl=0)
    await world.fast_forward(SHORT)
    assert await world.store.read(A) is None
    assert await world.store.members(SUBJECT) == []


async def test_the_store_answers_a_ping(world: World) -> None:
    await world.store.ping()


# -- watching -----------------------------------------------------------------------------------


@pytest.fixture
async def told(world: World) -> Told:
    """The store of this world, watched; what was told until it was is forgotten."""
    watcher = Told()
    assert not world.store.is_watched()
    world.store.watch(watcher)
    await until(world.store.is_watched)
    assert watcher.of[-1:] == [None], "copies from before the link must go"
    watcher.of.clear()
    return watcher


async def test_every_write_of_another_process_is_told(world: World, told: Told) -> None:
    """D3, D6: what one process ends, every other forgets."""
    for operation in (
        world.other.create(A, StoredRecord(1, b"1"), ttl=LONG, indexes=[SUBJECT], index_ttl=LONG),
        world.other.replace(A, StoredRecord(2, b"2"), expected=1, ttl=LONG),
        world.other.end(A, [SUBJECT]),
    ):
        assert await operation
        await until(lambda: told.of == [A])
        told.of.clear()


async def test_our_own_writes_are_told_too(world: World, told: Told) -> None:
    assert await world.put(A, StoredRecord(1, b"1"))
    await until(lambda: told.of == [A])


async def test_a_record_that_runs_out_is_told(world: World, told: Told) -> None:
    """D4: a deadline that only the store enforces is heard of as well."""
    await world.other.create(A, StoredRecord(1, b"1"), ttl=SHORT, indexes=[], index_ttl=SHORT)
    await until(lambda: told.of == [A])
    await world.fast_forward(SHORT)
    assert await world.other.read(A) is None
    await until(lambda: told.of == [A, A])


async def test_an_emptied_store_is_told(world: World, told: Told) -> None:
    """F6."""
    await world.put(A, StoredRecord(1, b"1"))
    await until(lambda: told.of == [A])
    world.flush()
    await until(lambda: None in told.of)
    assert world.store.is_watched()


async def test_nothing_else_is_told(world: World, told: Told) -> None:
    """Another gateway's sessions on the same server, and whatever is no session."""
    await world.stranger.create(B, StoredRecord(1, b"1"), ttl=LONG, indexes=[SID], index_ttl=LONG)
    await world.stranger.end(B, [SID])
    await world.other.claim("attempt", ttl=SHORT)
    assert not await world.other.end(C, [SUBJECT])
    assert not await world.other.replace(C, StoredRecord(2, b"2"), expected=1, ttl=LONG)
    await world.other.read_many([A, B, C])
    await world.put(A, StoredRecord(1, b"1"))
    await until(lambda: A in told.of)
    assert told.of == [A]


async def test_a_watcher_hears_of_an_end_that_keeps_something_j16(world: World, told: Told) -> None:
    await world.put(A, StoredRecord(1, b"1"))
    await until(lambda: told.of == [A])
    assert await world.other.end(A, [SUBJECT], keep=LONG)
    await until(lambda: told.of == [A, A])
    await world.other.take(A)
    await world.put(B, StoredRecord(1, b"1"))
    await until(lambda: B in told.of)
    assert told.of == [A, A, B]


async def test_a_watcher_hears_of_changes_in_their_order(world: World, told: Told) -> None:
    lookups = [LookupId(f"lookup-{i}") for i in range(50)]
    for lookup in lookups:
        await world.other.create(lookup, StoredRecord(1, b"1"), ttl=LONG, indexes=[], index_ttl=1)
    await until(lambda: len(told.of) >= len(lookups))
    assert told.of == lookups


async def test_while_it_vouches_a_change_has_been_told_after_a_second(
    world: World, told: Told
) -> None:
    """The promise itself, for changes at every moment of the interval between two proofs."""
    for i in range(12):
        await world.fast_forward(0.07)
        lookup = LookupId(f"lookup-{i}")
        await world.other.create(lookup, StoredRecord(1, b"1"), ttl=LONG, indexes=[], index_ttl=1)
        changed_at = time.monotonic()
        async with asyncio.timeout(GUARD):
            while lookup not in told.of:
                # Never both: it vouches, a second after a change that it has not told.
                a_second_later = time.monotonic() - changed_at > 1.0
                assert not (a_second_later and world.store.is_watched())
                await asyncio.sleep(0.005)


async def test_a_link_that_is_cut_is_known_to_be_and_comes_back(world: World, told: Told) -> None:
    for _ in range(3):
        world.cut()
        await until(lambda: None in told.of, within=1.5)
        told.of.clear()
        world.mend()
        await until(lambda: None in told.of and world.store.is_watched())
        await world.other.end(A, [])
        await world.other.create(A, StoredRecord(1, b"1"), ttl=LONG, indexes=[], index_ttl=1)
        await until(lambda: A in told.of)
        told.of.clear()


async def test_a_store_is_watched_by_one(world: World, told: Told) -> None:
    with pytest.raises(RuntimeError):
        world.store.watch(Told())
    await world.put(A, StoredRecord(1, b"1"))
    await until(lambda: told.of == [A])


async def test_a_store_nobody_watches_vouches_for_nothing(world: World) -> None:
    await world.put(A, StoredRecord(1, b"1"))
    assert not world.store.is_watched()
