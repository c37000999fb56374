"""What an upstream says about the token it was given (RFC 6750 section 3.1)."""

import re

from gateway.edge.messages import Fields

_UNAUTHORIZED = 401
_LONGEST, _MOST = 1024, 2  # octets of a field, and fields: nobody has more to say about a token

# Everything below looks at each octet a fixed number of times: an API, or whoever can make it
# answer, must not hold the process up. So nothing is tried twice: a quote that is not closed takes
# the rest with it, and repetitions are possessive.
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)("|.?\Z)', re.DOTALL)
# RFC 9110 section 11.2: a scheme stands at the beginning or behind a comma, alone or before its
# first parameter; further parameters follow behind commas. What is between quotes is taken out
# before, so that every comma is one of these.
_SCHEME = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++)(?:[ \t]++(?!=)|\Z)")
_INVALID = re.compile(rb"error[ \t]*+=[ \t]*+invalid_token", re.IGNORECASE)


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
    is_bearer = False
    for element in _QUOTED.sub(_unquoted, value).split(b","):
        parameter = element.strip(b" \t")
        if scheme := _SCHEME.match(parameter):
            is_bearer = scheme[1].lower() == b"bearer"
            parameter = parameter[scheme.end() :]
        if is_bearer and _INVALID.fullmatch(parameter):
            return True
    return False


def _unquoted(quoted: re.Match[bytes]) -> bytes:
    """Return the quoted text if it reads the same without quotes; else something harmless."""
    is_plain = quoted[1] == b"invalid_token" and quoted[2] == b'"'
    return b"invalid_token" if is_plain else b"-"
