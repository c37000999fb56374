"""The gateway as a client of one provider: a registration, as the operator configured it.

A `Client` that exists keeps the rules below; nobody has to remember to check them. The gateway is
a confidential client or none (A1, RFC 10017 section 6.1.3.1).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from gateway.errors import Misconfigured
from gateway.oidc.keys import Algorithm
from gateway.oidc.metadata import Metadata, endpoint_fault
from gateway.secret import ClientSecret, PrivateKeyPem

MAX_LEEWAY = 60.0
"""Seconds. A larger one would make short-lived tokens live noticeably longer (G8)."""

OURS_ALONE = frozenset(
    {
        "response_type",
        "response_mode",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "max_age",
        "acr_values",
        "request",
        "request_uri",
    }
)
"""Authorization request parameters that `extra_parameters` can never name (E14)."""

_ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "userinfo_endpoint",
    "revocation_endpoint",
    "end_session_endpoint",
    "introspection_endpoint",
)


class Kind(StrEnum):
    """Which protocol the provider speaks."""

    OIDC = "oidc"
    OAUTH2 = "oauth2"


class ClientAuth(StrEnum):
    """How the client authenticates at the token endpoint (OpenID Connect Core section 9)."""

    CLIENT_SECRET_BASIC = "client_secret_basic"
    CLIENT_SECRET_POST = "client_secret_post"
    PRIVATE_KEY_JWT = "private_key_jwt"


class ResponseMode(StrEnum):
    """How the authorization response travels through the browser."""

    QUERY = "query"
    FORM_POST = "form_post"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One registration at one provider.

    Times are seconds. `issuer` of a plain OAuth 2.0 provider is an identifier from configuration;
    it names the provider in sessions and is what an `iss` answer parameter is compared with.
    `subject_claim` is the member of a plain provider's user document that identifies the person.
    `acr_values` are asked for when a login names none. `default_token_lifetime` counts when the
    provider does not say how long an access token lives (H6). `require_logout_typ` refuses logout
    tokens that do not call themselves one (J10); `frontchannel_logout` listens to logout frames.

    Raises `Misconfigured`, all findings at once.
    """

    provider: str
    kind: Kind
    issuer: str
    client_id: str
    auth: ClientAuth = ClientAuth.CLIENT_SECRET_BASIC
    redirect_uri: str
    secret: ClientSecret | None = field(default=None, repr=False)
    private_key: PrivateKeyPem | None = field(default=None, repr=False)
    assertion_algorithm: Algorithm = Algorithm.RS256
    assertion_key_id: str | None = None
    scopes: tuple[str, ...] = ("openid",)
    response_mode: ResponseMode = ResponseMode.QUERY
    id_token_algorithms: frozenset[Algorithm] = frozenset({Algorithm.RS256})
    trusted_audiences: frozenset[str] = frozenset()
    leeway: float = 30.0
    subject_claim: str = "sub"
    endpoints: Metadata | None = None
    fetch_userinfo: bool = False
    extra_parameters: tuple[tuple[str, str], ...] = ()
    acr_values: tuple[str, ...] = ()
    post_logout_redirect_uri: str | None = None
    send_id_token_hint: bool = True
    default_token_lifetime: float = 300.0
    require_logout_typ: bool = False
    frontchannel_logout: bool = False

    def __post_init__(self) -> None:
        findings = (
            self._about_credentials()
            + self._about_trust()
            + self._about_requests()
            + self._about_addresses()
        )
        if findings:
            raise Misconfigured([f"providers.{self.provider}.{finding}" for finding in findings])

    @property
    def is_offline(self) -> bool:
        """Whether refresh tokens are meant to outlive the provider's session (Core section 11)."""
        return "offline_access" in self.scopes

    def _about_credentials(self) -> list[str]:
        if self.auth is not ClientAuth.PRIVATE_KEY_JWT:
            return [] if self.secret else [f"client_secret: {self.auth.value} needs one (A1)"]
        found = [] if self.private_key else ["private_key: private_key_jwt needs one (A1)"]
        if self.assertion_algorithm.is_mac:
            found.append("assertion_algorithm: private_key_jwt needs an asymmetric one")
        return found

    def _about_trust(self) -> list[str]:
        found = []
        if not 0 <= self.leeway <= MAX_LEEWAY:
            found.append(f"leeway: between 0 and {MAX_LEEWAY:.0f} seconds")
        if not self.default_token_lifetime > 0:
            found.append("default_token_lifetime: must be more than 0 seconds")
        macs = {algorithm.is_mac for algorithm in self.id_token_algorithms}
        if len(macs) != 1:
            # One verifier must never hold both a public key and a secret (G7, RFC 8725 3.1).
            found.append("id_token_algorithms: name some, all with public keys or one HS algorithm")
        elif True in macs and (self.secret is None or len(self.id_token_algorithms) != 1):
            found.append("id_token_algorithms: exactly one HS algorithm, with a client_secret")
        return found

    def _about_requests(self) -> list[str]:
        found = []
        if not self.client_id:
            found.append("client_id: must not be empty")
        if self.kind is Kind.OIDC and "openid" not in self.scopes:
            found.append("scopes: a provider of kind oidc needs openid")
        names = [name for name, _ in self.extra_parameters]
        twice = sorted({name for name in names if names.count(name) > 1})
        found += [f"extra_parameters.{name}: named twice" for name in twice]
        found += [
            f"extra_parameters.{name}: the gateway sets this itself (E14)"
            for name in sorted(OURS_ALONE.intersection(names))
        ]
        return found

    def _about_addresses(self) -> list[str]:
        """Every address is https, or http on this machine (E12, F2)."""
        found = []
        addresses = {
            "redirect_uri": self.redirect_uri,
            "post_logout_redirect_uri": self.post_logout_redirect_uri,
            "issuer": self.issuer if self.kind is Kind.OIDC else None,
        }
        if self.endpoints is not None:
            addresses |= {f"endpoints.{name}": getattr(self.endpoints, name) for name in _ENDPOINTS}
            if self.endpoints.issuer != self.issuer:
                found.append("endpoints.issuer: must be the provider's issuer")
        elif self.kind is Kind.OAUTH2:
            found.append("endpoints: a provider of kind oauth2 has no discovery")
        for key, url in addresses.items():
            if url is not None and (fault := endpoint_fault(url, url)):
                found.append(f"{key}: {fault}")
        return found


def origin_of(url: str) -> str:
    """Return scheme, host and port of an endpoint: the default identifier of a plain provider."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
