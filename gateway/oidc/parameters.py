"""Parameters of a query or a form, read and written (RFC 6749 section 3.1 and appendix B)."""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_plus, unquote_to_bytes, urlencode

_MOST = 100  # parameters; each costs microseconds, and a form has room for 65,000 empty ones
_PERCENT_ENCODED = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})*")


class UnreadableParameter(ValueError):
    """A known parameter occurs twice, or is not percent-encoded UTF-8; or there are very many."""


def read_parameters(octets: bytes, known: frozenset[str]) -> dict[str, str]:
    """Return the known parameters that were sent with a value.

    Unknown ones are ignored whatever they look like. A known one that occurs twice raises
    `UnreadableParameter`, even when a value is empty: readers differ on which one counts (E10).
    So do more than a hundred of any kind.
    """
    if octets.count(b"&") >= _MOST:
        raise UnreadableParameter("more parameters than anybody has to send")
    found: dict[str, str] = {}
    for piece in octets.split(b"&"):
        raw_name, _, raw_value = piece.partition(b"=")
        try:
            name = _decode(raw_name)
        except UnreadableParameter:
            continue  # no known name is written like this
        if name not in known:
            continue
        if name in found:
            raise UnreadableParameter("a parameter occurs twice")
        found[name] = _decode(raw_value)
    return {name: value for name, value in found.items() if value}


def form(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the pairs in form encoding; a space becomes %20, which every reader understands."""
    return urlencode(list(pairs), quote_via=quote, safe="")


def with_parameters(url: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return the URL with these parameters added to its own query.

    The URL's query stays as it is (RFC 6749 section 3.1), but for parameters that are also in
    `pairs`: each name occurs once, with our value.
    """
    ours = dict(pairs)
    base, _, query = url.partition("?")
    kept = [
        piece
        for piece in query.split("&")
        if piece and unquote_plus(piece.partition("=")[0]) not in ours
    ]
    return base + "?" + "&".join([*kept, form(ours.items())])


def _decode(octets: bytes) -> str:
    if not _PERCENT_ENCODED.fullmatch(octets):
        raise UnreadableParameter("a percent sign without two hexadecimal digits")
    try:
        return unquote_to_bytes(octets.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableParameter("not UTF-8") from None
