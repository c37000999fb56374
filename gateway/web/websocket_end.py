"""One end of a WebSocket: its wire, its frames as they come, and how far it is with closing."""

from collections.abc import Callable
from typing import Protocol

from gateway.edge.websocket_frames import Control, FrameScanner, Opcode, Violation, frame
from gateway.ports import Wire

# In visits, of which there is one every five seconds: a Ping after 25 seconds of silence and again
# after 40; after 55 the end is given up, so that no half-open pair outlives a minute (F29).
_PING_AFTER = 5
_PING_EVERY = 3
_UNANSWERED = 2


class Middle(Protocol):
    """What stands between two ends."""

    ping: bytes  # the payload of our Pings, by which their answers are told from others'
    mask: Callable[[], bytes]  # gives a fresh masking key

    def was_used(self) -> None:
        """The browser has sent data."""
        ...

    def violated(self, end: "End", violation: Violation) -> None:
        """The end broke the protocol; it is not listened to any more."""
        ...

    def said_close(self) -> None:
        """One end has said Close, and the other has been sent it."""
        ...

    def lost(self, end: "End") -> None:
        """The end's connection is gone."""
        ...


class End:
    """A `WireEnd`. What comes from it is passed on to the `other` end, frame by frame."""

    __slots__ = (
        "_broken",
        "_last_words",
        "_middle",
        "_quiet",
        "_unanswered",
        "frames",
        "gone",
        "held",
        "is_browser",
        "other",
        "said",
        "told",
        "wire",
    )

    other: "End"
    wire: Wire

    def __init__(self, middle: Middle, *, is_browser: bool, max_message: int) -> None:
        self._middle = middle
        self.is_browser = is_browser
        self.frames = FrameScanner(masked=is_browser, max_message=max_message)
        self.gone = False  # its connection is lost
        self.told = False  # it has been sent a Close: nothing more may be sent (section 5.5.1)
        self.said: bytes | None = None  # the code of the Close it sent, empty without one
        self._last_words: bytes | None = None  # a Close for it that waits for a frame's border
        self._broken = False  # it does not keep to the protocol; nothing it sends is read
        self.held = False  # it is not read from, for the other end's wire is full
        self._quiet = 0  # visits since it was last heard of
        self._unanswered = 0  # Pings since then

    # -- the wire tells

    def received(self, octets: bytes) -> None:
        """Pass octets on to the other end."""
        self._quiet = self._unanswered = 0
        rest = self.frames.left
        if self.other.is_waiting and len(octets) >= rest:
            self._take(octets[:rest])
            self.other.speak()
            octets = octets[rest:]
        self._take(octets)

    def lost(self) -> None:
        """The connection is gone."""
        self.gone = True
        self.other.hold(now=False)  # or its own loss would never be noticed
        self._middle.lost(self)

    def may_write(self, *, now: bool) -> None:
        """Octets for this end are taken again, or are not: the other one is read at that pace."""
        self._quiet = self._unanswered = 0
        self.other.hold(now=not now)

    # -- the middle tells

    @property
    def is_waiting(self) -> bool:
        """Whether a Close for this end waits for a frame's border."""
        return self._last_words is not None

    @property
    def is_flowing(self) -> bool:
        """Whether octets came from this end lately, and more are taken."""
        return not self.held and self._quiet <= 1  # it may have been visited a moment ago

    def tell(self, payload: bytes) -> None:
        """Send a Close with this payload, now or at the border of the frame under way."""
        if self.gone or self.told:
            return
        if not self.is_waiting:
            self._last_words = payload if self.said is None else self.said  # an answer repeats it
        if not self.other.frames.left:
            self.speak()

    def speak(self) -> None:
        """Send the Close that was waiting for a frame's border."""
        if self._last_words is not None and not self.gone:
            self._write(Opcode.CLOSE, self._last_words)
            self.was_told()

    def was_told(self) -> None:
        """A Close has been written to this end."""
        self.told = True
        self._last_words = None
        self.hold(now=False)
        self._close_if_done()

    def hold(self, *, now: bool) -> None:
        """Read from this end no more, or again; what is closing is always read to its end."""
        if now and not self.told:
            self.held = True
            self.wire.pause()
        elif self.held and not now:
            self.held = False
            self.wire.resume()

    def part(self) -> None:
        """Let go of the others, after both connections are gone: nobody calls any more.

        They hold each other, and only the garbage collector would free them (F17).
        """
        del self.other, self._middle

    def visit(self) -> None:
        """Count the silence; ask, and give up at last."""
        if self.held and not self.other.held:
            return  # we would not hear it, and the other end is asked
        self._quiet += 1
        since = self._quiet - _PING_AFTER
        if since < 0 or since % _PING_EVERY:
            return
        if self._unanswered == _UNANSWERED:
            self.wire.abort()
            return
        if not self.other.frames.left:
            self._write(Opcode.PING, self._middle.ping)
        elif self.other.is_flowing:
            return  # a long frame is on its way to this end, and it takes it
        # Within a frame nothing can be asked; an end that takes no more of it has said enough.
        self._unanswered += 1

    # -- passing on

    def _take(self, octets: bytes) -> None:
        if self._broken or not octets:
            return
        for passage in self.frames.feed(octets):
            if isinstance(passage, bytes):
                if not self.other.told:
                    self.other.wire.write(passage)
                    if self.is_browser:
                        self._middle.was_used()
            elif isinstance(passage, Control):
                self._control(passage)
            else:
                self._broken = True
                self._middle.violated(self, passage)

    def _control(self, control: Control) -> None:
        if control.opcode == Opcode.PONG and control.payload == self._middle.ping:
            return  # it answers us
        if not self.other.told:
            self.other.wire.write(control.octets)
        if control.opcode == Opcode.CLOSE:
            self.said = control.payload[:2]
            self.other.was_told()
            self._close_if_done()
            self._middle.said_close()

    def _close_if_done(self) -> None:
        if self.told and self.said is not None:
            self.wire.close()

    def _write(self, opcode: int, payload: bytes) -> None:
        mask = None if self.is_browser else self._middle.mask()
        self.wire.write(frame(opcode, payload, mask=mask))
