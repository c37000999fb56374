"""The sample API without a gateway before it, and a hand that signs tokens for it."""

from typing import Any

import httpx2
from joserfc.jwk import KeySetSerialization

from gateway.dev.sample_api import create_sample_api
from gateway.dev.signing import SigningKeys
from tests.support.clock import TurnableClock

ISSUER = "http://127.0.0.1:9400"
AUDIENCE = "sample-api"
OURS = SigningKeys()


class Api:
    """The API, a client for it, and a hand that can sign for its issuer."""

    def __init__(self) -> None:
        self.clock = TurnableClock()
        self.app = create_sample_api(ISSUER, AUDIENCE, self._keys, clock=self.clock, pause=0.0)
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url="http://api.internal"
        )

    async def _keys(self) -> KeySetSerialization:
        return OURS.public()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.clock.now())
        claims = {
            "iss": ISSUER,
            "sub": "user-1815",
            "aud": AUDIENCE,
            "client_id": "sample-app",
            "scope": "openid orders.read",
            "jti": "j-1",
            "iat": now,
            "exp": now + 300,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changes: Any) -> str:
        return OURS.sign("at+jwt", self.claims(**changes))

    async def get(self, path: str, token: str | None) -> httpx2.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return await self.http.get(path, headers=headers)
