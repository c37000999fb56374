"""Workers that live and do nothing: an event loop that is blocked for good.

Such a worker keeps its connections, and nothing ends it. It is found by asking for a sign of life,
with much patience, and by doubting ourselves first: a machine that was suspended, or gives us no
time either, says nothing about a worker; nor does one that a debugger has stopped. They are ended
one at a time, and after each of them everybody's patience begins anew.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from gateway.workers.crew import Generation
from gateway.workers.decisions import is_traced
from gateway.workers.worker import Worker

_log = logging.getLogger("gateway.workers")

_LOOK_EVERY = 1.0  # seconds
_HELD_UP = 0.5  # seconds; if our own look comes so late, it proves nothing
_DIES_WITHIN = 5.0  # seconds; a process that waits for a broken disk cannot even be killed


class Watch:
    """Looks after the workers of every generation that serves, or still has something open."""

    def __init__(
        self, living: Callable[[], Iterable[Generation]], ended: Callable[[], None]
    ) -> None:
        """`ended` is called for every worker that was ended because it hung."""
        self._living = living
        self._ended = ended

    async def run(self) -> None:
        """Look every second, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _LOOK_EVERY
            await asyncio.sleep(_LOOK_EVERY)
            await self.look(clock() - due)

    async def look(self, late: float) -> None:
        """End the worker that has been silent longest, if any has been too long.

        `late` says by how many seconds we have been held up ourselves.
        """
        patience = {
            worker: generation.settings.listen.worker_silence
            for generation in self._living()
            for worker in generation.running()
        }
        workers = list(patience)
        hanging = max(workers, key=lambda one: one.silence() - patience[one], default=None)
        if late > _HELD_UP:
            _forgive(workers)
        elif (
            hanging is not None and hanging.silence() >= patience[hanging] and not _is_held(hanging)
        ):
            _log.error("%s has not answered for %.1f s; ending it", hanging, hanging.silence())
            self._ended()
            await hanging.put_down()
            with suppress(TimeoutError):
                async with asyncio.timeout(_DIES_WITHIN):
                    await asyncio.shield(hanging.ended)
            _forgive(workers)
        for worker in workers:
            worker.pulse()


def _forgive(workers: list[Worker]) -> None:
    for worker in workers:
        worker.forgive()


def _is_held(worker: Worker) -> bool:
    with suppress(OSError):
        return is_traced(Path(f"/proc/{worker.pid}/status").read_text("utf-8", "replace"))
    return False  # not Linux: nobody says
