"""Every open channel of this process: WebSockets and event streams, with a session or without.

One coarse timer serves all of them. Each second a fraction is visited, so that thousands of
channels neither cost a timer each nor hold up the event loop together.
"""

import asyncio
import contextlib
import math
from collections import Counter
from enum import StrEnum
from itertools import chain, cycle
from typing import Protocol

from gateway.session.live_session import Channel

VISIT_EVERY = 5  # seconds between two visits to the same channel
PACE = 100
"""Channels that are told to go in a second, where there is time.

Each comes back at once, and asks for its session, a token and its upstream: thousands in one
instant would be an outage for whoever takes them.
"""

_STEP = 0.1  # seconds between two groups that are told to go
_LEAVE_WITHIN = 2.0  # seconds for channels to close when the process stops


class ChannelKind(StrEnum):
    """What a channel is to the browser."""

    WEBSOCKET = "websocket"
    EVENT_STREAM = "event_stream"


class OpenChannel(Channel, Protocol):
    """A channel, as the process it lives in sees it. Calls are quick and never raise."""

    @property
    def kind(self) -> ChannelKind:
        """What it is to the browser."""
        ...

    def visit(self) -> None:
        """Some time has passed: see whether the ends are still there."""
        ...

    def go_away(self) -> None:
        """The process stops: close in a way that lets the browser connect elsewhere."""
        ...


class OpenChannels:
    """Visits channels, and closes them when the process stops."""

    def __init__(self) -> None:
        self._groups: list[set[OpenChannel]] = [set() for _ in range(VISIT_EVERY)]
        self._turns = cycle(self._groups)
        self._timer: asyncio.TimerHandle | None = None
        self._is_leaving = False
        self._untold: list[OpenChannel] = []  # of those that were open when the leaving began
        self._leave_by = math.inf
        self._telling: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None  # somebody waits for the last one to close

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def count(self) -> dict[str, int]:
        """Return how many of each kind are open."""
        found = Counter(channel.kind for group in self._groups for channel in group)
        return {kind.value: found[kind] for kind in ChannelKind}

    def add(self, channel: OpenChannel) -> None:
        """Visit this channel from now on."""
        min(self._groups, key=len).add(channel)
        if self._timer is None:
            self._arm()
        if self._is_leaving:  # its upstream answered only now
            asyncio.get_running_loop().call_soon(channel.go_away)

    def discard(self, channel: OpenChannel) -> None:
        """Forget a channel that is closed; harmless when it was already."""
        for group in self._groups:
            group.discard(channel)
        if self._empty is not None and not len(self):
            self._empty.set()

    def visit(self) -> None:
        """Visit the group whose turn it is."""
        for channel in tuple(next(self._turns)):
            channel.visit()

    def leaving_takes(self) -> float:
        """Return the seconds it takes to tell every channel, at our pace, that it has to go."""
        return len(self) / PACE

    def go_away(self, within: float = 0.0) -> None:
        """Tell every channel that the process stops, those still to come included.

        They are told one after the other, at our pace, or as fast as it takes to have told all
        within so many seconds. Said again, it may only become faster.
        """
        now = asyncio.get_running_loop().time()
        self._leave_by = min(self._leave_by, now + min(within, self.leaving_takes()))
        if not self._is_leaving:
            self._is_leaving = True
            self._untold = list(chain.from_iterable(self._groups))
        self._tell_some()

    async def aclose(self) -> None:
        """Close every channel, and give them a moment for it."""
        if self._timer is not None:
            self._timer.cancel()
        self.go_away()
        if len(self):
            self._empty = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), _LEAVE_WITHIN)

    def _tell_some(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        loop = asyncio.get_running_loop()
        steps = max(1.0, (self._leave_by - loop.time()) / _STEP)
        for _ in range(math.ceil(len(self._untold) / steps)):
            channel = self._untold.pop()
            if any(channel in group for group in self._groups):  # else it has closed by itself
                channel.go_away()
        if self._untold:
            self._telling = loop.call_later(_STEP, self._tell_some)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.visit()
        if len(self):
            self._arm()
