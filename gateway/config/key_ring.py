"""The key ring: keys that are good enough to start with (D16, ASVS 13.3.1 and 13.2.3)."""

import base64
import binascii
import re
from itertools import pairwise

from gateway.config.findings import Path, Report
from gateway.config.references import References
from gateway.config.sections import KeySection
from gateway.secret import KeyMaterial
from gateway.session.sealing import RingKey

SHORTEST = 32
"""Octets; what AES-256 and HKDF-SHA-256 are worth."""

FEWEST_DISTINCT = 16
"""Different octets in a key. 32 random ones have about 30; fewer than 16 do not happen."""

_HOW = "make one with `openssl rand -base64 32`"
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}|[A-Za-z0-9_-]+={0,2}")
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")

# Six letters and more: shorter ones turn up in the base64 of good keys.
_WORDS = (
    b"change-me",
    b"change_me",
    b"changeit",
    b"changeme",
    b"changethis",
    b"default",
    b"example",
    b"gateway",
    b"insecure",
    b"letmein",
    b"passw0rd",
    b"passwd",
    b"password",
    b"placeholder",
    b"qwerty",
    b"replace",
    b"sample",
    b"secret",
    b"session",
    b"supersecret",
    b"testing",
    b"your-key",
    b"your_key",
    b"yourkey",
    b"123456789",
    b"abcdefgh",
)


def decode_key(octets: bytes) -> bytes:
    """Return the key that was written as hex, base64 or base64url, or the octets themselves.

    The first reading that fits counts, in this order, so that a key always means the same.
    """
    try:
        text = octets.decode("ascii").strip()
    except UnicodeDecodeError:
        return octets
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (binascii.Error, ValueError):
            return octets
    return octets


def weakness(written: bytes, key: bytes) -> str | None:
    """Return what is wrong with a key, as it was written and as it was decoded, or None."""
    if len(key) < SHORTEST:
        return f"holds {len(key)} bytes, and at least {SHORTEST} are needed; {_HOW}"
    for text in (written.lower(), key.lower()):
        if any(word in text for word in _WORDS):
            return f"contains a word that guessers try first; {_HOW}"
    if key == written and key.isascii() and re.search(rb"[ ,;]", key):
        return f"reads like a sentence, which is easier to guess than it looks; {_HOW}"
    if _repeats(key) or _counts(key):
        return f"follows a pattern; {_HOW}"
    if len(set(key)) < FEWEST_DISTINCT:
        return f"is made of very few different bytes; {_HOW}"
    return None


def _repeats(key: bytes) -> bool:
    half = len(key) // 2
    return any(
        all(key[at] == key[at - length] for at in range(length, len(key)))
        for length in range(1, half + 1)
    )


def _counts(key: bytes) -> bool:
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    return len(steps) == 1


def build_ring(
    entries: tuple[tuple[Path, KeySection], ...], references: References, report: Report
) -> tuple[RingKey, ...]:
    """Return the ring; whatever makes a key unfit is reported."""
    ring: list[RingKey] = []
    ids: set[str] = set()
    for path, entry in entries:
        if not _KEY_ID.fullmatch(entry.id):
            report.error(
                (*path, "id"), "must be 1 to 32 letters, digits, dots, hyphens or underscores"
            )
        if entry.id in ids:
            report.error((*path, "id"), "another key has this id; ids are never used twice")
        ids.add(entry.id)
        place = (*path, "secret")
        written = references.octets(entry.secret, place)
        if written is None:
            continue
        decoded = decode_key(written)
        material = KeyMaterial(decoded)
        if wrong := weakness(written, decoded):
            report.error(place, wrong)
        elif any(key.material == material for key in ring):
            report.error(place, "is the same key as an earlier one; a rotation needs a new key")
        ring.append(RingKey(entry.id, material))
    return tuple(ring)
