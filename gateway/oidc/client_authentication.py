"""How the gateway proves at a provider who it is (RFC 6749 section 2.3, RFC 7523 section 2.2)."""

import base64
from urllib.parse import quote_plus

from gateway.oidc.back_channel import BackChannelRequest
from gateway.oidc.client import Client, ClientAuth
from gateway.oidc.parameters import form

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

Pairs = list[tuple[str, str]]


def authenticated(
    client: Client, url: str, pairs: Pairs, assertion: str | None
) -> BackChannelRequest:
    """Return a form POST with the client's one way of authenticating, never a second (E17).

    `assertion` is a fresh client assertion; only `private_key_jwt` needs and uses it.
    """
    fields = [
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"accept", b"application/json"),
    ]
    proof: Pairs = []
    match client.auth:
        case ClientAuth.CLIENT_SECRET_BASIC:
            fields.append((b"authorization", _basic(client)))
        case ClientAuth.CLIENT_SECRET_POST:
            proof = [("client_id", client.client_id), ("client_secret", _secret(client))]
        case ClientAuth.PRIVATE_KEY_JWT:
            if assertion is None:
                raise ValueError("private_key_jwt without an assertion")
            proof = [
                ("client_id", client.client_id),
                ("client_assertion_type", _ASSERTION_TYPE),
                ("client_assertion", assertion),
            ]
    return BackChannelRequest("POST", url, tuple(fields), form([*pairs, *proof]).encode("ascii"))


def _basic(client: Client) -> bytes:
    # Both halves are form-encoded first (H1, RFC 6749 section 2.3.1): a colon in the id, or any
    # non-ASCII character in the secret, would otherwise mean something else at the other end.
    name, word = (quote_plus(half, safe="") for half in (client.client_id, _secret(client)))
    return b"Basic " + base64.b64encode(f"{name}:{word}".encode("ascii"))


def _secret(client: Client) -> str:
    if client.secret is None:
        raise ValueError("a client that authenticates by secret has none")
    return client.secret.reveal()
