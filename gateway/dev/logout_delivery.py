"""Carries the development provider's logout tokens to its clients (Back-Channel Logout 2.5)."""

from urllib.parse import urlencode

from gateway.adapters.provider_http import BackChannelSettings, ProviderHttp
from gateway.errors import Code, Unavailable
from gateway.oidc.back_channel import BackChannelRequest

_FORM = ((b"content-type", b"application/x-www-form-urlencoded"),)


async def deliver(uri: str, logout_token: str) -> None:
    """Post the token, as a real provider does; raises `Unavailable` unless the client took it."""
    body = urlencode({"logout_token": logout_token}).encode("ascii")
    # Opened for each: there are few, and nobody would close it.
    client = ProviderHttp(BackChannelSettings())
    try:
        answer = await client.send(BackChannelRequest("POST", uri, _FORM, body))
    finally:
        await client.aclose()
    if answer.status not in (200, 204):
        note = f"a client answered {answer.status} to its logout token"
        raise Unavailable(Code.PROVIDER_UNAVAILABLE, note=note)
