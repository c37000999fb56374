"""How many requests begin in one turn of the event loop.

Thousands may become ready in the same moment, on purpose or not. If all of them ran in one turn,
nothing else would until the last is done: no timer, no other client, no sign of life to the
supervisor. So a turn takes some, and the rest waits in line.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.server.exchange import Exchange

MOST = 64
"""Requests that begin in one turn."""

_Begin = Callable[[Exchange], None]


class Turns:
    """The line of one listener.

    A turn is known by its time: uvloop's clock stands still from when a turn has learnt what is
    ready until it looks again. (asyncio's own loop has another clock, and there nobody waits.)
    """

    __slots__ = ("_begun", "_moment", "_waiting")

    def __init__(self) -> None:
        self._moment = 0.0
        self._begun = 0
        self._waiting: deque[tuple[_Begin, Exchange]] = deque()

    def begin(self, begin: _Begin, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        """Call `begin` with the exchange: now, or in a later turn."""
        now = loop.time()
        if now != self._moment:
            self._moment, self._begun = now, 0
        self._begun += 1
        if self._begun <= MOST and not self._waiting:
            begin(exchange)
            return
        if not self._waiting:
            loop.call_soon(self._next, loop)
        self._waiting.append((begin, exchange))

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(MOST, len(self._waiting))):
            begin, exchange = self._waiting.popleft()
            begin(exchange)
        if self._waiting:
            loop.call_soon(self._next, loop)
