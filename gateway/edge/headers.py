"""Field hygiene in both directions (sections L, O; RFC 9110 section 7.6).

Strip first, add our own afterwards (L3): no Connection field can name away what the gateway adds.
Lines keep their order and their repeats; only Vary is merged, because we add a member (L8, O3).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from gateway.edge.cookies import allowed_set_cookie, forwarded_cookies
from gateway.edge.field_names import Fate, MalformedField, fate_in_answer, fate_in_request
from gateway.edge.messages import BrowserRequest, Field, Fields
from gateway.edge.trace import trace_context
from gateway.errors import Code, Refused, Unavailable

_Judged = tuple[Fate, bytes, bytes]
_Judge = Callable[[bytes], tuple[Fate, bytes]]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What follows from the names of a header block alone, in their order.

    A client, and an upstream, sends the same names in the same order again and again: they are
    judged once, and what is left to do for a request is to pick lines by number.
    """

    passing: tuple[tuple[int, bytes], ...]  # number and lower-case name of each line that passes
    special: tuple[tuple[Fate, bytes, int], ...]  # lines whose value has to be looked at
    is_lower: bool  # every name that passes came in lower case
    is_plain: bool  # nothing special but framing
    defaults: Fields  # of ours, for an answer that does not say it itself


_CONNECTION, _TRACE, _SET_COOKIE = Fate.CONNECTION, Fate.TRACE, Fate.SET_COOKIE
_CACHING, _VARY = Fate.CACHING, Fate.VARY
_OF_FRAMING = (Fate.PASS, Fate.DROP, Fate.CONNECTION, Fate.LENGTH, Fate.CODING)
_USUAL_CONNECTIONS = (b"keep-alive", b"close", b"Keep-Alive")

# Connection may name the usual two, which are no fields, and may not name framing away (L3).
_NOT_TO_BE_NAMED = frozenset({b"keep-alive", b"close", b"content-length", b"transfer-encoding"})

# Everything but controls; a tab is allowed. Deleting these is ten times faster than a search.
_NO_CONTROL = bytes(octet for octet in range(256) if octet == 9 or (octet > 31 and octet != 127))  # noqa: PLR2004

_LENGTH = re.compile(rb"[0-9]{1,18}")
_NO_STORE: Field = (b"cache-control", b"no-store")
_DEPENDS_ON = (b"Cookie", b"Origin", b"Sec-Fetch-Site", b"Sec-Fetch-Mode")  # C10
_PRIVATE: Fields = (_NO_STORE, (b"vary", b", ".join(_DEPENDS_ON)))
_DEFAULTS: Fields = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),  # O5
)


def request_fields(request: BrowserRequest, *, pass_cookies: frozenset[str]) -> Fields:
    """Return what of the browser's fields an upstream may see; doing it twice changes nothing.

    Via passes, for the next line to be appended. At most one Content-Length is left, validated,
    for the upstream adapter to frame by; without it a body is of unknown length.

    Raises Refused(FIELD_MALFORMED) for CR, LF or NUL in a value, a name that is no token, or
    framing that two servers could read differently (L7, M1, M2).
    """
    try:
        kept, special, shape = _end_to_end(request.fields, fate_in_request)
        length = _one_length(special)
    except MalformedField as malformed:
        raise Refused(
            Code.FIELD_MALFORMED, "A field is not acceptable.", note=str(malformed)
        ) from None
    if not shape.is_plain:
        kept += trace_context([(name, value) for fate, name, value in special if fate is _TRACE])
    if length is not None:
        kept.append((b"content-length", length))
    cookies = forwarded_cookies(request, pass_cookies)
    if cookies is not None:
        kept.append((b"cookie", cookies))
    return tuple(kept)


def response_fields(
    fields: Fields, *, pass_set_cookies: frozenset[str], session_used: bool
) -> Fields:
    """Return what of an upstream's fields the browser may see.

    Where a session was used nothing may be stored by anyone: our side of the exchange has no
    Authorization field, so the protection of RFC 9111 section 3.5 is gone unless we say it (O1).

    Raises Unavailable(UPSTREAM_PROTOCOL) where `request_fields` would refuse.
    """
    try:
        kept, special, shape = _end_to_end(fields, fate_in_answer)
        length = _one_length(special)
    except MalformedField as malformed:
        raise Unavailable(
            Code.UPSTREAM_PROTOCOL, "The service behind answered badly.", note=str(malformed)
        ) from None
    if length is not None:
        kept.append((b"content-length", length))
    if shape.is_plain:
        kept += _PRIVATE if session_used else ()
    else:
        cookies = [
            (name, value)
            for fate, name, value in special
            if fate is _SET_COOKIE and allowed_set_cookie(value, pass_set_cookies)
        ]
        kept += cookies
        if session_used or cookies:
            kept.append(_NO_STORE)  # O2: a stored Set-Cookie is another user's cookie
        else:
            kept += [(name, value) for fate, name, value in special if fate is _CACHING]
        kept += _vary([value for fate, _, value in special if fate is _VARY], session_used)
    kept += shape.defaults
    return tuple(kept)


def content_length(fields: Fields) -> int | None:
    """Return the length that `request_fields` or `response_fields` left, in octets."""
    for name, value in fields:
        if name == b"content-length":
            return int(value)
    return None


def _end_to_end(fields: Fields, judge: _Judge) -> tuple[list[Field], list[_Judged], _Shape]:
    """Leave out what concerns one connection only (RFC 9110 section 7.6.1) or is not allowed.

    Returns the lines that pass, those a rule has to look at, and the shape of it all.
    """
    names, values = zip(*fields, strict=True) if fields else ((), ())
    if b" ".join(values).translate(
        None, _NO_CONTROL
    ):  # RFC 9110 section 5.5 (L7); servers refuse to send them
        raise MalformedField("a control character in a field value")
    shape = (_REMEMBERED if len(names) <= _LONGEST_REMEMBERED else _shape)(names, judge)
    if shape.is_lower:
        kept = [fields[number] for number, _ in shape.passing]
    else:
        kept = [(name, values[number]) for number, name in shape.passing]
    named: set[bytes] = set()
    special = []
    for fate, name, number in shape.special:
        value = values[number]
        if fate is not _CONNECTION:
            special.append((fate, name, value))
        elif value not in _USUAL_CONNECTIONS:
            named.update(token.strip(b" \t").lower() for token in value.split(b","))
    named -= _NOT_TO_BE_NAMED
    if named:
        kept = [line for line in kept if line[0] not in named]
        special = [line for line in special if line[1] not in named]
        left = {name for name, _ in kept}
        defaults = tuple(line for line in _DEFAULTS if line[0] not in left)
        shape = replace(shape, defaults=defaults)
    return kept, special, shape


def _shape(names: tuple[bytes, ...], judge: _Judge) -> _Shape:
    judged = [(*judge(name), number) for number, name in enumerate(names)]
    passing = tuple((number, name) for fate, name, number in judged if fate is Fate.PASS)
    said = {name for _, name in passing}
    return _Shape(
        passing,
        tuple(
            (fate, name, number)
            for fate, name, number in judged
            if fate not in (Fate.PASS, Fate.DROP)
        ),
        is_lower=all(names[number] == name for number, name in passing),
        is_plain=all(fate in _OF_FRAMING for fate, _, _ in judged),
        defaults=tuple(line for line in _DEFAULTS if line[0] not in said),
    )


_REMEMBERED = lru_cache(maxsize=512)(_shape)
_LONGEST_REMEMBERED = 48  # lines; strangers choose the names, so what is kept has a bound


def _one_length(lines: list[_Judged]) -> bytes | None:
    if not lines:
        return None
    # RFC 9112 section 6.3: several lengths, or a length beside a coding, are a smuggler's tools.
    lengths = [value for fate, _, value in lines if fate is Fate.LENGTH]
    codings = [value.lower() for fate, _, value in lines if fate is Fate.CODING]
    if codings and (lengths or codings != [b"chunked"]):
        raise MalformedField("Transfer-Encoding beside Content-Length, or not just chunked")
    if not lengths:
        return None
    if len(set(lengths)) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise MalformedField("a malformed or repeated Content-Length")
    return lengths[0].lstrip(b"0") or b"0"


def _vary(values: list[bytes], session_used: bool) -> Fields:  # noqa: FBT001 - a fact, not a mode
    if not session_used:
        return tuple((b"vary", value) for value in values)
    members = [member.strip(b" \t") for value in values for member in value.split(b",")]
    members = [member for member in members if member]
    said = {member.lower() for member in members}
    if b"*" not in said:
        members += [member for member in _DEPENDS_ON if member.lower() not in said]
    return ((b"vary", b", ".join(members)),)


# C14, C15: pages are one HTML text with a style element, no script and no other content.
_PAGE_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    b"frame-ancestors 'none'"
)
_PAGE: Fields = (
    (b"content-security-policy", _PAGE_POLICY),
    *_DEFAULTS,
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    _NO_STORE,
    (b"vary", b", ".join(_DEPENDS_ON)),
)
_TWO_YEARS = 63072000
_STRICT_TRANSPORT: Field = (b"strict-transport-security", b"max-age=%d" % _TWO_YEARS)
_SECURE_PAGE: Fields = (*_PAGE, _STRICT_TRANSPORT)


def framed_page_fields(secure: bool, framer: str) -> Fields:  # noqa: FBT001 - as `page_fields`
    """Return the fields of a page that one other origin may frame, and nobody else (J18).

    `framer` is that origin. What else protects a page stays. X-Frame-Options knows no origin but
    our own, so it is left out; browsers that know frame-ancestors would not look at it anyway.
    """
    policy = _PAGE_POLICY.removesuffix(b"'none'") + framer.encode("ascii")
    fields = [line for line in page_fields(secure) if line[0] != b"x-frame-options"]
    return tuple(
        (name, policy) if name == b"content-security-policy" else (name, value)
        for name, value in fields
    )


def page_fields(secure: bool) -> Fields:  # noqa: FBT001 - a fact about the origin, not a mode
    """Return the fields of every answer the gateway makes itself: pages, problems, redirects.

    `secure` says whether browsers come over https; only then does HSTS mean anything.
    """
    return _SECURE_PAGE if secure else _PAGE
