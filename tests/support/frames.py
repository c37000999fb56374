"""WebSocket frames as octets, right or wrong, built without the gateway's code."""

import struct

MASK = b"\x01\x02\x03\x04"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    masked: bool = True,
    reserved: int = 0,
    width: int | None = None,
) -> bytes:
    """One frame (RFC 6455 section 5.2); `width` forces how many octets the length takes."""
    size = len(payload)
    if width is None:
        width = 1 if size < 126 else 3 if size < 65536 else 9
    mark = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if width == 1:
        head += bytes([mark | size])
    elif width == 3:
        head += bytes([mark | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mark | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    return head + MASK + bytes(octet ^ MASK[at % 4] for at, octet in enumerate(payload))


def close(code: int | None = None, reason: bytes = b"", *, masked: bool = True) -> bytes:
    payload = b"" if code is None else struct.pack("!H", code) + reason
    return frame(8, payload, masked=masked)
