"""The provider's signing keys: RS256 only, with a key id, and rotation on demand."""

from collections.abc import Iterable, Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization, RSAKey

from gateway.dev.entries import Entry

ALGORITHM = "RS256"
_BITS = 2048


class SigningKeys:
    """The newest key signs; older ones stay published until they are forgotten."""

    def __init__(self, keys: Iterable[RSAKey] = ()) -> None:
        """`keys` are those of an earlier run, the newest first; without any, a new one is made."""
        self._keys = list(keys) or [_new_key()]

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

    def written(self) -> dict[str, object]:
        """Return the document to keep, private members included: the newest key first."""
        return {"keys": [key.as_dict(private=True) for key in self._keys]}

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


def read_keys(document: dict[str, object]) -> list[RSAKey]:
    """Return the keys `SigningKeys.written` wrote; raises `ValueError` for anything else."""
    try:
        keys = [RSAKey.import_key({**one.members()}) for one in Entry(document).entries("keys")]
        for key in keys:
            _try(key)
    except JoseError:
        raise ValueError("not a signing key") from None
    return keys


def _try(key: RSAKey) -> None:
    """Sign and verify as it will be done; raises `JoseError` or `ValueError` if that fails."""
    token = jwt.encode({"alg": ALGORITHM, "kid": str(key.kid)}, {}, key, [ALGORITHM])
    published = KeySet.import_key_set(KeySet([key]).as_dict(private=False))
    jwt.decode(token, published, [ALGORITHM])


def _new_key() -> RSAKey:
    return RSAKey.generate_key(_BITS, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
