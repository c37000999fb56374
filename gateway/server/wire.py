"""A connection that has ceased to be HTTP: octets both ways after a 101 (RFC 9110 section 7.8).

Thousands of these lie idle at a time, so each is one small object with slots: what HTTP needed
(parser, fields, the request itself) can be freed once the application has returned.
"""

import asyncio
import math

from gateway.edge.messages import Fields
from gateway.ports import WireEnd
from gateway.server.clients import Clients, Stall

HIGH_WATER = 65536
"""Octets written and not yet taken by the peer, above which the wire's end is told to wait."""


class SocketWire(asyncio.Protocol):
    """The `Wire` port over the socket of a client.

    Nothing is read until there is an end to tell: octets wait in the kernel, and the peer with
    them.
    """

    __slots__ = ("_clients", "_early", "_end", "_paused", "_stall", "_transport", "watched")

    deadline = math.inf  # the deadlines of HTTP hold no longer

    def __init__(self, transport: asyncio.Transport, early: bytes, clients: Clients) -> None:
        """Take the socket over. `early` came behind the handshake.

        The wire is counted among the `clients` until it is lost.
        """
        self._transport: asyncio.Transport | None = transport
        self._early = early
        self._clients = clients
        self._end: WireEnd | None = None
        self._paused = False
        self._stall: Stall | None = None
        self.watched = False
        clients.connections.add(self)
        if transport.is_closing():
            self.connection_lost(None)  # too late: `attach` will say so
            return
        transport.set_write_buffer_limits(high=HIGH_WATER)
        transport.pause_reading()
        transport.set_protocol(self)

    def attach(self, end: WireEnd) -> None:
        """Name the listener; it is told at once of early octets, and of a loss in the meantime."""
        self._end = end
        early, self._early = self._early, b""
        if early:
            end.received(early)
        if self._transport is None:
            self._end = None
            end.lost()
        elif not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def write(self, octets: bytes) -> None:
        """Send, or buffer; does nothing once the wire is lost or closed."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Undo `pause`."""
        self._paused = False
        reads = self._end is not None and self._transport is not None
        if reads and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Send what is buffered, then close; `lost` follows, at the latest after `write_idle`."""
        if self._transport is not None:
            self._stall = Stall(self._transport.get_write_buffer_size(), self._clients.now)
            self.watched = True
            self._transport.close()

    def check(self, now: float) -> None:
        """Give a closed wire up whose peer takes nothing of what is buffered."""
        if self._transport is None or self._stall is None:
            return
        octets = self._transport.get_write_buffer_size()
        if self._stall.lasts(octets, now) >= self._clients.limits.write_idle:
            self._transport.abort()

    def abort(self) -> None:
        """Close at once; `lost` follows."""
        if self._transport is not None:
            self._transport.abort()

    def shutdown(self) -> None:
        """The server stops: a wire may go on until the grace is over."""

    def data_received(self, data: bytes) -> None:
        """Octets have come in."""
        if self._end is not None:
            self._end.received(data)

    def eof_received(self) -> None:
        """Nobody here speaks a protocol with a half-closed side: the transport closes itself."""

    def pause_writing(self) -> None:
        """The buffer is full."""
        if self._end is not None:
            self._end.may_write(now=False)

    def resume_writing(self) -> None:
        """The buffer has drained."""
        if self._end is not None:
            self._end.may_write(now=True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  whatever the cause
        """Nothing more comes or goes."""
        self._transport = None
        self._clients.connections.discard(self)
        end, self._end = self._end, None  # they hold each other (F17)
        if end is not None:
            end.lost()


def switching_protocols(fields: Fields) -> bytes:
    """Return the 101's octets. The Connection line is ours; what is in `fields` of it is left out.

    Raises ValueError for a field that would end its line (L7).
    """
    lines = [b"HTTP/1.1 101 Switching Protocols", b"connection: Upgrade"]
    lines += [name + b": " + value for name, value in fields if name.lower() != b"connection"]
    for line in lines:
        if any(octet in line for octet in (b"\r", b"\n", b"\0")):
            raise ValueError("a control character in a field of a 101")
    return b"\r\n".join((*lines, b"", b""))
