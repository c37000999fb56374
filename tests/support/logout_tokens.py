"""A provider's side of single logout: tokens, honest unless a test spoils them, and their post."""

from itertools import count
from typing import Any
from urllib.parse import urlencode

from gateway import composition
from gateway.adapters.jose import JoserfcJose
from gateway.oidc.keys import Algorithm, KeySet, SignedToken
from tests.support.asgi import Answer, call
from tests.support.provider import Claims, FakeProvider, sign
from tests.support.world import BASE, World, settings_of

EVENT = "http://schemas.openid.net/event/backchannel-logout"
FORM = b"application/x-www-form-urlencoded"

FRAMED = {"main": {**BASE["providers"]["main"], "frontchannel_logout": True}}
"""A provider that may log out through frames."""

_JTI = count()


class CountingJose(JoserfcJose):
    """Counts the signatures it was asked to check."""

    checks = 0

    def verify(self, token: str, keys: KeySet, algorithms: frozenset[Algorithm]) -> SignedToken:
        """Check it, and count that."""
        self.checks += 1
        return super().verify(token, keys, algorithms)


def framed() -> World:
    """A world whose provider may log out through frames."""
    return World(settings_of({"providers": FRAMED}))


def logout_claims(provider: FakeProvider, **changes: Any) -> Claims:
    """What this provider says of its one session; `...` leaves a claim out."""
    now = int(provider.clock.now())
    claims: Claims = {
        "iss": provider.issuer,
        "aud": provider.client_id,
        "sub": provider.subject,
        "sid": provider.sid,
        "iat": now,
        "exp": now + 120,
        "jti": f"jti-{next(_JTI)}",
        "events": {EVENT: {}},
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


def logout_token(provider: FakeProvider, typ: str | None = "logout+jwt", **changes: Any) -> str:
    """A signed logout token."""
    return sign(logout_claims(provider, **changes), header={"typ": typ} if typ else None)


async def post(
    world: World,
    body: bytes,
    *,
    name: str = "main",
    content_type: bytes = FORM,
    method: str = "POST",
    gateway: composition.Gateway | None = None,
    peer: str = "192.0.2.10",
) -> Answer:
    """Send exactly this to the endpoint, as somebody without any cookie."""
    headers = [(b"host", b"app.example"), (b"content-type", content_type)]
    target = f"/bff/backchannel-logout/{name}".encode()
    public = (gateway or world.gateway).public
    return await call(public, method, target, headers, body, peer=peer)


async def deliver(world: World, token: str, **how: Any) -> Answer:
    """Send a token as a provider does (Back-Channel Logout section 2.5)."""
    return await post(world, urlencode({"logout_token": token}).encode(), **how)


async def frame(world: World, query: str, name: str = "main", **how: Any) -> Answer:
    """Load the front-channel address as a frame on the provider's page does: no cookie comes."""
    headers = [
        (b"host", b"app.example"),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-mode", b"navigate"),
        (b"sec-fetch-dest", b"iframe"),
    ]
    target = f"/bff/frontchannel-logout/{name}?{query}".encode()
    return await call(world.gateway.public, "GET", target, headers, peer="198.51.100.9", **how)
