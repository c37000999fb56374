"""What the provider remembers: grants, their codes and their tokens.

A grant is everything one login gave to one client. It lives and dies as a whole: a code or a
refresh token that comes a second time was stolen from somebody, and nobody can tell from whom
(RFC 6749 section 4.1.2, RFC 9700 section 4.14.2).

Codes and tokens are only ever compared, so their digests are what is kept.

The methods named `get_…` and `is_…` are what Authlib's grants ask of such records.
"""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

from gateway.dev.accounts import Account, DevProviderSettings
from gateway.ports import Clock, Entropy

ACCESS_TOKEN = "access_token"
REFRESH_TOKEN = "refresh_token"

_KEPT_AFTER_EXPIRY = 3600  # seconds during which a reuse is still told from nonsense


def digest(secret: str) -> str:
    """Return what is kept of a secret. Ours are 256 random bits, so no salt is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Login:
    """Who is logged in at the provider, since when, and the session's public name."""

    account: Account
    auth_time: int
    sid: str
    acr: str | None = None


@dataclass(slots=True)
class Grant:
    """One login's gift to one client."""

    client_id: str
    login: Login
    scope: str
    nonce: str | None
    revoked: bool = False


@dataclass(slots=True)
class AuthorizationCode:
    """An authorization code and what it was issued for."""

    grant: Grant
    redirect_uri: str
    code_challenge: str
    code_challenge_method: str
    expires_at: float
    spent: bool = False

    def get_redirect_uri(self) -> str:
        """Return the redirect URI the token request has to repeat."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the granted scopes."""
        return self.grant.scope


@dataclass(slots=True)
class Token:
    """An access or refresh token. Times are epoch seconds."""

    digest: str
    kind: str
    grant: Grant
    scope: str
    issued_at: int
    expires_at: int
    clock: Clock = field(repr=False)
    spent: bool = False
    revoked: bool = False

    def check_client(self, client: "Registered") -> bool:
        """Whether the token was issued to this client."""
        return self.grant.client_id == client.client_id

    def get_scope(self) -> str:
        """Return the token's scopes."""
        return self.scope

    def is_expired(self) -> bool:
        """Whether its time is over."""
        return self.clock.now() >= self.expires_at

    def is_revoked(self) -> bool:
        """Whether it was revoked, by itself or with its whole grant."""
        return self.revoked or self.spent or self.grant.revoked


@dataclass(frozen=True, slots=True)
class Registered:
    """A client as Authlib asks about it."""

    client_id: str
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]

    def get_client_id(self) -> str:
        """Return the client identifier."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """There is none: every request names its own (OpenID Connect Core section 3.1.2.1)."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return what of the asked scopes the client may have; None when nothing is left."""
        allowed = [one for one in (scope or "").split() if one in self.scopes]
        return " ".join(dict.fromkeys(allowed)) or None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Compare as strings (RFC 9700 section 2.1)."""
        return redirect_uri in self.redirect_uris

    def check_response_type(self, response_type: str) -> bool:
        """Only codes are issued."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Every client may use codes and refresh tokens."""
        return grant_type in ("authorization_code", "refresh_token")


class Records:
    """All codes and tokens, by digest.

    For tests to look through: `issued`, every secret made in this run; `revoked`, the digest of
    every token revoked in it.
    """

    def __init__(self, settings: DevProviderSettings, clock: Clock, entropy: Entropy) -> None:
        self.clock = clock
        self.codes: dict[str, AuthorizationCode] = {}
        self.tokens: dict[str, Token] = {}
        self.issued: list[str] = []
        self.revoked: list[str] = []
        self._settings = settings
        self._entropy = entropy

    def secret(self) -> str:
        """Return a fresh unguessable string and remember that it was issued."""
        value = urlsafe_b64encode(self._entropy.octets(32)).rstrip(b"=").decode()
        self.issued.append(value)
        return value

    def client(self, client_id: str) -> Registered | None:
        """Return the registered client."""
        found = self._settings.client_named.get(client_id)
        if found is None:
            return None
        return Registered(found.client_id, found.redirect_uris, found.scopes)

    def keep_code(self, value: str, code: AuthorizationCode) -> None:
        """Remember a code that is about to be sent."""
        self._sweep()
        self.codes[digest(value)] = code

    def redeem(self, value: str, client: Registered) -> AuthorizationCode | None:
        """Return the code if this client may use it now; it is spent from this moment on.

        A second use revokes everything the first one gave.
        """
        code = self.codes.get(digest(value))
        if code is None or code.grant.client_id != client.client_id:
            return None
        if code.spent:
            self.revoke_grant(code.grant)
            return None
        code.spent = True
        return code if self.clock.now() < code.expires_at else None

    def keep_token(self, value: str, kind: str, grant: Grant, scope: str) -> None:
        """Remember a token that is about to be sent."""
        self._sweep()
        now = int(self.clock.now())
        settings = self._settings
        lifetimes = {
            ACCESS_TOKEN: settings.access_token_lifetime,
            REFRESH_TOKEN: settings.refresh_token_lifetime,
        }
        expires_at = now + lifetimes[kind]
        token = Token(digest(value), kind, grant, scope, now, expires_at, self.clock)
        self.tokens[token.digest] = token

    def token(self, value: str) -> Token | None:
        """Return the token, whatever its state."""
        return self.tokens.get(digest(value))

    def live_token(self, value: str, kind: str) -> Token | None:
        """Return the token if it is of this kind, not expired and not revoked."""
        token = self.token(value)
        if token is None or token.kind != kind or token.is_expired() or token.is_revoked():
            return None
        return token

    def revoke(self, token: Token) -> None:
        """Revoke; with a refresh token goes all that hangs on it (RFC 7009 section 2.1)."""
        if token.kind == REFRESH_TOKEN:
            self.revoke_grant(token.grant)
        elif not token.is_revoked():
            token.revoked = True
            self.revoked.append(token.digest)

    def revoke_grant(self, grant: Grant) -> None:
        """Revoke every token of the grant, those it may still be about to issue included."""
        for token in self.tokens.values():
            if token.grant is grant and not token.is_revoked():
                self.revoked.append(token.digest)
        grant.revoked = True

    def revoke_session(self, sid: str) -> None:
        """Revoke what was granted for the length of a login session only.

        Offline access is meant to outlive it (OpenID Connect Back-Channel Logout section 2.7).
        """
        grants = {id(token.grant): token.grant for token in self.tokens.values()}
        for grant in grants.values():
            if grant.login.sid == sid and "offline_access" not in grant.scope.split():
                self.revoke_grant(grant)

    def _sweep(self) -> None:
        limit = self.clock.now() - _KEPT_AFTER_EXPIRY
        self.codes = {k: c for k, c in self.codes.items() if c.expires_at > limit}
        self.tokens = {k: t for k, t in self.tokens.items() if t.expires_at > limit}
