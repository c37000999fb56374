"""The `Wire` port in memory: two wires, each the other's far end. Passes the port's contract suite.

Deliveries are calls of the event loop, as a socket's are: nobody is told anything from within a
call of his own.
"""

import asyncio
from collections import deque

from gateway.ports import WireEnd

HIGH_WATER = 65536


class MemoryWire:
    """One of two ends of a connection; `inbox` holds what the far end wrote and nobody took."""

    def __init__(self) -> None:
        self.far: MemoryWire
        self.inbox: deque[bytes] = deque()
        self.pauses = 0
        self.resumes = 0
        self.closing = False  # nothing more is written here
        self.gone = False
        self.frozen = False
        self._end: WireEnd | None = None
        self._paused = False
        self._full = False
        self._scheduled = False

    def attach(self, end: WireEnd) -> None:
        self._end = end
        self._soon()

    def write(self, octets: bytes) -> None:
        if self.closing or self.gone:
            return
        self.far.inbox.append(octets)
        self._changed()

    def pause(self) -> None:
        self.pauses += 1
        self._paused = True

    def resume(self) -> None:
        self.resumes += 1
        self._paused = False
        self._soon()

    def close(self) -> None:
        self.closing = True
        self._changed()

    def abort(self) -> None:
        self.closing = True
        self.far.inbox.clear()
        self.inbox.clear()
        self._changed()

    def freeze(self) -> None:
        """A cable is pulled: nothing arrives here, nor at the far end, and nobody is told."""
        self.frozen = self.far.frozen = True

    def thaw(self) -> None:
        """The cable is back."""
        self.frozen = self.far.frozen = False
        self._changed()

    @property
    def buffered(self) -> int:
        """Octets written here that the far end has not taken."""
        return sum(map(len, self.far.inbox))

    def _changed(self) -> None:
        self._soon()
        self.far._soon()

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._scheduled = False
        if self._end is None or self.gone:
            return
        while self.inbox and not self._paused and not self.frozen:
            self._end.received(self.inbox.popleft())
            self.far._soon()
        hung_up = (self.far.closing or self.far.gone) and not self.inbox and not self.frozen
        if hung_up or (self.closing and (not self.buffered or self.far.gone)):
            self.gone = True
            self._end.lost()
            self._changed()
            return
        self._tell_room()

    def _tell_room(self) -> None:
        assert self._end is not None
        if not self._full and self.buffered > HIGH_WATER:
            self._full = True
            self._end.may_write(now=False)
        elif self._full and not self.buffered:
            self._full = False
            self._end.may_write(now=True)


def pair() -> tuple[MemoryWire, MemoryWire]:
    """Two wires that are one connection."""
    one, other = MemoryWire(), MemoryWire()
    one.far, other.far = other, one
    return one, other
