"""Active health checks: each server is asked how it is, on a connection of its own."""

import asyncio
import contextlib
from collections.abc import Sequence
from math import inf

from gateway.adapters.http1_upstream.answer_heads import AnswerHeads
from gateway.adapters.http1_upstream.connection import Connection
from gateway.adapters.http1_upstream.dialling import Address, dial
from gateway.adapters.http1_upstream.exchange import Exchange
from gateway.adapters.http1_upstream.health import Health
from gateway.edge.request_framing import head_of_check
from gateway.edge.upstream_group import HealthCheck, Timeouts
from gateway.errors import Unavailable

_WELL = range(200, 400)


class Checks:
    """Asks the servers of a group in turns, from the first request to the group on."""

    def __init__(
        self, check: HealthCheck, origin: str, servers: Sequence[tuple[Address, Health]]
    ) -> None:
        """`origin` is whose authority all of them are sent as Host."""
        self._check = check
        self._times = Timeouts(check.timeout, check.timeout, check.timeout)
        self._octets = head_of_check(origin.partition("://")[2], check.target)
        self._servers = servers
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin asking, if that has not begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._ask_for_ever())

    async def aclose(self) -> None:
        """End asking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _ask_for_ever(self) -> None:
        while True:
            await asyncio.gather(*[self._ask(*server) for server in self._servers])
            await asyncio.sleep(self._check.interval)

    async def _ask(self, address: Address, health: Health) -> None:
        try:
            async with asyncio.timeout(self._check.timeout):
                health.is_ill = not await self._is_well(address)
        except (Unavailable, TimeoutError):
            health.is_ill = True

    async def _is_well(self, address: Address) -> bool:
        connection = await dial(address, self._check.timeout, _Nowhere())
        exchange = Exchange(connection, self._times, inf)
        try:
            await exchange.perform(self._octets, None)
            return exchange.status in _WELL
        finally:
            connection.abort()


class _Nowhere:
    """The home of a connection that serves once."""

    def __init__(self) -> None:
        self.heads = AnswerHeads()

    def free(self, connection: Connection) -> None:
        """It has served."""

    def gone(self, connection: Connection) -> None:
        """Nobody counts it."""

    def did(self, *, well: bool) -> None:
        """The status says more."""
