"""Field hygiene in both directions (sections L, O; RFC 9110 section 7.6).

Strip first, add our own afterwards (L3): no Connection field can name away what the gateway adds.
Lines keep their order and their repeats; only Vary is merged, because we add a member (L8, O3).
"""

import re
from collections.abc import Callable, Iterable

from gateway.edge.cookies import allowed_set_cookie, forwarded_cookies
from gateway.edge.field_names import Fate, MalformedField, fate_in_answer, fate_in_request
from gateway.edge.messages import BrowserRequest, Field, Fields
from gateway.edge.trace import trace_context
from gateway.errors import Code, Refused, Unavailable

_Judged = tuple[Fate, bytes, bytes]

# Looking a member up in an enum costs more than all else in these loops.
_PASS, _DROP, _CONNECTION, _TRACE = Fate.PASS, Fate.DROP, Fate.CONNECTION, Fate.TRACE
_SET_COOKIE, _CACHING, _VARY = Fate.SET_COOKIE, Fate.CACHING, Fate.VARY

# Connection may name the usual two, which are no fields, and may not name framing away (L3).
_NOT_TO_BE_NAMED = frozenset({b"keep-alive", b"close", b"content-length", b"transfer-encoding"})

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

_LENGTH = re.compile(rb"[0-9]{1,18}")
_NO_STORE: Field = (b"cache-control", b"no-store")
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
        kept, special = _end_to_end(request.fields, fate_in_request)
        length = _one_length(special)
    except MalformedField as malformed:
        raise Refused(
            Code.FIELD_MALFORMED, "A field is not acceptable.", note=str(malformed)
        ) from None
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
        kept, special = _end_to_end(fields, fate_in_answer)
        length = _one_length(special)
    except MalformedField as malformed:
        raise Unavailable(
            Code.UPSTREAM_PROTOCOL, "The service behind answered badly.", note=str(malformed)
        ) from None
    if length is not None:
        kept.append((b"content-length", length))
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
    names = {name for name, _ in kept}
    kept += [line for line in _DEFAULTS if line[0] not in names]
    return tuple(kept)


def content_length(fields: Fields) -> int | None:
    """Return the length that `request_fields` or `response_fields` left, in octets."""
    for name, value in fields:
        if name == b"content-length":
            return int(value)
    return None


def _end_to_end(
    fields: Fields, judge: Callable[[bytes], tuple[Fate, bytes]]
) -> tuple[list[Field], list[_Judged]]:
    """Leave out what concerns one connection only (RFC 9110 section 7.6.1) or is not allowed.

    Returns the lines that pass, and those the caller has to look at.
    """
    text = b" ".join([value for _, value in fields])
    if _CONTROL.search(text):  # RFC 9110 section 5.5 (L7); servers refuse to send them
        raise MalformedField("a control character in a field value")
    kept: list[Field] = []
    special: list[_Judged] = []
    for spelling, value in fields:
        fate, name = judge(spelling)
        if fate is _PASS:
            kept.append((name, value))
        elif fate is not _DROP:
            special.append((fate, name, value))
    named = {
        token.strip(b" \t").lower()
        for fate, _, value in special
        if fate is _CONNECTION
        for token in value.split(b",")
    } - _NOT_TO_BE_NAMED
    if named:
        kept = [line for line in kept if line[0] not in named]
        special = [line for line in special if line[1] not in named]
    return kept, special


def _one_length(lines: Iterable[_Judged]) -> bytes | None:
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
    if not values:
        return ((b"vary", b"Cookie"),)
    members = [member.strip(b" \t") for value in values for member in value.split(b",")]
    members = [member for member in members if member]
    if not any(member.lower() in (b"cookie", b"*") for member in members):
        members.append(b"Cookie")
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
    (b"vary", b"Cookie, Origin, Sec-Fetch-Site, Sec-Fetch-Mode"),  # C10
)
_TWO_YEARS = 63072000
_STRICT_TRANSPORT: Field = (b"strict-transport-security", b"max-age=%d" % _TWO_YEARS)
_SECURE_PAGE: Fields = (*_PAGE, _STRICT_TRANSPORT)


def page_fields(secure: bool) -> Fields:  # noqa: FBT001 - a fact about the origin, not a mode
    """Return the fields of every answer the gateway makes itself: pages, problems, redirects.

    `secure` says whether browsers come over https; only then does HSTS mean anything.
    """
    return _SECURE_PAGE if secure else _PAGE
