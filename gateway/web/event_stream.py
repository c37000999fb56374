"""An event stream on its way to a browser: passed on as it comes, until its session ends (P8, P9).

No octet is kept back and none is changed. The last event, which says why the stream ends, is the
only one of ours, and it never completes an event the upstream had only half written.
"""

import asyncio
from collections.abc import AsyncIterator

from gateway.edge.event_stream import EventBorders, last_event
from gateway.edge.headers import content_length
from gateway.edge.messages import Fields, Stream
from gateway.errors import Code, GatewayError
from gateway.session.live import LiveChannels
from gateway.session.live_session import LiveSession
from gateway.session.model import Session
from gateway.web.open_channels import ChannelKind, OpenChannels

_PATIENCE = 1.0  # seconds for the rest of an event that had begun when the session ended


class EventStreams:
    """Watches over the event streams that pass through."""

    def __init__(self, live: LiveChannels, channels: OpenChannels) -> None:
        self._live = live
        self._channels = channels

    def watch(
        self, stream: Stream, fields: Fields, session: Session | None, *, with_token: bool
    ) -> "EventStream":
        """Return the stream to send in the place of this one; it ends with the session."""
        watched = EventStream(stream, fields, self._live, self._channels)
        if session is not None:
            watched.live = self._live.enter(session, watched, with_token=with_token)
        self._channels.add(watched)
        return watched


class EventStream:
    """A `Stream` that is a channel: it can be ended from outside while it waits for a piece."""

    __slots__ = (
        "_borders",
        "_channels",
        "_code",
        "_coded",
        "_counted",
        "_ending",
        "_impatient",
        "_inner",
        "_over",
        "_pieces",
        "_registry",
        "_timer",
        "_waiting",
        "live",
    )

    kind = ChannelKind.EVENT_STREAM

    def __init__(
        self, inner: Stream, fields: Fields, registry: LiveChannels, channels: OpenChannels
    ) -> None:
        self.live: LiveSession | None = None
        self._inner = inner
        self._pieces: AsyncIterator[bytes] = aiter(inner)
        self._borders = EventBorders()
        # Octets of ours would damage a coded body, and be too many for a counted one.
        self._coded = any(name == b"content-encoding" for name, _ in fields)
        self._counted = content_length(fields) is not None
        self._registry = registry
        self._channels = channels
        self._code: Code | None = None
        self._ending = False
        self._impatient = False  # the event under way has had its time
        self._over = False
        self._waiting: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def end(self, code: Code) -> None:
        """The session is over: say so behind the event under way, and close."""
        self._code = code
        self.go_away()

    def go_away(self) -> None:
        """Close behind the event under way; without a last event browsers connect again."""
        self._ending = True
        if self._may_stop:
            self._interrupt()
        elif self._timer is None:
            # Once for the whole ending, or a slow reader of an endless event would renew it.
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._lose_patience)

    def visit(self) -> None:
        """Nothing to see to: who is gone is noticed by the connections on both sides."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        if self._ending and self._may_stop:
            return self._last()
        piece = await self._next()
        if piece is None:
            return self._last()
        if self._ending:
            return self._rest(piece)
        self._borders.passed(piece)
        return piece

    async def aclose(self) -> None:
        """End the exchange with the upstream; harmless when it has ended."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._channels.discard(self)
        if self.live is not None:
            self._registry.leave(self.live, self)
        await self._inner.aclose()

    async def _next(self) -> bytes | None:
        """Return the upstream's next piece; None when the session's end came first.

        Waiting in the request's own task costs a channel nothing. It is woken as a timeout would
        wake it: a cancellation, which is ours to take back if nobody else has cancelled as well.
        """
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        self._waiting = task
        try:
            return await anext(self._pieces)
        except asyncio.CancelledError:
            if self._waiting is not None or task is None or task.uncancel() > before:
                raise
            return None
        finally:
            self._waiting = None
            del task  # it keeps what is raised here, which keeps this frame (F17)

    @property
    def _may_stop(self) -> bool:
        """Whether the stream may stop here: between two events, or wherever patience has ended."""
        return self._borders.at_border or self._coded or self._impatient

    def _lose_patience(self) -> None:
        self._impatient = True
        self._interrupt()

    def _interrupt(self) -> None:
        """Wake the stream where it waits; while a piece is sent nothing waits, and none follows."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _rest(self, piece: bytes) -> bytes:
        rest = self._borders.rest(piece) or piece
        self._borders.passed(rest)
        return rest

    def _last(self) -> bytes:
        self._over = True
        if self._counted:
            raise GatewayError(self._code or Code.INTERNAL, note="the end of an event stream")
        if self._code is None or self._coded or not self._borders.at_border:
            raise StopAsyncIteration
        return last_event(self._code)
