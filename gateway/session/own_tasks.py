"""Work that goes on when whoever asked for it has left.

A provider waits a moment for the answer to its logout token, and an operator may interrupt a
request: the connection is lost, and the task that serves it is cancelled. What it had begun to
end must not stop half-way, for nobody would say it again.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Done = TypeVar("Done")

_LASTS = 2.0  # seconds what is under way has when the gateway stops


class OwnTasks:
    """Has work done on tasks of its own."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Done]) -> Done:
        """Return or raise what the work does. It goes on when this call is cancelled."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        try:
            return await asyncio.shield(task)
        finally:
            del task  # or its exception, whose traceback leads here, would keep itself alive (F17)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, even when nobody waits for it any more

    async def aclose(self) -> None:
        """Wait a little for what is under way."""
        if self._running:
            await asyncio.wait(self._running, timeout=_LASTS)
