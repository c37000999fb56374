"""Operations that must not be cancelled half-way, on a limited number of connections.

A browser that hangs up cancels whatever was done for it. On a shared connection that would leave a
reply behind, for the next user to read (F18, CVE-2023-28858). So every operation gets a task of
its own, which nobody cancels; whoever asked only waits for it, and not for ever.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NotAnswered(Exception):
    """The operation did not start, or has not ended yet; `reason` says which, for a log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Shielded:
    """At most `slots` operations at a time. Times in seconds.

    `slot_timeout` is how long an operation may wait to begin, `budget` how long its caller waits
    for all of it. An operation must end by itself; it is not ended here.
    """

    def __init__(self, *, slots: int, slot_timeout: float, budget: float) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._slot_timeout = slot_timeout
        self._budget = budget
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the operation's result, or raise what it raises, or `NotAnswered`."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._budget
        await self._take_slot()
        if self._closed:
            self._slots.release()
            raise NotAnswered("closed")
        task = asyncio.create_task(operation())
        self._running.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._finished)
        await asyncio.wait((task,), timeout=deadline - clock())
        if not task.done():
            raise NotAnswered("no answer in time")
        try:
            return task.result()
        finally:
            del task  # or its exception, whose traceback leads here, would keep itself alive

    async def aclose(self) -> None:
        """Begin nothing more, and return when everything under way has ended. Idempotent."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)

    async def _take_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()  # at once
            return
        try:
            async with asyncio.timeout(self._slot_timeout):
                await self._slots.acquire()
        except TimeoutError as fault:
            raise NotAnswered("every connection is in use") from fault

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # looked at, even when the caller has left
