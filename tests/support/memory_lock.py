"""The `GrantLock` port in memory: the same steps as on Redis, on the memory store's data."""

from dataclasses import replace

from gateway.ports import Doubt, Held, LookupId, Mine, NotYet, Turn
from tests.support.memory_store import Lock, MemoryStore


class MemoryLock:
    """One process's client of the locks that lie beside a `MemoryStore`'s sessions."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def begin(self, lookup: LookupId, owner: str, *, lease: float, keep: float) -> Turn:
        now, lock = self._look(lookup)
        if lock.owner not in (None, owner) and lock.until > now:
            return Held(lock.until - now)
        if lock.owner is None and lock.after > now:
            return NotYet(lock.after - now)
        doubt = lock.doubt
        taken_over = lock.owner not in (None, owner)
        if taken_over and doubt is Doubt.NONE:
            doubt = Doubt.LOST
        former = (lock.former or lock.owner) if taken_over else None
        self._put(lookup, Lock(owner, now + lease, doubt, 0.0, now + max(keep, lease), former))
        return Mine(doubt, taken_over)

    async def renew(self, lookup: LookupId, owner: str, *, lease: float, keep: float) -> bool:
        now, lock = self._look(lookup)
        if lock.owner not in (None, owner) and lock.former != owner:
            return False
        self._put(lookup, Lock(owner, now + lease, lock.doubt, 0.0, now + max(keep, lease)))
        return True

    async def finish(self, lookup: LookupId, owner: str, *, doubt: Doubt, pause: float) -> None:
        now, lock = self._look(lookup)
        if lock.owner != owner:
            return
        free = Lock(None, 0.0, doubt, now + pause, lock.kept_until)
        self._put(lookup, free if doubt or pause > 0 else None)

    async def abandon(self, lookup: LookupId, owner: str) -> None:
        _, lock = self._look(lookup)
        if lock.owner == owner:
            self._put(lookup, replace(lock, until=0.0))

    async def pause(self, lookup: LookupId) -> float:
        now, lock = self._look(lookup)
        return max(0.0, lock.after - now) if lock.owner is None else 0.0

    def _look(self, lookup: LookupId) -> tuple[float, Lock]:
        now, lock = self._store.lock_of(lookup)
        if lock.until - now > 60:  # the clock has been set back
            lock = replace(lock, until=0.0)
        if lock.after - now > 120:
            lock = replace(lock, after=0.0)
        return now, lock

    def _put(self, lookup: LookupId, lock: Lock | None) -> None:
        self._store.put_lock(lookup, lock)
