"""The workers of one configuration, and their successors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.adapters.redis_client import StoreSettings
from gateway.settings import Settings
from gateway.workers.decisions import pause_before_restart
from gateway.workers.worker import Worker, manner

_log = logging.getLogger("gateway.workers")

Hire = Callable[["Generation", int], Awaitable[Worker]]
"""Starts a worker of the generation, on one of its seats. Raises `OSError`."""


class Generation:
    """The workers of one configuration. Each seat has one, replaced when it ends by itself."""

    def __init__(
        self,
        number: int,
        settings: Settings,
        store: StoreSettings,
        hire: Hire,
        replaced: Callable[[], None],
        *,
        seats: int,
    ) -> None:
        """`replaced` is called for every worker that takes the place of one that ended."""
        self.number = number
        self.settings = settings
        self.store = store
        self.seats = seats
        self.workers: set[Worker] = set()
        self._hire = hire
        self._count = replaced
        self._over = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    async def begin(self) -> list[str]:
        """Start a worker for each seat; return why those that are not ready are not."""
        self._keepers = []
        first = [await self._start(seat) for seat in range(self.seats)]
        outcomes = await asyncio.gather(*(asyncio.shield(worker.started) for worker in first))
        self._keepers = [
            asyncio.create_task(self._keep(seat, worker)) for seat, worker in enumerate(first)
        ]
        return [why for why in outcomes if why]

    def serving(self) -> list[Worker]:
        """Return the workers that accept connections."""
        return [worker for worker in self.workers if worker.is_serving]

    def running(self) -> list[Worker]:
        """Return the workers that serve, or finish what they have begun."""
        return [worker for worker in self.workers if worker.is_running]

    def retire(self, leisure: float) -> None:
        """Have every worker leave in so many seconds and a grace; none is replaced any more."""
        self._over.set()
        for worker in self.workers:
            worker.retire(leisure)

    def drain(self) -> None:
        """Have every worker finish; none is replaced any more."""
        self._over.set()
        for worker in self.workers:
            worker.drain()

    def kill(self) -> None:
        """End every worker at once."""
        self._over.set()
        for worker in self.workers:
            worker.is_unwanted = True
            worker.kill()

    def kill_serving(self) -> None:
        """End every worker at once that has not done with its clients."""
        for worker in self.workers:
            if not worker.is_closing:
                worker.is_unwanted = True
                worker.kill()

    async def gone(self) -> None:
        """Return when no worker is left, after `drain` or `kill`."""
        if self._keepers:
            await asyncio.wait(self._keepers)
        for worker in list(self.workers):
            await asyncio.shield(worker.ended)

    async def _start(self, seat: int) -> Worker:
        worker = await self._hire(self, seat)
        self.workers.add(worker)
        worker.ended.add_done_callback(lambda _: self.workers.discard(worker))
        if self._over.is_set():
            worker.drain()
        return worker

    async def _keep(self, seat: int, worker: Worker | None) -> None:
        early = 0
        while True:
            if worker is not None:
                code = await asyncio.shield(worker.ended)
                if self._over.is_set():
                    if code and worker.has_started and not worker.is_unwanted:
                        _log.error("%s %s before it had finished", worker, manner(code))
                    return
                early = 0 if worker.has_been_steady() else early + 1
                _log.error("%s %s; replacing it", worker, manner(code))
            else:
                early += 1
            if await self._is_over_within(pause_before_restart(early)):
                return
            worker = await self._replaced(seat)

    async def _replaced(self, seat: int) -> Worker | None:
        self._count()
        try:
            worker = await self._start(seat)
        except OSError as failure:
            _log.error("cannot start a worker: %s", failure.strerror)
            return None
        why = await asyncio.shield(worker.started)
        if why:
            _log.error("%s did not start: %s", worker, why)
        return worker

    async def _is_over_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()
