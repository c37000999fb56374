"""A request in the octets of HTTP/1.1 (RFC 9112 sections 3 to 7): framing is ours alone (M15).

What is written here has been checked where it came from: the target by `target`, the fields by
`headers`. One comparison makes sure that no line was smuggled in on the way.
"""

from gateway.edge.headers import content_length
from gateway.edge.messages import UpstreamRequest

_CR, _LF = b"\r\n"
_OF_A_TARGET = bytes(octet for octet in range(0x21, 0x100) if octet != 0x7F)  # noqa: PLR2004  DEL
_LAST_CHUNK = b"0\r\n\r\n"
_EMPTY = b"content-length: 0"
_CHUNKED = b"transfer-encoding: chunked"
_UPGRADE = b"connection: Upgrade"
# Methods whose request is expected to have a body: its absence is said (RFC 9110 section 8.6).
_EXPECTING = frozenset({"POST", "PUT", "PATCH"})


def head_without_body(request: UpstreamRequest) -> bytes:
    """Return the whole of a request that has no body."""
    return _head(request, _EMPTY if request.method in _EXPECTING else None)


def head_before_body(request: UpstreamRequest, length: int | None) -> bytes:
    """Return what goes before a body of this many octets; before chunks when it is not known."""
    return _head(request, _CHUNKED if length is None else b"content-length: %d" % length)


def head_of_upgrade(request: UpstreamRequest) -> bytes:
    """Return a request that asks to leave HTTP; its fields hold the Upgrade (RFC 9110, 7.8)."""
    return _head(request, _UPGRADE)


def head_of_check(authority: str, target: bytes) -> bytes:
    """Return the request that asks a server how it is; nobody's fields, nobody's token."""
    host = authority.encode("ascii")
    return b"GET %b HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % (target, host)


def chunk(octets: bytes) -> bytes:
    """Return one chunk; an empty one would end the body, so there is none for no octets."""
    return b"%x\r\n%b\r\n" % (len(octets), octets) if octets else b""


def last_chunk() -> bytes:
    """Return the end of a chunked body, without trailers."""
    return _LAST_CHUNK


def _head(request: UpstreamRequest, framing: bytes | None) -> bytes:
    first = b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii"), request.target)
    if request.lines is not None:
        last = b"\r\n" if framing is None else framing + b"\r\n\r\n"
        head = first + request.lines + last
        # A line more than we wrote is a request more than we meant (L7, request splitting).
        if head.count(b"\n") != len(request.fields) + first.count(b"\n") + last.count(b"\n"):
            raise ValueError("a line break in a request's head")
        if request.target.translate(None, _OF_A_TARGET):
            raise ValueError("a space in a request's target")
        return head
    fields = request.fields
    if content_length(fields) is not None:
        fields = tuple(field for field in fields if field[0] != b"content-length")
    lines = [b": ".join(field) for field in fields]
    text = b" ".join(lines)
    # A line more than we wrote is a request more than we meant (L7, request splitting).
    if _CR in text or _LF in text or request.target.translate(None, _OF_A_TARGET):
        raise ValueError("a line break in a request's head, or a space in its target")
    if framing is not None:
        lines.append(framing)
    lines.append(b"\r\n")
    return first + b"\r\n".join(lines)
