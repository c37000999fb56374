"""What all connections of one listener share: limits, the time, and who waits for whom."""

import math
import time
from collections.abc import Callable
from typing import Protocol

from gateway.errors import Code
from gateway.server.heads import Heads
from gateway.server.turns import Turns
from gateway.settings import Limits

OnRefusal = Callable[[Code, str], None]
"""Told the code and the peer's address."""

TICK = 0.1
"""Seconds between two looks at the clock; uvicorn's own main loop has this rhythm."""

_SWEEP = 10  # ticks between two looks at every connection, unless a limit is shorter than that
_QUARTERS = 4  # how often a connection is looked at within its shortest limit


class Counted(Protocol):
    """A connection, HTTP or not any more, as the sweep sees it."""

    deadline: float  # when somebody is overdue; infinity when nobody is
    watched: bool  # whether every sweep has to look: something is stopped, either way

    def check(self, now: float) -> None:
        """Act on what is overdue."""
        ...

    def shutdown(self) -> None:
        """The server stops: end as soon as it hurts nobody."""
        ...

    def abort(self) -> None:
        """The grace is over: end at once."""
        ...


class Clients:
    """Everybody connected to one listener.

    Time is coarse on purpose: `now` is as old as the last tick, so that a request costs no timer
    and no system call, only comparisons. Deadlines are therefore met a little late, by a tick and
    a sweep, and never early.
    """

    def __init__(self, limits: Limits, refused: OnRefusal, *, most: int, spare: int) -> None:
        """`most` may be connected; up to `spare` above them are told that they are too many."""
        self.limits = limits
        self.refused = refused
        self.most = most
        self.spare = spare
        self.now = time.monotonic()
        self.draining = False  # nobody is accepted, and each connection's next answer is its last
        self.hurried = False  # and nobody is waited for who asks nothing
        self.connections: set[Counted] = set()
        self.heads = Heads()
        self.turns = Turns()
        shortest = min(
            limits.header_timeout,
            limits.body_idle,
            limits.body_total or math.inf,
            limits.write_idle,
            limits.keepalive,
        )
        self._every = max(1, min(_SWEEP, int(shortest / TICK / _QUARTERS)))
        self._ticks = 0

    def after(self, seconds: float) -> float:
        """Return the deadline that lies so far ahead."""
        return self.now + seconds + TICK

    def tick(self) -> None:
        """Look at the clock, and every so often at everybody."""
        self.now = now = time.monotonic()
        self._ticks += 1
        if self._ticks % self._every and not self.hurried:
            return
        for connection in tuple(self.connections):
            if connection.deadline <= now or connection.watched:
                connection.check(now)

    def hurry(self) -> None:
        """Take leave of everybody (the listening sockets are closed already)."""
        self.hurried = True
        for connection in tuple(self.connections):
            connection.shutdown()

    def abort(self) -> None:
        """Cut everybody off."""
        for connection in tuple(self.connections):
            connection.abort()


class Stall:
    """A client that takes nothing of what was written to it: how much waits, and since when."""

    __slots__ = ("_octets", "_since")

    def __init__(self, octets: int, now: float) -> None:
        self._octets = octets
        self._since = now

    def lasts(self, octets: int, now: float) -> float:
        """Return for how many seconds nothing has been taken; `octets` wait now."""
        if octets < self._octets:
            self._since = now
        self._octets = octets
        return now - self._since
