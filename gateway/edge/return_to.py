"""Where the browser goes after a login or a logout: always a place on our own origin (E13).

Browsers read more than RFC 3986 writes: they strip tabs and newlines, and take a backslash for a
slash. So nothing is parsed leniently and nothing is repaired: a value is a local reference in
plain visible ASCII, or it is refused. Every text that passes is already what a browser would make
of it, which is why the value that was checked is the value that is used.
"""

import re
from typing import NewType
from urllib.parse import unquote_to_bytes

from gateway.edge.host import PublicOrigin
from gateway.edge.target import parse_target
from gateway.errors import Code, Refused

SafeReturnTo = NewType("SafeReturnTo", str)
"""A path on the public origin, with query and fragment; only `check_return_to` makes one."""

MAX_RETURN_TO = 2048

_VISIBLE_WITHOUT_BACKSLASH = re.compile(r"[!-\[\]-~]+")
# `/%2fevil` or `/;x/evil`: a path to the browser, `//evil` to a client-side router that decodes.
_BEGINS_AN_AUTHORITY = re.compile(rb"/(?:;[^/]*)?[/\\]")


def check_return_to(value: str, origin: PublicOrigin, *, base: str = "/bff") -> SafeReturnTo:
    """Return the local reference: a path as it stands, or an absolute URL of `origin` cut to one.

    Refused(LOGIN_RETURN_TO): anything that could leave the origin in some reader's eyes, anything
    longer than `MAX_RETURN_TO`, and the gateway's own endpoints, which would loop.
    """
    if len(value) > MAX_RETURN_TO or not _VISIBLE_WITHOUT_BACKSLASH.fullmatch(value):
        raise _refused("too long, or characters that browsers strip or rewrite")
    local = _local(value, str(origin))
    reference = local.partition("#")[0]
    if not reference.startswith("/"):
        raise _refused("not a local path")
    try:
        target = parse_target(reference.encode("ascii"), authority_expected=b"")
    except Refused as refused:
        raise _refused(refused.note) from None
    if _BEGINS_AN_AUTHORITY.match(unquote_to_bytes(target.path)):
        raise _refused("an encoded authority")
    if target.canonical == base or target.canonical.startswith(base + "/"):
        raise _refused("an endpoint of the gateway")
    return SafeReturnTo(local)


def _local(value: str, origin: str) -> str:
    # What follows our origin must begin a path, a query or a fragment: `https://app.example.com`
    # is also how `https://app.example.com.evil` and `https://app.example.com@evil` begin.
    if not value.startswith(origin):
        return value
    rest = value[len(origin) :]
    return "/" + rest if rest[:1] in ("", "?", "#") else rest


def _refused(note: str) -> Refused:
    return Refused(
        Code.LOGIN_RETURN_TO,
        "The place to return to must be a path of this application.",
        note=note,
    )
