"""The `Wire` port: what a 101 leaves behind. An idle one is a transport and a few references."""

import asyncio
from collections.abc import Callable

from gateway.ports import WireEnd

_CLOSING = 5.0  # seconds for the server to take what is buffered


class UpgradedWire(asyncio.Protocol):
    """Octets both ways over a connection that has been HTTP. No task, no timer, no buffer."""

    __slots__ = ("_early", "_end", "_is_lost", "_on_lost", "_transport")

    def __init__(self, early: bytes, on_lost: Callable[[], None]) -> None:
        """`early` came right behind the handshake; `on_lost` is called once, when all is over."""
        self._early = early
        self._on_lost = on_lost
        self._end: WireEnd | None = None
        self._is_lost = False
        self._transport: asyncio.Transport

    def take(self, transport: asyncio.Transport) -> None:
        """Take the transport, whose reading is paused until somebody listens."""
        self._transport = transport

    # -- for whoever has the wire ----------------------------------------------------------------

    def attach(self, end: WireEnd) -> None:
        """See the port."""
        self._end = end
        early, self._early = self._early, b""
        self._transport.resume_reading()  # first: the listener may pause it again
        if early:
            end.received(early)
        if self._is_lost:
            self._end = None
            end.lost()

    def write(self, octets: bytes) -> None:
        """See the port."""
        if not self._is_lost and not self._transport.is_closing():
            self._transport.write(octets)

    def pause(self) -> None:
        """See the port."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """See the port."""
        self._transport.resume_reading()

    def close(self) -> None:
        """See the port; a server that does not take what is buffered is left after five seconds."""
        if not self._is_lost:
            self._transport.close()
            asyncio.get_running_loop().call_later(_CLOSING, self._transport.abort)

    def abort(self) -> None:
        """See the port."""
        if not self._is_lost:
            self._transport.abort()

    # -- what the event loop calls ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Pass on what comes."""
        if self._end is not None:
            self._end.received(data)
        else:
            self._early += data

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        if self._end is not None:
            self._end.may_write(now=False)

    def resume_writing(self) -> None:
        """It has drained."""
        if self._end is not None:
            self._end.may_write(now=True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the loop's signature
        """Say that it is over, both ways."""
        self._is_lost = True
        self._on_lost()
        end, self._end = self._end, None  # they hold each other (F17)
        if end is not None:
            end.lost()
