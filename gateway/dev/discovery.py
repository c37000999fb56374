"""What the provider publishes about itself."""

from typing import Any

from gateway.dev.accounts import DevProviderSettings
from gateway.dev.authorization import RESPONSE_MODES
from gateway.dev.client_authentication import CLIENT_AUTH_METHODS
from gateway.dev.signing import ALGORITHM


def metadata(settings: DevProviderSettings) -> dict[str, Any]:
    """Return the provider's metadata (OpenID Connect Discovery section 3, RFC 8414)."""
    paths = {
        "authorization_endpoint": "/authorize",
        "token_endpoint": "/token",
        "userinfo_endpoint": "/userinfo",
        "jwks_uri": "/jwks",
        "revocation_endpoint": "/revoke",
        "introspection_endpoint": "/introspect",
        "end_session_endpoint": "/logout",
    }
    return {
        "issuer": settings.issuer,
        **{name: settings.issuer + path for name, path in paths.items()},
        "scopes_supported": settings.scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": CLIENT_AUTH_METHODS,
        "revocation_endpoint_auth_methods_supported": CLIENT_AUTH_METHODS,
        "introspection_endpoint_auth_methods_supported": CLIENT_AUTH_METHODS,
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
