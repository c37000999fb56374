"""Checking an access token as a resource server has to (RFC 9068 section 4, H19)."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from gateway.ports import Clock

Jwks = Callable[[], Awaitable[KeySetSerialization]]
"""Returns the issuer's JWKS document (RFC 7517 section 5)."""

_ALGORITHMS = ("RS256",)
_TYPES = ("at+jwt", "application/at+jwt")
_LEEWAY = 5.0  # seconds two clocks may differ


class BadToken(Exception):
    """The token is not one for us. The text says which check failed, never what was in it."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that passed every check."""

    value: str = field(repr=False)
    subject: str
    client_id: str
    scopes: frozenset[str]
    claims: dict[str, Any] = field(repr=False)


class AccessTokens:
    """One API's door: who issues tokens for it, and what it is called in them."""

    def __init__(self, issuer: str, audience: str, keys: Jwks, clock: Clock) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._clock = clock

    async def check(self, value: str) -> AccessToken:
        """Return the token; raises `BadToken`."""
        claims = await self._signed_claims(value)
        audience = claims.get("aud")
        if claims.get("iss") != self._issuer:
            raise BadToken("issuer")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise BadToken("audience")
        now = self._clock.now()
        if not _is_time(claims.get("exp")) or claims["exp"] + _LEEWAY <= now:
            raise BadToken("expired")
        if not _is_time(claims.get("iat")) or claims["iat"] - _LEEWAY > now:
            raise BadToken("issued in the future")
        words = [claims.get(name) for name in ("sub", "client_id", "jti")]
        if not all(isinstance(word, str) and word for word in words):
            raise BadToken("a required claim is missing")
        scope = claims.get("scope", "")
        if not isinstance(scope, str):
            raise BadToken("scope")
        return AccessToken(
            value, claims["sub"], claims["client_id"], frozenset(scope.split()), claims
        )

    async def _signed_claims(self, value: str) -> dict[str, Any]:
        keys = KeySet.import_key_set(await self._keys())
        try:
            token = jwt.decode(value, keys, _ALGORITHMS)
        except (JoseError, ValueError):
            raise BadToken("signature") from None
        kind = token.header.get("typ")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise BadToken("type")  # an ID or logout token is signed by the same key (G17)
        return dict(token.claims)


def _is_time(value: object) -> bool:
    # JSON as Python reads it has NaN and Infinity, which no comparison would catch.
    return isinstance(value, int | float) and math.isfinite(value) and not isinstance(value, bool)
