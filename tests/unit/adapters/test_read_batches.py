"""Reads that travel together, without a store: one function answers, when the test says so."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from gateway.adapters.read_batches import MOST, ReadBatches
from gateway.errors import Code, Unavailable
from gateway.ports import LookupId, StoredRecord


def record_of(lookup: LookupId) -> StoredRecord:
    return StoredRecord(1, lookup.encode())


class Answering:
    """A store that answers when `may_answer` is set; `asked` holds what each command asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[LookupId, ...]] = []
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.failure: BaseException | None = None

    async def __call__(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        self.asked.append(tuple(lookups))
        self.was_asked.set()
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return [record_of(lookup) for lookup in lookups]


def named(*numbers: int) -> list[LookupId]:
    return [LookupId(f"lookup-{number}") for number in numbers]


async def test_reads_of_one_turn_are_one_command_and_each_gets_its_own() -> None:
    store = Answering()
    reads = ReadBatches(store)
    lookups = named(*range(100))
    found = await asyncio.gather(*(reads.read(lookup) for lookup in lookups))
    assert found == [record_of(lookup) for lookup in lookups]
    assert store.asked == [tuple(lookups)]


async def test_a_lookup_id_asked_for_twice_is_one_key() -> None:
    store = Answering()
    reads = ReadBatches(store)
    (one, two) = named(1, 2)
    found = await asyncio.gather(*(reads.read(lookup) for lookup in (one, two, one, one)))
    assert found == [record_of(lookup) for lookup in (one, two, one, one)]
    assert store.asked == [(one, two)]


async def test_a_command_asks_for_a_bounded_number_of_keys() -> None:
    store = Answering()
    reads = ReadBatches(store)
    lookups = named(*range(2 * MOST + 1))
    found = await asyncio.gather(*(reads.read(lookup) for lookup in lookups))
    assert found == [record_of(lookup) for lookup in lookups]
    assert [len(asked) for asked in store.asked] == [MOST, MOST, 1]


async def test_a_read_that_comes_later_is_asked_anew() -> None:
    """What a command found may be older than a read that begins after it was sent."""
    store = Answering()
    reads = ReadBatches(store)
    (one,) = named(1)
    store.may_answer.clear()
    first = asyncio.create_task(reads.read(one))
    await store.was_asked.wait()
    second = asyncio.create_task(reads.read(one))
    store.may_answer.set()
    await asyncio.gather(first, second)
    assert store.asked == [(one,), (one,)]


async def test_a_failure_is_everybodys_and_each_has_their_own() -> None:
    """F1: one exception raised in many tasks would gather the tracebacks of them all."""
    store = Answering()
    cause = OSError()
    store.failure = Unavailable(Code.STORE_UNAVAILABLE, note="store: TimeoutError", retry_after=7)
    store.failure.__cause__ = cause
    reads = ReadBatches(store)
    raised = await asyncio.gather(
        *(reads.read(lookup) for lookup in named(1, 2, 2, 3)), return_exceptions=True
    )
    assert len({id(failure) for failure in raised}) == 4
    for failure in raised:
        assert isinstance(failure, Unavailable)
        assert (failure.code, failure.note) == (Code.STORE_UNAVAILABLE, "store: TimeoutError")
        assert failure.retry_after == 7
        assert failure.__cause__ is cause
    store.failure = None
    assert await reads.read(named(1)[0]) == record_of(named(1)[0])


@pytest.mark.parametrize("bug", [ZeroDivisionError(), asyncio.CancelledError()])
async def test_nobody_waits_for_ever_for_a_command_that_broke(bug: BaseException) -> None:
    store = Answering()
    store.failure = bug
    reads = ReadBatches(store)
    unraised: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, about: unraised.append(about))
    with pytest.raises(Unavailable):
        async with asyncio.timeout(5):
            await reads.read(named(1)[0])


async def test_a_shutdown_that_cancels_everything_leaves_the_next_read_to_work() -> None:
    """What tidies up while the loop ends may still have to read."""
    reads = ReadBatches(Answering())
    caller = asyncio.create_task(reads.read(named(1)[0]))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.wait((caller,))
    async with asyncio.timeout(5):
        assert await reads.read(named(2)[0]) == record_of(named(2)[0])


async def test_f18_whoever_leaves_disturbs_nobody_and_nobody_gets_anothers() -> None:
    """CVE-2023-28858, for replies that are shared out: callers leave at random."""
    dice = random.Random(18)  # noqa: S311 - repeatable, not secret
    store = Answering()
    reads = ReadBatches(store)
    stayed = left = 0
    for _ in range(200):
        store.may_answer.clear()
        lookups = named(*(dice.randrange(8) for _ in range(dice.randrange(1, 12))))
        callers = [asyncio.create_task(reads.read(lookup)) for lookup in lookups]
        leaving = [caller for caller in callers if dice.random() < 0.4]
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        store.may_answer.set()
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        for caller in leaving:
            caller.cancel()
        await asyncio.wait(callers)
        for lookup, caller in zip(lookups, callers, strict=True):
            if caller.cancelled():
                left += 1
            else:
                stayed += 1
                assert caller.result() == record_of(lookup)
    assert left > 100
    assert stayed > 500
    await reads.aclose()


async def test_a_failure_nobody_waits_for_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    store = Answering()
    store.failure = Unavailable(Code.STORE_UNAVAILABLE)
    reads = ReadBatches(store)
    for turns in range(6):
        caller = asyncio.create_task(reads.read(named(1)[0]))
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait((caller,))
    await reads.aclose()
    assert caplog.records == []


async def test_closing_waits_until_everybody_has_their_result() -> None:
    store = Answering()
    reads = ReadBatches(store)
    store.may_answer.clear()
    caller = asyncio.create_task(reads.read(named(1)[0]))
    await store.was_asked.wait()
    closing = asyncio.create_task(reads.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    store.may_answer.set()
    await closing
    assert await caller == record_of(named(1)[0])
