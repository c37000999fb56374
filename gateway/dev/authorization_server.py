"""Authlib's authorization server, bound to our records, our keys and Starlette's responses."""

import json
import logging
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, UnsupportedResponseTypeError
from starlette.responses import Response

from gateway.dev.accounts import DevProviderSettings
from gateway.dev.client_authentication import authenticate_client
from gateway.dev.grants import CodeGrant, IdTokens, RotatingRefreshGrant, S256Only
from gateway.dev.parameters import ProviderRequest, only_once
from gateway.dev.records import ACCESS_TOKEN, REFRESH_TOKEN, Grant, Records, Registered
from gateway.dev.signing import SigningKeys
from gateway.dev.token_status import Introspection, Revocation


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """Authlib's server over our records. Everything it does is synchronous and in one step."""

    def __init__(self, settings: DevProviderSettings, records: Records, keys: SigningKeys) -> None:
        super().__init__()
        logging.getLogger("authlib").setLevel(logging.INFO)  # below that it writes tokens down
        self.settings = settings
        self.records = records
        self.keys = keys
        id_tokens = IdTokens(settings, records, keys)
        self.register_grant(CodeGrant, [S256Only(required=True), id_tokens])
        self.register_grant(RotatingRefreshGrant, [id_tokens])
        self.register_endpoint(Revocation)
        self.register_endpoint(Introspection)

    def create_oauth2_request(self, request: ProviderRequest) -> ProviderRequest:
        """Requests come ready-made: reading a body is asynchronous, Authlib is not."""
        return request

    def handle_response(
        self, status: int, body: object, headers: list[tuple[str, str]]
    ) -> Response:
        """Return the HTTP response to Authlib's answer."""
        content = json.dumps(body) if isinstance(body, dict) else ""
        response = Response(content, status)
        for name, value in headers:
            response.headers[name] = value
        return response

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def query_client(self, client_id: str) -> Registered | None:
        """Return the registered client."""
        return self.records.client(client_id)

    def authenticate_client(self, request: ProviderRequest, *_: object) -> Registered:
        """Return the client that proved who it is, the same way at every endpoint."""
        only_once(request)
        return authenticate_client(request, self.settings, self.records)

    def generate_token(self, *, user: Grant, scope: str, **_: object) -> dict[str, Any]:
        """Return a token answer; `user` is the grant the tokens belong to."""
        return {
            "access_token": self._access_token(user, scope),
            "token_type": "Bearer",
            "expires_in": self.settings.access_token_lifetime,
            "refresh_token": self.records.secret(),
            "scope": scope,
        }

    def _access_token(self, grant: Grant, scope: str) -> str:
        now = int(self.records.clock.now())
        claims = {
            "iss": self.settings.issuer,
            "sub": grant.login.account.sub,
            "aud": self.settings.api_audience,
            "client_id": grant.client_id,
            "scope": scope,
            "jti": self.records.secret(),
            "iat": now,
            "exp": now + self.settings.access_token_lifetime,
            "auth_time": grant.login.auth_time,
        }
        token = self.keys.sign("at+jwt", claims)  # RFC 9068 section 2.1
        self.records.issued.append(token)
        return token

    def save_token(self, token: dict[str, str], request: ProviderRequest) -> None:
        """Remember both tokens. A refresh token keeps the grant's scope (RFC 6749 section 6)."""
        grant: Grant = request.user
        self.records.keep_token(token["access_token"], ACCESS_TOKEN, grant, token["scope"])
        self.records.keep_token(token["refresh_token"], REFRESH_TOKEN, grant, grant.scope)

    def validate_requested_scope(self, scope: str) -> None:
        """Unknown scopes are passed over, as RFC 6749 section 3.3 allows."""

    def get_authorization_grant(self, request: ProviderRequest) -> "CodeGrant":
        """Return the code grant: the one thing there is."""
        if request.payload.response_type != "code":
            # Not with Authlib's text: it would repeat what was sent.
            raise UnsupportedResponseTypeError("that")
        grant: CodeGrant = super().get_authorization_grant(request)
        return grant
