"""What lies in the revocation queue: a refresh token to give back, sealed under the key ring.

    entry = since when (epoch seconds, decimal) ‖ "." ‖ sealed envelope

There is no cookie any more to seal it with, which is why nothing else lies there (ADR 0024). The
time in front is for whoever cannot open the entry: another replica may know its key, or a newer
release its format, so it is left alone, but not for ever. Nothing else is believed of it.
"""

import json
import re
from dataclasses import dataclass, field

from gateway.secret import RefreshToken
from gateway.session.sealing import CannotOpen, KeyRing

MOST_OCTETS = 65536
"""The longest entry that is opened: a token of 16 KiB, sealed and written as text, fits (F37)."""

_PURPOSE = "revocation"
_ENTRY = re.compile(rb"([0-9]{1,12})\.([A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A refresh token of a session that is over, and what the audit log is told with it.

    It goes to `issuer` and to nobody else. `since` is when it was given back, in epoch seconds.
    """

    provider: str
    issuer: str
    token: RefreshToken
    since: float
    subject: str = field(repr=False)
    session: str = field(repr=False)  # the public session id


def seal(ring: KeyRing, given_back: GivenBack) -> bytes:
    """Return the entry; each call makes another one."""
    members = {
        "provider": given_back.provider,
        "issuer": given_back.issuer,
        "token": given_back.token.reveal(),
        "since": given_back.since,
        "subject": given_back.subject,
        "session": given_back.session,
    }
    envelope = ring.seal_envelope(_PURPOSE, json.dumps(members, separators=(",", ":")).encode())
    return b"%d.%b" % (max(0, int(given_back.since)), envelope.encode())


def unseal(ring: KeyRing, entry: bytes) -> GivenBack:
    """Undo `seal`; raises `CannotOpen` for what was not sealed by us, or not by this release."""
    _, envelope = _split(entry)
    _, plain = ring.open_envelope(_PURPOSE, envelope.decode())
    try:
        members = json.loads(plain)
        return GivenBack(
            provider=members["provider"],
            issuer=members["issuer"],
            token=RefreshToken(members["token"]),
            since=members["since"],
            subject=members["subject"],
            session=members["session"],
        )
    except (KeyError, TypeError, ValueError):
        raise CannotOpen from None  # written by a release whose entries have other members


def written_at(entry: bytes) -> float | None:
    """Return when an entry claims to have been made; None when it has not even the shape of one."""
    try:
        seconds, _ = _split(entry)
    except CannotOpen:
        return None
    return float(seconds)


def _split(entry: bytes) -> tuple[bytes, bytes]:
    found = _ENTRY.fullmatch(entry) if len(entry) <= MOST_OCTETS else None
    if found is None:
        raise CannotOpen
    return found[1], found[2]
