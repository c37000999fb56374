"""One connection to one server: it carries one exchange after another, never two at once."""

import asyncio
import contextlib
import socket
import ssl
from math import inf
from typing import Protocol, cast

from gateway.adapters.http1_upstream.answer_heads import AnswerHeads

HIGH_WATER = 65536
"""Octets the transport buffers before we stop writing; the kernel's own buffers come on top."""

_CLOSING = 5.0  # seconds for a server to take the last octets, once we want to leave

# A server that vanished without a word is noticed within half a minute, even where no deadline
# runs: event streams and WebSockets may be silent for as long as they like.
_PROBES = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class Carried(Protocol):
    """An exchange, as its connection sees it."""

    def received(self, octets: bytes) -> None:
        """Octets have come."""
        ...

    def ended(self) -> None:
        """The server has ended the connection in order."""
        ...

    def broke(self) -> None:
        """The connection is lost."""
        ...

    def timed_out(self) -> None:
        """The deadline that was set last has passed."""
        ...


class Home(Protocol):
    """Where a connection belongs."""

    heads: AnswerHeads

    def free(self, connection: "Connection") -> None:
        """It has done its exchange and may carry another."""
        ...

    def gone(self, connection: "Connection") -> None:
        """It carries nothing any more. Called once."""
        ...

    def did(self, *, well: bool) -> None:
        """The server did well by an exchange, or did not."""
        ...


class Connection(asyncio.Protocol):
    """A transport, its one deadline, and the exchange that has it.

    Deadlines move with every octet, timers do not: one timer per connection looks at the deadline
    when it fires, and is armed anew for the rest.
    """

    __slots__ = (
        "_armed",
        "_deadline",
        "_drained",
        "_exchange",
        "_home",
        "_timer",
        "_transport",
        "born",
        "heads",
        "is_fresh",
        "is_open",
        "loop",
    )

    def __init__(self, home: Home, loop: asyncio.AbstractEventLoop) -> None:
        self._home = home
        self.heads = home.heads
        self.loop = loop
        self._transport: asyncio.Transport
        self._exchange: Carried | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = inf  # when the timer fires
        self._deadline = inf
        self._drained: asyncio.Future[None] | None = None
        self.born = loop.time()
        self.is_open = False
        self.is_fresh = True  # nothing has been sent, and it has not lain idle

    # -- for the exchange ------------------------------------------------------------------------

    def begin(self, exchange: Carried, octets: bytes) -> None:
        """Give the connection to an exchange and send the first octets of its request."""
        self._exchange = exchange
        self._transport.write(octets)

    def write(self, octets: bytes) -> None:
        """Send, or buffer."""
        self._transport.write(octets)

    async def drained(self) -> None:
        """Return when the server has taken enough of what was written (M14)."""
        if self._drained is not None:
            await self._drained

    @property
    def has_unsent(self) -> bool:
        """Whether some of the request is still here."""
        return self._transport.get_write_buffer_size() > 0

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Undo `pause`."""
        self._transport.resume_reading()

    def set_deadline(self, when: float) -> None:
        """End whatever goes on at this time of the loop's clock, unless it is set anew."""
        self._deadline = when
        if when < self._armed:
            self._arm()

    def finished(self, *, reusable: bool) -> None:
        """Take the connection back from an exchange that has ended well."""
        self._exchange = None
        self._home.did(well=True)
        if reusable and self.is_open:
            self._home.free(self)
        else:
            self.close()

    def failed(self, *, blame: bool) -> None:
        """Take it back from one that has not; `blame` says whether that was the server's doing."""
        self._exchange = None
        if blame:
            self._home.did(well=False)
        self.abort()

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Leave HTTP: from now on the protocol gets what comes. `left` must follow."""
        self._exchange = None
        self.set_deadline(inf)
        self._transport.pause_reading()
        self._transport.set_protocol(protocol)
        return self._transport

    def left(self) -> None:
        """Say that the transport, handed over before, is lost."""
        if self.is_open:
            self._let_go()

    # -- for its home ----------------------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent, as far as one can know."""
        return self.is_open and not self._transport.is_closing()

    def close(self) -> None:
        """Close in order, when there is nothing more to lose."""
        if self.is_open:
            self._let_go()
            self._transport.close()
            # TLS says goodbye first, and a server may not listen.
            self._timer = self.loop.call_later(_CLOSING, self._transport.abort)

    def abort(self) -> None:
        """Close at once."""
        if self.is_open:
            self._let_go()
        self._transport.abort()

    # -- what the event loop calls ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self.is_open = True
        plain = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the server may have gone already
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _PROBES:
                if hasattr(socket, name):  # macOS calls the first one otherwise
                    plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        """Pass octets to the exchange they answer; those that answer nothing end it all."""
        if self._exchange is not None:
            self._exchange.received(data)
        else:
            self.abort()

    def eof_received(self) -> None:
        """Tell the exchange whether the server has ended the connection, or anybody else."""
        if self._exchange is not None:
            if self._has_said_goodbye():
                self._exchange.ended()
            else:
                self._exchange.broke()
        if self.is_open:
            self._let_go()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the loop's signature
        """Tell the exchange that its connection broke."""
        if self._exchange is not None:
            self._exchange.broke()
        if self.is_open:
            self._let_go()
        elif self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._drained = self.loop.create_future()

    def resume_writing(self) -> None:
        """It has drained."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # --------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed = self._deadline
        if self._armed < inf:
            self._timer = self.loop.call_at(self._armed, self._look)

    def _look(self) -> None:
        self._timer = None
        self._armed = inf
        if self.loop.time() < self._deadline:
            self._arm()
        elif self._exchange is not None:
            self._exchange.timed_out()
        else:
            self.close()  # nobody wanted it for long enough

    def _has_said_goodbye(self) -> bool:
        """Whether an end over TLS is the server's own (close_notify): TCP's anyone can forge.

        uvloop does not call `eof_received` otherwise; asyncio does.
        """
        tls = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLError:  # it would wait for more
            return False

    def _let_go(self) -> None:
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed = self._deadline = -inf  # no timer is armed after this
        self._home.gone(self)
