"""What it takes to talk to identity providers, and to know who signed."""

from collections.abc import Mapping
from typing import Protocol

from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.oidc.keys import Algorithm, JwksDocument, KeySet, SignedToken
from gateway.secret import PrivateKeyPem


class BackChannel(Protocol):
    """HTTPS to providers: no redirects, no cookies, no environment proxies, bounded (F2, H20)."""

    async def send(self, request: BackChannelRequest) -> BackChannelAnswer:
        """Return any complete answer, whatever its status.

        Raises `Unavailable(PROVIDER_UNAVAILABLE)` when there is none in time or it is too large.
        """
        ...


class Jose(Protocol):
    """Signatures (RFC 7515, 7517, 7518). Says who signed; the rules on claims are in `oidc/`."""

    def read_keys(self, document: JwksDocument) -> KeySet:
        """Keep the keys fit for signatures (F5, F8); `Refused(PROVIDER_METADATA)` if not a JWKS."""
        ...

    def verify(self, token: str, keys: KeySet, algorithms: frozenset[Algorithm]) -> SignedToken:
        """Check a compact JWS against keys we hold; header keys and URLs are ignored (F3).

        Raises `NoMatchingKey` (a `Refused`) when no key could have signed it, so that the caller
        may fetch the keys again; `Refused(ID_TOKEN_SIGNATURE | ID_TOKEN_MALFORMED)` otherwise.
        """
        ...

    def verify_mac(self, token: str, secret: str, algorithm: Algorithm) -> SignedToken:
        """Check an HMAC-signed token; only where configuration names an HS algorithm (G7)."""
        ...

    def sign(
        self,
        claims: Mapping[str, str | int],
        key: PrivateKeyPem,
        algorithm: Algorithm,
        key_id: str | None,
    ) -> str:
        """Return a compact JWS over the claims (`private_key_jwt`, RFC 7523)."""
        ...
