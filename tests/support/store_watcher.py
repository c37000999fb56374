"""Who is told of changes in a store, and waiting for what another process brings about."""

import asyncio
from collections.abc import Callable

from gateway.ports import LookupId


class Told:
    """What a watcher was told, in order; None stands for everything."""

    def __init__(self) -> None:
        self.of: list[LookupId | None] = []
        self.of_locks: list[LookupId] = []

    def changed(self, lookup: LookupId) -> None:
        self.of.append(lookup)

    def grant_changed(self, lookup: LookupId) -> None:
        self.of_locks.append(lookup)

    def everything(self) -> None:
        self.of.append(None)


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Wait; the limit is a guard for a busy machine, not a promise."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - known to another process
            await asyncio.sleep(0.002)
