"""What an upstream says about the token it was given (RFC 6750 section 3.1)."""

import re

from gateway.edge.messages import Fields

_UNAUTHORIZED = 401
# Octets of a field, and fields: nobody has more to say about a token, and what is searched below
# takes time with the square of it.
_LONGEST, _MOST = 1024, 2
# A scheme stands at the beginning, or behind a comma; its parameters follow it. The value is a
# token or a quoted string (RFC 9110 section 11.2). What is between quotes is taken out before.
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_BEARER = re.compile(rb"(?:\A|,)[ \t]*bearer[ \t]+", re.IGNORECASE)
_NEXT_SCHEME = re.compile(rb",[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]+[^ \t,=]|[ \t]*(?:,|\Z))")
_INVALID = re.compile(
    rb"(?:\A|,)[ \t]*error[ \t]*=[ \t]*invalid_token[ \t]*(?:,|\Z)", re.IGNORECASE
)


def rejects_token(status: int, fields: Fields) -> bool:
    """Whether the answer says, in so many words, that the access token is invalid (H12).

    Only a 401 with a Bearer challenge whose `error` is `invalid_token`: expired, revoked or
    malformed. A 401 without it may be about anything, and a new token would not help.
    """
    if status != _UNAUTHORIZED:
        return False
    challenges = [value for name, value in fields if name == b"www-authenticate"]
    return any(_says_invalid(value) for value in challenges[:_MOST] if len(value) <= _LONGEST)


def _says_invalid(value: bytes) -> bool:
    plain = _QUOTED.sub(_unquoted, value)
    for bearer in _BEARER.finditer(plain):
        end = _NEXT_SCHEME.search(plain, bearer.end())
        parameters = plain[bearer.end() : end.start() if end else len(plain)]
        if _INVALID.search(parameters):
            return True
    return False


def _unquoted(quoted: re.Match[bytes]) -> bytes:
    """Return the quoted text if it reads the same without quotes; else something harmless."""
    text = quoted[1]
    return text if text == b"invalid_token" else b"-"
