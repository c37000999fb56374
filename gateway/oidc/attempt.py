"""One login attempt, between the click and the provider's answer.

An attempt is stored nowhere: it travels inside the sealed `state`, and the PKCE verifier and the
nonce that belong to it follow from secrets the browser and the gateway hold (E3).
"""

import base64
import hashlib
import json
from dataclasses import dataclass

from gateway.errors import Code, Refused
from gateway.oidc.json_object import number
from gateway.secret import CodeVerifier

MAX_STATE = 4096
"""Characters of `state` that are read back; a longer one is never sent."""

_VERSION = 1
_CLOCKS_APART = 60.0  # seconds two of our own hosts may disagree


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """What a login was started for. `issued_at` is epoch seconds, `max_age` seconds."""

    attempt_id: str
    provider: str
    return_to: str
    issued_at: float
    restarts: int = 0
    prompt: str | None = None
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()


def encode(attempt: LoginAttempt) -> bytes:
    """Return the attempt as octets, short because they end in a URL; they need sealing."""
    parts = [
        _VERSION,
        attempt.attempt_id,
        attempt.provider,
        attempt.return_to,
        attempt.issued_at,
        attempt.restarts,
        attempt.prompt,
        attempt.max_age,
        list(attempt.acr_values),
    ]
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()


def decode(octets: bytes) -> LoginAttempt:
    """Undo `encode`; `Refused(STATE_UNKNOWN)` for garbage and for another version's attempts."""
    try:
        return _attempt(json.loads(octets.decode()))
    except (ValueError, TypeError, RecursionError):
        raise Refused(Code.STATE_UNKNOWN, note="the state holds no login attempt") from None


def is_expired(attempt: LoginAttempt, now: float, ttl: float) -> bool:
    """Whether the attempt is older than `ttl` seconds, or claims to be from the future (E18)."""
    age = now - attempt.issued_at
    return not -_CLOCKS_APART <= age <= ttl


def code_challenge(verifier: CodeVerifier) -> str:
    """Return the S256 challenge (RFC 7636 section 4.2); `plain` does not exist here (E1, E2)."""
    digest = hashlib.sha256(verifier.reveal().encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _attempt(parts: list[object]) -> LoginAttempt:
    version, attempt_id, provider, return_to, issued_at, restarts, prompt, max_age, acr = parts
    when = number(issued_at)
    if version != _VERSION or when is None or not isinstance(acr, list):
        raise ValueError
    return LoginAttempt(
        attempt_id=_text(attempt_id),
        provider=_text(provider),
        return_to=_text(return_to),
        issued_at=when,
        restarts=_count(restarts),
        prompt=None if prompt is None else _text(prompt),
        max_age=None if max_age is None else _count(max_age),
        acr_values=tuple(_text(value) for value in acr),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half a character is a ValueError here; `encode` has written none
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError
    return value
