"""Callers leave exactly while the store answers, whatever they asked for (F18).

CVE-2023-28858: a cancelled command left its reply for the next user of the connection. So every
answer here names whom it was for, as far as an answer of its kind can.
"""

import asyncio
import dataclasses
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_store import RedisStore
from gateway.ports import Doubt, Held, IndexName, LookupId, Mine, StoredRecord
from gateway.secret import StoreUrl
from tests.support.redis_servers import RealServer, free_port, redis_server_binary, running
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.e2e

LONG = 60.0
ROUNDS, AT_ONCE = 25, 200
SESSIONS = 40
SPARE = 1000  # sessions that may be changed or ended, each once

SETTINGS = StoreSettings(
    StoreUrl("redis://127.0.0.1/0"),
    connect_timeout=5,
    command_timeout=5,
    slot_timeout=5,
    budget=15,
    max_connections=600,  # who waits for one and leaves has begun nothing; here everybody begins
)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("redis")
    with running(RealServer(redis_server_binary(), folder, port=free_port())) as started:
        yield started


@pytest.fixture
async def proxy(server: RealServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(("127.0.0.1", server.port)) as started:
        yield started


class Visited:
    """Sessions, marks and locks of which each has an answer of its own, and what may be asked."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.lock = RedisLock(store.client)
        self.fresh = 0
        self.spare = [LookupId(f"spare {number}") for number in range(SPARE)]
        self.replaced: list[LookupId] = []
        self.ended: list[LookupId] = []
        self.asked: dict[str, Callable[[int], Awaitable[bool]]] = {
            "read": self.read,
            "read_many": self.read_many,
            "members": self.members,
            "marks": self.marks,
            "mark": self.mark,
            "claim": self.claim,
            "create": self.create,
            "replace": self.replace,
            "end": self.end,
            "begin": self.begin,
            "begin, another's": self.begin_held,
            "renew": self.renew,
            "finish": self.finish,
        }

    async def prepare(self) -> None:
        for number in range(SESSIONS):
            assert await self._create(_session(number))
            await self.store.mark([_index(number)], float(number), ttl=LONG)
            assert isinstance(await self._begin(number, f"owner {number}"), Mine)
        await asyncio.gather(*(self._create(lookup) for lookup in self.spare))

    async def read(self, number: int) -> bool:
        return await self.store.read(_session(number)) == _record(_session(number))

    async def read_many(self, number: int) -> bool:
        pair = [_session(number), _session(0)]
        return await self.store.read_many(pair) == [_record(lookup) for lookup in pair]

    async def members(self, number: int) -> bool:
        return await self.store.members(_index(number)) == [_session(number)]

    async def marks(self, number: int) -> bool:
        return await self.store.marks([_index(number)]) == [float(number)]

    async def mark(self, number: int) -> bool:
        await self.store.mark([_index(number)], float(number), ttl=LONG)
        return True

    async def claim(self, _: int) -> bool:
        return await self.store.claim(self._new("claim"), ttl=LONG)

    async def create(self, _: int) -> bool:
        return await self._create(LookupId(self._new("created")))

    async def replace(self, _: int) -> bool:
        self.replaced.append(lookup := self.spare.pop())
        return await self.store.replace(lookup, _newer(lookup), expected=1, ttl=LONG)

    async def end(self, _: int) -> bool:
        self.ended.append(lookup := self.spare.pop())
        return await self.store.end(lookup, [IndexName(lookup)])

    async def begin(self, _: int) -> bool:
        lookup = LookupId(self._new("locked"))
        return await self.lock.begin(lookup, "me", lease=LONG, keep=LONG) == Mine(Doubt.NONE)

    async def begin_held(self, number: int) -> bool:
        turn = await self._begin(number, "another")
        return isinstance(turn, Held) and (turn.seconds > _lease(1)) == (number % 2 == 0)

    async def renew(self, number: int) -> bool:
        owner, lease = f"owner {number}", _lease(number)
        return await self.lock.renew(_session(number), owner, lease=lease, keep=LONG)

    async def finish(self, number: int) -> bool:
        await self.lock.finish(_session(number), "another", doubt=Doubt.NONE, pause=0.0)
        return True

    def _new(self, kind: str) -> str:
        self.fresh += 1
        return f"{kind} {self.fresh}"

    async def _create(self, lookup: LookupId) -> bool:
        index = IndexName(lookup)
        return await self.store.create(
            lookup, _record(lookup), ttl=LONG, indexes=[index], index_ttl=LONG
        )

    async def _begin(self, number: int, owner: str) -> object:
        lease = _lease(number)
        return await self.lock.begin(_session(number), owner, lease=lease, keep=LONG)


def _session(number: int) -> LookupId:
    return LookupId(f"session {number}")


def _index(number: int) -> IndexName:
    return IndexName(_session(number))


def _record(lookup: LookupId) -> StoredRecord:
    return StoredRecord(1, lookup.encode() * 50)


def _newer(lookup: LookupId) -> StoredRecord:
    return StoredRecord(2, lookup.encode() * 60)


def _lease(number: int) -> float:
    """One of two, so far apart that what is left of it says which it was."""
    return 25.0 if number % 2 else 60.0


async def test_f18_nobody_ever_gets_anothers_answer_when_callers_leave(proxy: TcpProxy) -> None:
    dice = random.Random(18)  # noqa: S311 - repeatable, not secret
    url = StoreUrl(f"redis://127.0.0.1:{proxy.port}/0")
    store = RedisStore(dataclasses.replace(SETTINGS, url=url))
    visited = Visited(store)
    await visited.prepare()
    left, stayed = Counter[str](), Counter[str]()

    async def visit(kind: str) -> None:
        try:
            async with asyncio.timeout(dice.uniform(0.001, 0.2)):
                assert await visited.asked[kind](dice.randrange(SESSIONS)), kind
                stayed[kind] += 1
        except TimeoutError:
            left[kind] += 1

    proxy.latency = 0.07
    for _ in range(ROUNDS):  # 5,000 visits; many end before the answer comes, some with it
        await asyncio.gather(*(visit(kind) for kind in dice.choices([*visited.asked], k=AT_ONCE)))
    proxy.heal()
    assert min(left[kind] for kind in visited.asked) > 5
    assert left.total() > 500
    assert stayed.total() > 500
    for number in range(SESSIONS):
        for kind, ask in visited.asked.items():
            assert await ask(number), kind
    await store.aclose()  # what was left behind has reached its end, and so have its writes
    after = RedisStore(dataclasses.replace(SETTINGS, url=url))
    for lookups, record in ((visited.replaced, _newer), (visited.spare, _record)):
        assert await after.read_many(lookups) == [record(lookup) for lookup in lookups]
    assert not any(await after.read_many(visited.ended))
    await after.aclose()
