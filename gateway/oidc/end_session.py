"""Logging out at the provider, too (OpenID Connect RP-Initiated Logout 1.0)."""

from gateway.oidc.client import Client
from gateway.oidc.metadata import Metadata
from gateway.oidc.parameters import with_parameters
from gateway.secret import IdToken

LONGEST_URL = 4096
"""Characters; beyond that providers and what stands before them answer 414 or worse."""


def end_session_url(
    metadata: Metadata, client: Client, *, id_token: IdToken | None, state: str
) -> str | None:
    """Return where to send the browser to end the provider's session; None if nowhere (J2).

    `id_token_hint` lets the provider skip its question, but it passes through the browser and may
    be large: it is left out when the operator wants so, and when the URL would grow too long.
    `state` goes along only with an address to come back to (RP-Initiated Logout section 2).
    """
    endpoint = metadata.end_session_endpoint
    if endpoint is None:
        return None
    parameters = {"client_id": client.client_id}
    if client.post_logout_redirect_uri is not None:
        parameters["post_logout_redirect_uri"] = client.post_logout_redirect_uri
        parameters["state"] = state
    without_hint = with_parameters(endpoint, parameters.items())
    if id_token is None or not client.send_id_token_hint:
        return without_hint
    hinted = {"id_token_hint": id_token.reveal(), **parameters}
    with_hint = with_parameters(endpoint, hinted.items())
    return with_hint if len(with_hint) <= LONGEST_URL else without_hint
