"""The grants: Authlib's, with the rules it leaves to the application.

PKCE for every client and S256 only (RFC 9700 section 2.1.1), codes and refresh tokens that work
once, ID tokens that say when the login was.
"""

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import RSAKey

from gateway.dev.accounts import DevProviderSettings
from gateway.dev.client_authentication import CLIENT_AUTH_METHODS
from gateway.dev.parameters import ProviderRequest
from gateway.dev.records import (
    REFRESH_TOKEN,
    AuthorizationCode,
    Grant,
    Login,
    Records,
    Registered,
    Token,
)
from gateway.dev.signing import SigningKeys


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """Authorization codes (RFC 6749 section 4.1)."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def generate_authorization_code(self) -> str:
        """Return an unguessable code."""
        return self._records.secret()

    def save_authorization_code(self, code: str, request: ProviderRequest) -> None:
        """Remember the code with everything the token request will be held to."""
        login: Login = request.user
        asked = request.payload.data
        grant = Grant(
            client_id=request.client.client_id,
            login=login,
            scope=login.account.grants(request.scope),
            nonce=asked.get("nonce"),
        )
        expires_at = self._records.clock.now() + self.server.settings.code_lifetime
        challenge, method = asked["code_challenge"], asked["code_challenge_method"]
        kept = AuthorizationCode(grant, asked["redirect_uri"], challenge, method, expires_at)
        self._records.keep_code(code, kept)

    def query_authorization_code(self, code: str, client: Registered) -> AuthorizationCode | None:
        """Return the code and spend it: a second look at it is a replay, whatever came of this."""
        return self._records.redeem(code, client)

    def delete_authorization_code(self, authorization_code: AuthorizationCode) -> None:
        """Spent codes stay known, so that a replay is noticed."""

    def authenticate_user(self, authorization_code: AuthorizationCode) -> Grant:
        """Return whose tokens are to be issued."""
        return authorization_code.grant

    @property
    def _records(self) -> Records:
        records: Records = self.server.records
        return records


class RotatingRefreshGrant(RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    """Refresh tokens that work once (RFC 9700 section 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """Return the token if it still works; one that was used before takes its family along."""
        records: Records = self.server.records
        token = records.token(refresh_token)
        if token is None or not token.check_client(self.client):
            return None
        if token.spent:
            records.revoke_grant(token.grant)
        return records.live_token(refresh_token, REFRESH_TOKEN)

    def authenticate_user(self, refresh_token: Token) -> Grant:
        """Return whose tokens are to be issued."""
        return refresh_token.grant

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """Rotate: the old one is spent."""
        refresh_token.spent = True


class S256Only(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    """PKCE as RFC 9700 wants it; Authlib asks only public clients and also takes `plain`."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """Refuse a request without a method, which would mean `plain` or no PKCE at all."""
        if grant.request.payload.only("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with S256 is required")
        super().validate_code_challenge(grant, redirect_uri)


class IdTokens(OpenIDCode):  # type: ignore[misc]  # Authlib has no types
    """ID tokens, at login and at refresh (OpenID Connect Core sections 2 and 12.2)."""

    def __init__(self, settings: DevProviderSettings, records: Records, keys: SigningKeys) -> None:
        super().__init__(require_nonce=False)
        self._settings = settings
        self._records = records
        self._keys = keys

    def exists_nonce(self, _nonce: str, _request: ProviderRequest) -> bool:
        """Reloading a login page is no attack; whether a nonce is new is for the client to say."""
        return False

    def encode_id_token(self, token: dict[str, Any], request: ProviderRequest) -> str:
        """Return the ID token, `at_hash` included."""
        encoded: str = super().encode_id_token(token, request)
        self._records.issued.append(encoded)
        return encoded

    def resolve_client_private_key(self, _client: Registered) -> RSAKey:
        """Return the key that signs."""
        return self._keys.current

    def get_encode_header(self, _client: Registered) -> dict[str, str]:
        """Return the JOSE header, with the key's id."""
        return self._keys.header

    def get_compatible_claims(self, request: ProviderRequest) -> dict[str, Any]:
        """Return the claims that do not depend on scopes; a refresh keeps `auth_time`."""
        grant: Grant = request.user
        now = int(self._records.clock.now())
        claims = {
            "iss": self._settings.issuer,
            "aud": grant.client_id,
            "iat": now,
            "exp": now + self._settings.id_token_lifetime,
            "auth_time": grant.login.auth_time,
            "sid": grant.login.sid,
        }
        return {**claims, "acr": grant.login.acr} if grant.login.acr else claims

    def get_authorization_code_claims(
        self, authorization_code: AuthorizationCode
    ) -> dict[str, str]:
        """Return the nonce, which a refreshed ID token does not repeat (Core section 12.2)."""
        nonce = authorization_code.grant.nonce
        return {"nonce": nonce} if nonce else {}

    def generate_user_info(self, user: Grant, scope: str) -> dict[str, object]:
        """Return what the scopes say about the person."""
        return user.login.account.claims(scope)
