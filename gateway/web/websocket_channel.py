"""One WebSocket between two wires: frames pass, and both ends learn when it is over (P4, P6, F29).

* A Close of either end is passed on as it came. If an end is lost, breaks the protocol, or belongs
  to a session that has ended, the others are told by a Close of ours.
* What we say stands between two frames. An end that is in the middle of one is sent its rest
  first; if that never comes, its connection breaks off, and a broken frame looks broken.
* Whoever has been told is waited for, or the last words could be lost on the way (a socket closed
  with octets unread is reset), but never for long.

An idle channel is a few small objects and two sockets. It has no task and no timer.
"""

import asyncio
import logging
from collections.abc import Callable

from gateway.edge.websocket_frames import CloseCode, Violation, close_payload
from gateway.errors import Code
from gateway.ports import Wire
from gateway.session.live import LiveChannels
from gateway.session.live_session import LiveSession
from gateway.session.model import Session
from gateway.web.open_channels import ChannelKind, OpenChannels
from gateway.web.websocket_end import End

_log = logging.getLogger("gateway.web")

_REPLY_WITHIN = 5.0  # seconds for the other end's Close, once an end has sent its own
_LINGER = 2.0  # seconds for an end to take our Close and answer it

# Reasons in Close frames of ours, besides the stable codes (docs/websockets.md lists them).
BROWSER_LOST = "browser.lost"
UPSTREAM_LOST = "upstream.lost"
VIOLATION = "websocket.violation"
TOO_BIG = "websocket.too_big"
STOPPING = "gateway.stopping"


class WebSocketChannel:
    """A browser's wire and an upstream's, with their frames followed both ways."""

    __slots__ = (
        "_browser",
        "_channels",
        "_live",
        "_registry",
        "_timer",
        "_upstream",
        "mask",
        "ping",
    )

    kind = ChannelKind.WEBSOCKET

    def __init__(
        self,
        upstream: Wire,
        *,
        ping: bytes,
        mask: Callable[[], bytes],
        max_message: int,
        registry: LiveChannels,
        channels: OpenChannels,
    ) -> None:
        """`ping` is the payload of our Pings, `mask` gives a fresh masking key (section 5.3)."""
        self._browser = End(self, is_browser=True, max_message=max_message)
        self._upstream = End(self, is_browser=False, max_message=max_message)
        self._browser.other, self._upstream.other = self._upstream, self._browser
        self._upstream.wire = upstream
        self.ping = ping
        self.mask = mask
        self._registry = registry
        self._channels = channels
        self._live: LiveSession | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, browser: Wire, session: Session | None, *, with_token: bool) -> None:
        """Join the two wires, in the name of this session if there is one."""
        self._browser.wire = browser
        self._channels.add(self)
        if session is not None:
            self._live = self._registry.enter(session, self, with_token=with_token)
        for end in (self._upstream, self._browser):
            end.wire.attach(end)

    def abandon(self) -> None:
        """Give the upstream's wire up: there is no browser to join it with."""
        self._upstream.wire.abort()

    # -- told from outside

    def end(self, code: Code) -> None:
        """The session is over: the application can read why (4401), the upstream need not."""
        self._close(
            close_payload(CloseCode.SESSION_ENDED, code.value),
            close_payload(CloseCode.GOING_AWAY, code.value),
        )

    def go_away(self) -> None:
        """The process stops."""
        payload = close_payload(CloseCode.GOING_AWAY, STOPPING)
        self._close(payload, payload)

    def visit(self) -> None:
        """Ask an end that has long been silent whether it is there (half-open connections)."""
        if self._timer is None:  # otherwise it is closing, with a deadline
            self._browser.visit()
            self._upstream.visit()

    # -- told by the ends

    def was_used(self) -> None:
        """The browser has sent data (P7): Pings and Pongs come without anybody there."""
        if self._live is not None:
            self._live.used = True

    def violated(self, end: End, violation: Violation) -> None:
        """One end broke the protocol: it is told so, and to the other it is as good as lost."""
        who = "browser" if end.is_browser else "upstream"
        _log.info("WebSocket ended: %s, sent by the %s", violation.note, who)
        reason = TOO_BIG if violation.code == CloseCode.TOO_BIG else VIOLATION
        own = close_payload(violation.code, reason)
        if end.is_browser:
            self._close(own, close_payload(CloseCode.GOING_AWAY, reason))
        else:
            self._close(close_payload(CloseCode.INTERNAL_ERROR, reason), own)

    def said_close(self) -> None:
        """One end has said Close, and the other has been sent it."""
        self._wait(_REPLY_WITHIN)

    def lost(self, end: End) -> None:
        """One connection is gone."""
        if end.other.gone:
            self._finished()
            return
        if end.is_browser:
            end.other.tell(close_payload(CloseCode.GOING_AWAY, BROWSER_LOST))
        else:
            end.other.tell(close_payload(CloseCode.INTERNAL_ERROR, UPSTREAM_LOST))
        if not end.other.told:
            end.other.wire.close()  # in the middle of a frame that has lost its rest
        self._wait(_LINGER)

    # -- closing

    def _close(self, to_browser: bytes, to_upstream: bytes) -> None:
        self._browser.tell(to_browser)
        self._upstream.tell(to_upstream)
        self._wait(_LINGER)

    def _wait(self, seconds: float) -> None:
        if self._timer is None and not (self._browser.gone and self._upstream.gone):
            self._timer = asyncio.get_running_loop().call_later(seconds, self._hurry)

    def _hurry(self) -> None:
        """Answer whoever still waits for a Close, and close; whoever resists is cut off later."""
        for end in (self._browser, self._upstream):
            if not end.gone and end.said is not None:
                end.tell(end.said)
            end.wire.close()
        self._timer = asyncio.get_running_loop().call_later(_LINGER, self._cut)

    def _cut(self) -> None:
        for end in (self._browser, self._upstream):
            end.wire.abort()

    def _finished(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._channels.discard(self)
        if self._live is not None:
            self._registry.leave(self._live, self)
            self._live = None
        self._browser.part()
        self._upstream.part()
