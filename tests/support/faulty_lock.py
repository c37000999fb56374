"""The lock on grants behind the same way as the store, on which everything can go wrong."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.adapters.redis_lock import RedisLock
from gateway.ports import Doubt, LookupId, Mine, Turn
from tests.support.faulty_store import Way

Result = TypeVar("Result")


class FaultyLock:
    """The `GrantLock` port. `holders` are the owners whose turn is not over in this process."""

    def __init__(self, way: Way, own: RedisLock, shared: RedisLock) -> None:
        self._way = way
        self._own = own
        self._shared = shared
        self.holders: set[str] = set()

    async def begin(self, lookup: LookupId, owner: str, *, lease: float, keep: float) -> Turn:
        self.holders.add(owner)
        turn = await self._carry(
            "begin", lambda lock: lock.begin(lookup, owner, lease=lease, keep=keep)
        )
        if isinstance(turn, Mine):
            self._way.granting.add(lookup)
        return turn

    async def renew(self, lookup: LookupId, owner: str, *, lease: float, keep: float) -> bool:
        return await self._carry(
            "renew", lambda lock: lock.renew(lookup, owner, lease=lease, keep=keep)
        )

    async def finish(self, lookup: LookupId, owner: str, *, doubt: Doubt, pause: float) -> None:
        self.holders.discard(owner)
        self._way.granting.discard(lookup)
        await self._carry(
            "finish", lambda lock: lock.finish(lookup, owner, doubt=doubt, pause=pause)
        )

    async def abandon(self, lookup: LookupId, owner: str) -> None:
        self.holders.discard(owner)
        self._way.granting.discard(lookup)
        await self._carry("abandon", lambda lock: lock.abandon(lookup, owner))

    async def pause(self, lookup: LookupId) -> float:
        return await self._carry("pause", lambda lock: lock.pause(lookup))

    async def _carry(
        self, name: str, operation: Callable[[RedisLock], Awaitable[Result]]
    ) -> Result:
        return await self._way.carry(name, operation, self._own, self._shared)
