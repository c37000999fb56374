"""The `RevocationQueue` port in memory, with a clock one can turn and faults one can switch on.

It passes the same contract suite as the queue on Redis. One object stands for the server: every
replica of a world is given the same.
"""

import asyncio
from collections.abc import Callable

from gateway.errors import Code, Unavailable
from gateway.ports import Clock


class MemoryRevocations:
    """Entries in a dictionary, with the time each is due.

    While `down` is set, or `is_down()` says so, every call raises `Unavailable(STORE_UNAVAILABLE)`.
    Where a `gate` is set, operations take effect at once, but are answered only when it opens.
    """

    def __init__(
        self, clock: Clock, *, most_entries: int = 10_000, is_down: Callable[[], bool] | None = None
    ) -> None:
        self._clock = clock
        self._is_down = is_down or (lambda: False)
        self.most_entries = most_entries
        self.due: dict[bytes, float] = {}
        self.down = False
        self.gate: asyncio.Event | None = None

    async def put(self, entry: bytes, *, due_in: float) -> bool:
        self._check()
        fits = entry in self.due or len(self.due) < self.most_entries
        if fits:
            self.due[entry] = self._clock.now() + due_in
        await self._answered()
        return fits

    async def take(self, most: int, *, lease: float) -> list[bytes]:
        self._check()
        now = self._clock.now()
        found = sorted((at, entry) for entry, at in self.due.items() if at <= now)[:most]
        taken = [entry for _, entry in found]
        for entry in taken:
            self.due[entry] = now + lease
        await self._answered()
        return taken

    async def postpone(self, entry: bytes, *, due_in: float) -> bool:
        self._check()
        is_there = entry in self.due
        if is_there:
            self.due[entry] = self._clock.now() + due_in
        await self._answered()
        return is_there

    async def remove(self, entry: bytes) -> bool:
        self._check()
        was_there = self.due.pop(entry, None) is not None
        await self._answered()
        return was_there

    async def length(self) -> int:
        self._check()
        return len(self.due)

    async def _answered(self) -> None:
        if self.gate is not None:
            await self.gate.wait()

    def _check(self) -> None:
        if self.down or self._is_down():
            raise Unavailable(Code.STORE_UNAVAILABLE, note="store: switched off by the test")
