"""Revocation (RFC 7009) and introspection (RFC 7662) of the provider's tokens."""

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from gateway.dev.client_authentication import CLIENT_AUTH_METHODS
from gateway.dev.parameters import ProviderRequest
from gateway.dev.records import ACCESS_TOKEN, Records, Registered, Token

REVOCATION = "revocation"
INTROSPECTION = "introspection"


class _OverRecords:
    """What both endpoints share: any token is found by its value, whatever the hint says."""

    server: Any
    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def check_params(self, request: ProviderRequest, _client: Registered) -> None:
        """Ask for a token. A hint is a hint: an unknown one is ignored (RFC 7009 section 2.1)."""
        if "token" not in request.form:
            raise InvalidRequestError("The token is missing")

    def query_token(self, token_string: str, _hint: str | None) -> Token | None:
        """Return the token, whatever its state."""
        return self.records.token(token_string)

    @property
    def records(self) -> Records:
        """The provider's memory."""
        records: Records = self.server.records
        return records


class Revocation(_OverRecords, RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """`POST /revoke`: 200 for a token nobody knows, too (RFC 7009 section 2.2)."""

    def revoke_token(self, token: Token, _request: ProviderRequest) -> None:
        """Revoke it, with all that hangs on it."""
        self.records.revoke(token)


class Introspection(_OverRecords, IntrospectionEndpoint):  # type: ignore[misc]  # as above
    """`POST /introspect`."""

    def check_permission(self, token: Token, client: Registered, _request: ProviderRequest) -> bool:
        """Whether it is the client's own token, or one for the API that asks."""
        audience: str = self.server.settings.api_audience
        return token.check_client(client) or client.client_id == audience

    def introspect_token(self, token: Token) -> dict[str, Any]:
        """Return the members RFC 7662 section 2.2 names."""
        login = token.grant.login
        return {
            "active": True,
            "iss": self.server.settings.issuer,
            "sub": login.account.sub,
            "username": login.account.username,
            "client_id": token.grant.client_id,
            "scope": token.scope,
            "iat": token.issued_at,
            "exp": token.expires_at,
            **(
                {"aud": self.server.settings.api_audience, "token_type": "Bearer"}
                if token.kind == ACCESS_TOKEN
                else {}
            ),
        }
