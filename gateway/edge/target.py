"""The request-target, parsed once: the same bytes are routed, judged and forwarded (K1, K4, K5).

Rule: nothing here changes a byte that is passed on. What two parties could read differently
(dot segments, backslashes, encoded controls) is refused instead of repaired.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from gateway.errors import Code, Refused

MAX_TARGET = 1048576
"""Octets of the longest request-target an operator may allow (K10); the server keeps the limit."""

# RFC 3986 has neither white space, controls, DEL nor octets above 0x7e; a fragment is never sent.
_VISIBLE = bytes(octet for octet in range(0x21, 0x7F) if octet != ord("#"))
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?]+)(.*)", re.IGNORECASE)
# A path without any of these reads the same to everybody.
_NEEDS_A_CLOSER_LOOK = re.compile(rb"[%;\\]|//|/\.")
# A stray percent sign, an encoded control (%00 to %1f, %7f), or a backslash in either spelling.
_UNREADABLE = re.compile(rb"\\|%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[Ff]|5[Cc])")
# Overlong UTF-8 (RFC 3629 section 10): %c0%ae is a dot to a lenient decoder and to no other.
_OVERLONG = re.compile(
    rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]"
)
_PATH_PARAMETERS = re.compile(r";[^/]*")
_SLASHES = re.compile(r"//+")


@dataclass(frozen=True, slots=True)
class Target:
    """An accepted request-target; only `parse_target` makes one.

    `path` and `query` are the octets that came (`query` is None without a `?`). `canonical` is
    the path as a careless upstream may read it: decoded once, `;parameters` cut, repeated slashes
    merged, ending where a decoded `?` or `#` stands. It serves to detect ambiguity, nothing else.
    """

    path: bytes
    query: bytes | None
    canonical: str

    @property
    def wire(self) -> bytes:
        """The origin-form, octet by octet as it came."""
        return self.path if self.query is None else self.path + b"?" + self.query


def parse_target(raw: bytes, *, authority_expected: bytes) -> Target:
    """Read an origin-form, or an absolute-form that names our own authority (RFC 9112 3.2).

    Raises Refused: TARGET_TOO_LONG above `MAX_TARGET` octets, HOST_MISDIRECTED for the
    absolute-form of another authority, TARGET_MALFORMED for everything else.
    """
    if len(raw) > MAX_TARGET:
        raise Refused(Code.TARGET_TOO_LONG, "The request target is too long.")
    if not raw or raw.translate(None, _VISIBLE):
        raise _malformed("an octet that no request target may hold")
    if not raw.startswith(b"/"):
        raw = _origin_form(raw, authority_expected)
    path, question_mark, query = raw.partition(b"?")
    if path.startswith(b"//"):
        raise _malformed("two leading slashes, which read as an authority")
    return Target(path, query if question_mark else None, _canonical(path))


def _origin_form(raw: bytes, authority_expected: bytes) -> bytes:
    # RFC 9112 section 3.2.2: an absolute-form's own authority counts, the Host field does not.
    form = _ABSOLUTE_FORM.fullmatch(raw)
    if form is None:
        raise _malformed("neither origin-form nor absolute-form")
    if form[1].lower() != authority_expected.lower():
        raise Refused(Code.HOST_MISDIRECTED, "This server does not answer for that host.")
    rest = form[2]
    return rest if rest.startswith(b"/") else b"/" + rest


def _canonical(path: bytes) -> str:
    if not _NEEDS_A_CLOSER_LOOK.search(path):
        return path.decode("ascii")
    if _UNREADABLE.search(path):
        raise _malformed("a backslash, or an encoding that is broken or hides a control")
    decoded = unquote_to_bytes(path)
    if _OVERLONG.search(decoded):
        raise _malformed("overlong UTF-8")
    # Tomcat and friends cut `..;x` down to `..`, hence the partition.
    if any(segment.partition(b";")[0] in (b".", b"..") for segment in decoded.split(b"/")):
        raise _malformed("a dot segment")
    text = re.split("[?#]", decoded.decode("utf-8", "replace"), maxsplit=1)[0]
    return _SLASHES.sub("/", _PATH_PARAMETERS.sub("", text))


def _malformed(note: str) -> Refused:
    return Refused(Code.TARGET_MALFORMED, "The request target is not acceptable.", note=note)
