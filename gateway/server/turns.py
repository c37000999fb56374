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
    """The line of one listener. A turn ends where what was called for `soon` in it is called."""

    __slots__ = ("_left", "_waiting")

    def __init__(self) -> None:
        self._left = MOST
        self._waiting: deque[tuple[_Begin, Exchange]] = deque()

    def begin(self, begin: _Begin, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        """Call `begin` with the exchange: now, or in a later turn."""
        if self._left == MOST:
            loop.call_soon(self._next, loop)
        if self._left and not self._waiting:
            self._left -= 1
            begin(exchange)
        else:
            self._waiting.append((begin, exchange))

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = MOST
        if self._waiting:
            loop.call_soon(self._next, loop)  # first: whatever happens below, the line moves on
        while self._waiting and self._left:
            self._left -= 1
            begin, exchange = self._waiting.popleft()
            begin(exchange)
