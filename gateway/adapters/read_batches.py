"""Reads of one turn of the event loop, sent as one.

Each command costs the store, and redis-py, far more than each key in it. A request that is alone
waits for nobody; the more requests a turn serves, the less each of their reads costs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from gateway.errors import Code, Unavailable
from gateway.ports import LookupId, StoredRecord

MOST = 256
"""Keys in one command: it holds up the server, and with it everybody, for less than 1 ms."""

_Waiter = asyncio.Future[StoredRecord | None]
_Fetch = Callable[[Sequence[LookupId]], Awaitable[list[StoredRecord | None]]]


class ReadBatches:
    """Collects single reads, and hands each its own result of the common one.

    `fetch` returns one record per lookup id, in order, or raises `Unavailable`, and must end by
    itself: nothing here waits for a clock.
    """

    def __init__(self, fetch: _Fetch) -> None:
        self._fetch = fetch
        self._collected: dict[LookupId, list[_Waiter]] = {}
        self._next: asyncio.Task[None] | None = None  # begins in the next turn, and takes them all
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, lookup: LookupId) -> StoredRecord | None:
        """Return the record, read no earlier than now. Raises `Unavailable`.

        Whoever is cancelled here leaves alone: the others' results come as they would have.
        """
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        if self._next is None or self._next.done():  # done: cancelled before it began
            self._next = self._start(self._send())
        self._collected.setdefault(lookup, []).append(waiter)
        return await waiter

    async def aclose(self) -> None:
        """Return when every result has been handed out."""
        while self._running:
            await asyncio.wait(self._running)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._running.discard)
        return task

    async def _send(self) -> None:
        collected, self._collected, self._next = self._collected, {}, None
        if len(collected) <= MOST:
            await self._serve(collected)
            return
        each = list(collected.items())
        for first in range(0, len(each), MOST):
            self._start(self._serve(dict(each[first : first + MOST])))

    async def _serve(self, batch: dict[LookupId, list[_Waiter]]) -> None:
        try:
            records = await self._fetch(tuple(batch))
        except Unavailable as failure:
            _fail(batch, failure)
        except BaseException as bug:  # or the loop is being shut down; nobody is left waiting
            _fail(batch, Unavailable(Code.STORE_UNAVAILABLE, note=f"store: {type(bug).__name__}"))
            raise
        else:
            for record, waiters in zip(records, batch.values(), strict=True):
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(record)


def _fail(batch: dict[LookupId, list[_Waiter]], failure: Unavailable) -> None:
    for waiter in (waiter for waiters in batch.values() for waiter in waiters):
        if waiter.done():
            continue
        # To each their own: an exception gathers the traceback of everybody who raises it.
        mine = Unavailable(failure.code, note=failure.note, retry_after=failure.retry_after)
        mine.__cause__ = failure.__cause__
        waiter.set_exception(mine)
        waiter.exception()  # looked at, even when its owner is just being cancelled
