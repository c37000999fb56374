"""Types around signatures; the arithmetic is in `adapters/jose.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from gateway.errors import Code, Refused

JwksDocument = NewType("JwksDocument", bytes)
"""The octets a provider's `jwks_uri` answered (RFC 7517 section 5)."""


class Algorithm(StrEnum):
    """The JWS algorithms an operator may choose from; `none` does not exist here (RFC 8725 3.1)."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"
    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"

    @property
    def is_mac(self) -> bool:
        """Whether the key is a shared secret."""
        return self.value.startswith("HS")


@dataclass(frozen=True, slots=True)
class KeySet:
    """Public keys of one provider, opaque outside `adapters/jose.py`."""

    keys: tuple[object, ...] = field(repr=False)
    key_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token whose signature holds. Its claims are still unchecked.

    Only `adapters/jose.py` makes one (a convention test looks for other makers).
    """

    algorithm: Algorithm
    type: str | None  # the JOSE `typ`, lower case, without `application/`
    claims: Mapping[str, object] = field(repr=False)


class NoMatchingKey(Refused):
    """No key in the set could have made the signature; a rotation may explain it (F4)."""

    def __init__(self, key_id: str | None) -> None:
        super().__init__(Code.ID_TOKEN_SIGNATURE, note="no key matches the token's kid")
        self.key_id = key_id
