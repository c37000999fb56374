"""How long a connection waits for its client, and how it ends (F23, F25, M16).

One deadline at a time, for the one thing that is awaited; a coarse sweep over all connections
looks at it (`clients.py`), so that no request costs a timer.
"""

import asyncio
import contextlib
import logging
import math
import socket
import struct
from enum import Enum, auto
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server.body_clock import BodyClock
from gateway.server.clients import TICK, Clients, Stall
from gateway.server.flow import Flow

_log = logging.getLogger("gateway.server")

LINGER = 2.0
"""Seconds for a client to read an answer it did not wait for, before the socket is closed."""

DISCARDED = 262144
"""Octets read and dropped meanwhile; then they wait in the kernel."""

REST = 1.0
"""Seconds for the rest of a small body that nobody wants any more."""

LEAVE = 1.0
"""Seconds for which a connection must have been idle to be closed at once by a shutdown."""


_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_HUNG_UP = (7, 8)  # TCP_CLOSE and TCP_CLOSE_WAIT, the first octet of Linux's struct tcp_info


class Phase(Enum):
    """What a connection waits for."""

    HEAD = auto()  # the last header field of a request
    BODY = auto()  # the rest of a body
    ANSWER = auto()  # the application; the client owes nothing
    IDLE = auto()  # the next request
    REST = auto()  # the rest of a body whose request has been answered
    END = auto()  # the client's end of the connection; ours has been said


class TimedConnection(HttpToolsProtocol):
    """The part of a connection that knows how late it is."""

    flow: Flow  # type: ignore[assignment]  # as uvicorn's, in all that is used of it
    phase = Phase.HEAD
    deaf = False  # whatever comes is not read any more
    deadline = math.inf
    watched = False
    body_clock: BodyClock | None = None  # of the body that comes in

    _stall: Stall | None = None
    _discarded = 0

    def __init__(self, clients: Clients, **uvicorn: Any) -> None:  # noqa: ANN401  passed through
        """`uvicorn` is what uvicorn gives to a protocol."""
        super().__init__(**uvicorn)
        del self.pipeline  # uvicorn's own queue; nobody here looks at it
        self.clients = clients

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Take the transport."""
        super().connection_made(transport)
        self.flow = Flow(transport)

    def await_in(self, phase: Phase, seconds: float) -> None:
        """Wait for something new, for so long."""
        self.phase = phase
        self.deadline = self.clients.now + seconds + TICK

    def await_body(self) -> None:
        """Wait for more of a body, if it is the client who owes it."""
        self.phase = Phase.BODY
        if self.body_clock is not None:
            self.deadline = self.body_clock.go_on()

    def check(self, now: float) -> None:
        """Act on what is overdue; called by the sweep."""
        if self._stall is not None:
            octets = self.transport.get_write_buffer_size()
            if octets and self._stall.lasts(octets, now) >= self.clients.limits.write_idle:
                _log.info("connection cut: its client took nothing of what was written to it")
                self.abort()
                return
        if self.flow.read_paused and self.phase is not Phase.END and self._has_hung_up():
            self.abort()
        elif self.deadline > now:
            self.watched = self._stall is not None or self.flow.read_paused
        elif self.flow.read_paused and self.phase in (Phase.HEAD, Phase.BODY):
            self.deadline = now + 1.0  # it is we who do not read
        elif self.phase is Phase.END:
            self._give_up(now)
        else:
            self.overdue(now)

    def _has_hung_up(self) -> bool:
        """Whether the client's end came while nothing is read, which is how one would notice (M14).

        The kernel knows; where it does not tell (outside Linux) a hang-up is noticed when reading
        goes on.
        """
        if _TCP_INFO is None:
            return False
        try:
            told = self.transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, _TCP_INFO, 1
            )
        except (OSError, AttributeError):  # the socket has gone
            return True
        return told[0] in _HUNG_UP

    def overdue(self, now: float) -> None:
        """Act on what the client owes."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """The buffer is full: from now on the client has to take something."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stall = None

    def _watch_writing(self) -> None:
        if self._stall is None:
            self._stall = Stall(self.transport.get_write_buffer_size(), self.clients.now)
            self.watched = True

    def pause_reading(self) -> None:
        """Read no more for now: somebody lags behind, or has to be answered first."""
        self.flow.pause_reading()
        self.watched = True
        if self.body_clock is not None:
            self.body_clock.stop()

    def resume_reading(self) -> None:
        """Read on, if there is still something to read from."""
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def discard(self, data: bytes) -> None:
        """Drop what comes after the last word; more than a little of it is not even read."""
        self._discarded += len(data)
        if self._discarded > DISCARDED:
            self.pause_reading()

    def linger(self) -> None:
        """Say that we are done, and let a client that still sends read the answer first.

        A socket that is closed while octets lie unread in it is reset, and a reset makes many
        clients lose what they had not read yet (RFC 9112 section 9.6).
        """
        if self.transport.is_closing():
            return
        self.deaf = True
        self.await_in(Phase.END, LINGER)
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._watch_writing()

    def _give_up(self, now: float) -> None:
        if self.transport.get_write_buffer_size():
            self.deadline = now + 1.0  # it still reads; whether at all, the stall will tell
        else:
            self.abort()

    def eof_received(self) -> None:
        """The client sends no more: it has left, and the transport closes itself (M14)."""
        self._watch_writing()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def reset(self) -> None:
        """Close so that whatever was sent looks broken, even an answer that only a close ends."""
        with contextlib.suppress(OSError, AttributeError):  # the socket may be gone already
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.transport.abort()
