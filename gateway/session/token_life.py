"""When an access token is good, when it is due, and when it is neither. Pure.

The times are ours: `received_at` plus what the provider said, by our own clock (H6, H15).
"""

from gateway.ports import LookupId
from gateway.session.model import Tokens

SAFETY = 5.0
"""Seconds of life a token must have left to be sent to an upstream.

Half of its life, where that is less: a token that is born with seconds to live would never be sent,
and each would have the next one fetched, without end (H6).
"""

LIFETIME_SHARE = 0.1
"""A token that lives long is refreshed when this part of its life is left, if that is more."""

_SPREAD = 0.2  # the part of the margin over which the sessions of one moment are spread


def good_until(tokens: Tokens) -> float:
    """Return until when the access token may be sent to an upstream, in epoch seconds."""
    return tokens.expires_at - min(SAFETY, _lifetime(tokens) / 2)


def is_good(tokens: Tokens, now: float) -> bool:
    """Whether the access token may be sent to an upstream."""
    return now < good_until(tokens)


def is_due(tokens: Tokens, lookup: LookupId, now: float, margin: float) -> bool:
    """Whether it is time to refresh, a margin (seconds) ahead or a tenth of a long life (H11).

    Always before it is good no more, so that what is not due may be sent.

    Sessions that began together, after an outage or at nine in the morning, are spread: each by
    its own lookup id, so that every process sees the same moment. A token that lives shorter than
    the margin would be due on arrival, on every call.
    """
    lifetime, left = _lifetime(tokens), tokens.expires_at - now
    ahead = max(margin, SAFETY, lifetime * LIFETIME_SHARE)
    if left > ahead * (1 + _SPREAD):
        return False  # as for nearly every call
    return left <= min(ahead * (1 + _SPREAD * _share(lookup)), lifetime / 2)


def _lifetime(tokens: Tokens) -> float:
    return tokens.expires_at - tokens.received_at


def _share(lookup: LookupId) -> float:
    """Return a number from 0 to 1 that follows from the lookup id, which is random hex."""
    try:
        return int(lookup[:4], 16) / 0xFFFF
    except ValueError:
        return 0.0
