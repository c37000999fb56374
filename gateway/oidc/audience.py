"""Whom a signed token is meant for: one rule for ID tokens and logout tokens (Core 3.1.3.7)."""

from collections.abc import Mapping

from gateway.oidc.client import Client


def audience_fault(claims: Mapping[str, object], client: Client) -> str | None:
    """Return the rule that `aud` or `azp` breaks, or None: it is for us, and for nobody strange."""
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if client.client_id not in named:
        return "aud does not contain our client_id"
    trusted = {client.client_id, *client.trusted_audiences}
    if not all(isinstance(name, str) and name in trusted for name in named):
        return "aud contains a party that is not trusted"
    if "azp" in claims and claims["azp"] != client.client_id:
        return "azp is another client"
    return None
