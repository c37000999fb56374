"""The provider's signing keys: RS256 only, with a key id, and rotation on demand."""

from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization, RSAKey

ALGORITHM = "RS256"
_BITS = 2048


class SigningKeys:
    """The newest key signs; older ones stay published until they are forgotten."""

    def __init__(self) -> None:
        self._keys = [_new_key()]

    @property
    def current(self) -> RSAKey:
        """The private key that signs now."""
        return self._keys[0]

    @property
    def header(self) -> dict[str, str]:
        """The JOSE header members every token of ours starts with."""
        return {"alg": ALGORITHM, "kid": str(self.current.kid)}

    def rotate(self, *, forget_old: bool = False) -> None:
        """Sign with a new key from now on; `forget_old` also stops publishing the others."""
        kept = [] if forget_old else self._keys
        self._keys = [_new_key(), *kept]

    def public(self) -> KeySetSerialization:
        """Return the JWKS document (RFC 7517 section 5), public members only."""
        return KeySet(list(self._keys)).as_dict(private=False)

    def sign(self, kind: str, claims: Mapping[str, object]) -> str:
        """Return a compact JWS whose `typ` says what it is for (RFC 8725 section 3.11)."""
        return jwt.encode({**self.header, "typ": kind}, dict(claims), self.current, [ALGORITHM])

    def verify(self, token: str, kind: str) -> dict[str, Any] | None:
        """Return the claims of a token we signed as this `typ`, expired or not; else None."""
        try:
            read = jwt.decode(token, KeySet(list(self._keys)), [ALGORITHM])
        except (JoseError, ValueError):
            return None
        return dict(read.claims) if read.header.get("typ") == kind else None


def _new_key() -> RSAKey:
    return RSAKey.generate_key(_BITS, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
