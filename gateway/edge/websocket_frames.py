"""WebSocket frames, followed but not taken apart (RFC 6455 section 5).

Facts the gateway relies on:

* A frame is a header of 2 to 14 octets and a payload. Data frames pass through as the octets that
  came; nothing of their payload is kept, unmasked or copied.
* Between two frames, and so between the fragments of one message, others may put a control frame
  of their own (section 5.4). Inside a frame nobody can say anything.
* A control frame holds at most 125 octets (section 5.5), so it is waited for as a whole.
* Text is not checked for being UTF-8 (section 8.1): that is for the two ends to do.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Opcode(IntEnum):
    """Kinds of frames (section 5.2); every other number is reserved."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Why a WebSocket is closed, as far as the gateway says so itself (section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SESSION_ENDED = 4401  # ours (section 7.4.2: 4000 and above are private): log in again


@dataclass(frozen=True, slots=True)
class Control:
    """A whole control frame: its payload in clear, and the octets it came as."""

    opcode: int
    payload: bytes
    octets: bytes

    @property
    def close_code(self) -> int | None:
        """The code a Close frame gives, if it gives one."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


@dataclass(frozen=True, slots=True)
class Violation:
    """What ends a WebSocket: the code for whoever sent it, and what was wrong, for our log."""

    code: CloseCode
    note: str


Passage = bytes | Control | Violation
"""What may be done with octets that came in: pass them on, look at a control frame, or end it."""

_MASKED: Final = 0x80
_FINAL: Final = 0x80
_RESERVED_BITS: Final = 0x70
_LONGEST_CONTROL: Final = 125
_TWO_MORE, _EIGHT_MORE = 126, 127  # length octets that say how many more there are
_DATA = frozenset({Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY})
_CONTROLS = frozenset({Opcode.CLOSE, Opcode.PING, Opcode.PONG})
# Section 7.4.1 and the registry it set up: codes that may be sent; 3000 and above are free.
_SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_FREE = range(3000, 5000)


class FrameScanner:
    """Follows the frames one end sends, however the octets are cut into pieces.

    `masked` says which end: clients mask every frame and servers none (section 5.1).
    `max_message` bounds a message over all of its fragments, in octets.
    """

    __slots__ = ("_closed", "_held", "_in_message", "_masked", "_max", "_message", "left")

    def __init__(self, *, masked: bool, max_message: int) -> None:
        self.left = 0  # octets of the current data frame still to come; 0 at a frame's border
        self._masked = masked
        self._max = max_message
        self._held = b""  # the beginning of a header, or of a control frame
        self._message = 0  # octets of the message so far
        self._in_message = False  # between the fragments of a message
        self._closed = False

    def feed(self, piece: bytes) -> list[Passage]:
        """Return what may be done with the next octets, in order.

        Joined, the octets returned are those fed, but for the header or control frame that is not
        whole yet. Nothing follows a `Violation`, and nothing may be fed after it.
        """
        if len(piece) <= self.left:
            self.left -= len(piece)
            return [piece]
        at, self.left = self.left, 0
        if self._held:
            piece = self._held + piece
            self._held = b""
        found: list[Passage] = []
        begun = 0  # of what has not been returned yet
        while at < len(piece):
            header = self._header(piece, at)
            if header is None:
                break  # not all there
            if isinstance(header, Violation):
                _append(found, piece, begun, at)
                found.append(header)
                return found
            opcode, payload_at, length = header
            end = payload_at + length
            if opcode in _DATA:
                at = end
                if end > len(piece):
                    self.left = end - len(piece)
                    at = len(piece)
                continue
            if end > len(piece):
                break
            _append(found, piece, begun, at)
            control = self._control(opcode, piece[at:payload_at], piece[payload_at:end])
            found.append(control)
            if isinstance(control, Violation):
                return found
            at = begun = end
        _append(found, piece, begun, at)
        self._held = piece[at:]
        return found

    def _header(self, piece: bytes, at: int) -> tuple[int, int, int] | Violation | None:
        """Return opcode, where the payload begins, and its length; None if more is needed."""
        if self._closed:
            return _broken("a frame after the Close frame")
        if len(piece) - at < 2:  # noqa: PLR2004  the two octets every frame begins with
            return None
        first, second = piece[at], piece[at + 1]
        opcode, length = first & 0x0F, second & 0x7F
        wrong = self._wrong(first, second)
        if wrong:
            return _broken(wrong)
        payload_at = at + 2
        if length >= _TWO_MORE:
            width = 2 if length == _TWO_MORE else 8
            if len(piece) < payload_at + width:
                return None
            length = int.from_bytes(piece[payload_at : payload_at + width], "big")
            if length < (_TWO_MORE if width == 2 else 1 << 16) or length >> 63:  # noqa: PLR2004
                return _broken("a length in too many octets")
            payload_at += width
        if self._masked:
            payload_at += 4
            if len(piece) < payload_at:
                return None
        if opcode in _DATA and (too_big := self._count(opcode, first, length)):
            return too_big
        return opcode, payload_at, length

    def _wrong(self, first: int, second: int) -> str:
        """Say what the first two octets of a frame break, if anything."""
        opcode = first & 0x0F
        if first & _RESERVED_BITS:
            return "a reserved bit without an extension"
        if bool(second & _MASKED) is not self._masked:
            return "a frame without a mask" if self._masked else "a masked frame"
        if opcode in _CONTROLS:
            if not first & _FINAL:
                return "a control frame in fragments"
            return "a control frame too long" if second & 0x7F > _LONGEST_CONTROL else ""
        if opcode not in _DATA:
            return "a reserved opcode"
        if (opcode == Opcode.CONTINUATION) is not self._in_message:
            return "a fragment out of place"
        return ""

    def _count(self, opcode: int, first: int, length: int) -> Violation | None:
        self._message = length + (self._message if opcode == Opcode.CONTINUATION else 0)
        self._in_message = not first & _FINAL
        if self._message > self._max:
            return Violation(CloseCode.TOO_BIG, "a message above the limit")
        return None

    def _control(self, opcode: int, header: bytes, payload: bytes) -> Control | Violation:
        clear = _unmasked(payload, header[-4:]) if self._masked else payload
        if opcode == Opcode.CLOSE:
            self._closed = True
            wrong = _wrong_close(clear)
            if wrong is not None:
                return wrong
        return Control(opcode, clear, header + payload)


def frame(opcode: int, payload: bytes = b"", *, mask: bytes | None = None) -> bytes:
    """Return one whole control frame of our own; towards a server with a fresh `mask` of 4 octets.

    The mask has to be unpredictable (section 5.3), so it comes from whoever has randomness.
    """
    if len(payload) > _LONGEST_CONTROL:
        raise ValueError("a control frame holds at most 125 octets")
    if mask is None:
        return bytes((_FINAL | opcode, len(payload))) + payload
    head = bytes((_FINAL | opcode, _MASKED | len(payload)))
    return head + mask + _unmasked(payload, mask)  # the same operation both ways


def close_payload(code: int, reason: str) -> bytes:
    """Return what a Close frame of ours holds; `reason` is ASCII and short (section 5.5.1)."""
    return code.to_bytes(2, "big") + reason.encode("ascii")


def _append(found: list[Passage], piece: bytes, begin: int, end: int) -> None:
    if begin < end:
        # The usual piece holds whole data frames or a part of one, and is handed on uncut.
        found.append(piece if end - begin == len(piece) else piece[begin:end])


def _broken(note: str) -> Violation:
    return Violation(CloseCode.PROTOCOL_ERROR, note)


def _wrong_close(payload: bytes) -> Violation | None:
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _SENDABLE or code in _FREE):
        return _broken("a Close frame with a code that nobody may send")
    try:
        payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        return Violation(CloseCode.INVALID_DATA, "a Close frame whose reason is no text")
    return None


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    # Section 5.3, over a few octets at once.
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
