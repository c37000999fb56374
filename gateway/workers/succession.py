"""The generation in force, and those that are not yet, or no longer, in force.

After a reload the old generation leaves at leisure: its channels and requests go on for a while, so
that nobody notices the reload. When the next one leaves, the one before it has only as long as a
shutdown's grace, and when a third wants to, the first has to finish. Whatever is left when its time
is up is ended by force. A worker that serves nobody any more has longer: what it finishes may be a
grant, and the session would be lost with the tokens.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.adapters.redis_client import StoreSettings
from gateway.session.timing import Timing
from gateway.settings import Settings
from gateway.workers.crew import Generation, Hire

_log = logging.getLogger("gateway.workers")

MOST_LEAVING = 2
"""Old generations at a time. A reload waits until there are fewer, or they would pile up."""

_MARGIN = 5.0  # seconds beyond the grace, until a worker that does not end is ended


@dataclass(frozen=True, slots=True)
class _Force:
    """When those are ended that still serve, and when whoever is left."""

    serving: asyncio.TimerHandle
    everybody: asyncio.TimerHandle

    def cancel(self) -> None:
        self.serving.cancel()
        self.everybody.cancel()


class Succession:
    """Every generation that has a process."""

    def __init__(self, hire: Hire, replaced: Callable[[], None]) -> None:
        """`replaced` is called for every worker that takes the place of one that ended."""
        self.current: Generation | None = None
        self.living: set[Generation] = set()
        self._hire = hire
        self._count = replaced
        self._leaving: dict[Generation, asyncio.Task[None]] = {}  # the oldest first
        self._force: dict[Generation, _Force] = {}

    def prepare(self, settings: Settings, store: StoreSettings, *, seats: int) -> Generation:
        """Return a generation that may come next; it has no worker yet."""
        number = self.current.number + 1 if self.current else 1
        generation = Generation(number, settings, store, self._hire, self._count, seats=seats)
        self.living.add(generation)
        return generation

    def retire(self, generation: Generation, leisure: float) -> None:
        """Have it leave within so many seconds and a grace, and those before it sooner."""
        for older in list(self._leaving):
            self._retire(older, min(leisure, older.settings.limits.shutdown_grace))
        self._retire(generation, leisure)

    def drain(self, generation: Generation) -> None:
        """Have it finish what it has begun, and end."""
        generation.drain()
        self._expect(generation, 0.0)

    def dismiss(self, generation: Generation) -> None:
        """End one that has never been in force."""
        generation.kill()
        self._expect(generation, 0.0)

    async def room(self) -> None:
        """Wait until another generation may be retired."""
        while len(self._leaving) >= MOST_LEAVING:
            oldest = next(iter(self._leaving))
            _log.warning("the reload waits until generation %d has finished", oldest.number)
            self.drain(oldest)
            await asyncio.wait({self._leaving[oldest]})

    async def wind_down(self, insisting: asyncio.Event) -> None:
        """Have everybody finish; return when nobody is left, or somebody insists."""
        for generation in list(self.living):
            self.drain(generation)
        insisted = asyncio.create_task(insisting.wait())
        while self._leaving and not insisted.done():
            leaving = self._leaving.values()
            await asyncio.wait({insisted, *leaving}, return_when=asyncio.FIRST_COMPLETED)
        insisted.cancel()

    async def end(self) -> None:
        """End everybody by force, and return when nobody is left."""
        for generation in list(self.living):
            generation.kill()
            await generation.gone()

    def _retire(self, generation: Generation, leisure: float) -> None:
        generation.retire(leisure)
        self._expect(generation, leisure)

    def _expect(self, generation: Generation, leisure: float) -> None:
        """Wait for its end, and bring it about if it does not come in time."""
        loop = asyncio.get_running_loop()
        settings = generation.settings
        serving = loop.time() + leisure + settings.limits.shutdown_grace + _MARGIN
        everybody = serving + finishing_takes(settings)
        before = self._force.pop(generation, None)
        if before is not None:
            before.cancel()
            serving = min(serving, before.serving.when())
            everybody = min(everybody, before.everybody.when())
        self._force[generation] = _Force(
            loop.call_at(serving, generation.kill_serving),
            loop.call_at(everybody, generation.kill),
        )
        if generation not in self._leaving:
            self._leaving[generation] = asyncio.create_task(self._until_gone(generation))

    async def _until_gone(self, generation: Generation) -> None:
        await generation.gone()
        self._force.pop(generation).cancel()
        self._leaving.pop(generation)
        self.living.discard(generation)


def finishing_takes(settings: Settings) -> float:
    """Return the most seconds that what was begun in the background takes: one grant, to its end.

    A refresh token that rotates is spent when its provider has the question: the answer is waited
    for, its ID token checked with keys that may have to be fetched, and then the store is asked to
    take the new tokens (H9).
    """
    provider = settings.back_channel
    answer = max(provider.total_timeout, provider.refresh_timeout)
    return answer + provider.total_timeout + Timing().last_tries + _MARGIN
