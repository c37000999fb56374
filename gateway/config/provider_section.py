"""The keys of one identity provider."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway.config.secret_reference import BySecretReference, SecretReference
from gateway.config.section import Line, Section
from gateway.config.values import Choice, Duration
from gateway.oidc.client import ClientAuth, Kind, ResponseMode
from gateway.oidc.keys import Algorithm

_LATER = "is not available in this version; use "
_SECRET_OR_KEY = "client_secret_basic, client_secret_post or private_key_jwt"
_ALGORITHMS = tuple(algorithm.value for algorithm in Algorithm)

AlgorithmName = Annotated[
    str, Choice(_ALGORITHMS, {"none": "unsigned tokens are never accepted; name an algorithm"})
]


class EndpointsSection(Section):
    """Where a provider without discovery (`kind: oauth2`) answers."""

    authorization_endpoint: Line = Field(
        description="Where people log in.", examples=["https://id.example.com/authorize"]
    )
    token_endpoint: Line = Field(
        description="Where codes become tokens.", examples=["https://id.example.com/token"]
    )
    userinfo_endpoint: Line = Field(
        description="Who the person is: asked with the access token, answers a JSON object.",
        examples=["https://id.example.com/userinfo"],
    )
    revocation_endpoint: Line | None = Field(
        default=None, description="Where refresh tokens are revoked (RFC 7009), if anywhere."
    )


class ProviderSection(Section):
    """The gateway's registration at one identity provider."""

    explained: ClassVar[Mapping[str, str]] = {
        "redirect_uri": "is always PUBLIC_ORIGIN/bff/callback/NAME; register that at the provider",
        "pkce": "is always used, with S256; remove this",
        "response_type": "is always code; remove this",
        "verify": "certificates are always checked; for a private authority set "
        "back_channel.ca_file",
        "discovery_url": "follows from the issuer; remove this",
        "audience": "goes under extra_parameters, where the provider wants one",
    }

    kind: Annotated[str, Choice(tuple(Kind))] = Field(
        default=Kind.OIDC.value,
        description="`oidc`: OpenID Connect, with discovery and ID tokens. `oauth2`: plain OAuth "
        "2.0, with `endpoints`; the person is whom the userinfo endpoint names.",
    )
    issuer: Line | None = Field(
        default=None,
        description="The provider's issuer identifier, exactly as its metadata spells it, trailing "
        "slash included. Required for `oidc`; for `oauth2` it defaults to the origin of the "
        "authorization endpoint.",
    )
    client_id: Line = Field(
        description="The client's id at the provider.", examples=["spa-gateway"]
    )
    client_auth: Annotated[
        str,
        Choice(
            tuple(ClientAuth),
            {
                "none": "the gateway is a confidential client and proves who it is "
                f"(A1, RFC 10017 section 6.1.3.1); use {_SECRET_OR_KEY}",
                "tls_client_auth": f"tls_client_auth {_LATER}{_SECRET_OR_KEY}",
                "self_signed_tls_client_auth": "self_signed_tls_client_auth "
                f"{_LATER}{_SECRET_OR_KEY}",
                "client_secret_jwt": f"client_secret_jwt {_LATER}{_SECRET_OR_KEY}",
            },
        ),
    ] = Field(
        default=ClientAuth.CLIENT_SECRET_BASIC.value,
        description="How the gateway authenticates to the provider.",
    )
    client_secret: Annotated[SecretReference | None, BySecretReference()] = Field(
        default=None,
        description="The client secret, by reference; for the `client_secret_` methods.",
    )
    private_key: Annotated[SecretReference | None, BySecretReference()] = Field(
        default=None, description="A private key in PEM form, by reference; for `private_key_jwt`."
    )
    assertion_algorithm: AlgorithmName = Field(
        default=Algorithm.RS256.value,
        description="What the private key signs with; it has to fit the key.",
    )
    assertion_key_id: Line | None = Field(
        default=None, description="The `kid` under which the provider knows the public key."
    )
    scopes: list[Line] = Field(
        default_factory=lambda: ["openid"],
        description="What is asked for at login. `offline_access` is what most providers want to "
        "see before they give a refresh token; it is never added by itself.",
        json_schema_extra={"default": ["openid"]},
    )
    response_mode: Annotated[
        str,
        Choice(
            tuple(ResponseMode),
            {"fragment": "a fragment never reaches a server; use query or form_post"},
        ),
    ] = Field(
        default=ResponseMode.QUERY.value,
        description="How the answer comes back through the browser. `form_post` makes the login "
        "cookie SameSite=None.",
    )
    id_token_algorithms: list[AlgorithmName] = Field(
        default_factory=lambda: [Algorithm.RS256.value],
        description="Signatures accepted on ID tokens, whatever the provider's metadata says. An "
        "HS algorithm must stand alone and needs a `client_secret` of at least 32 bytes.",
        json_schema_extra={"default": [Algorithm.RS256.value]},
    )
    trusted_audiences: list[Line] = Field(
        default_factory=list,
        description="Further audiences an ID token may name besides this client.",
    )
    leeway: Annotated[float, Duration("0s", "60s")] = Field(
        default=30.0, description="How far the provider's clock may be off."
    )
    subject_claim: Line | None = Field(
        default=None,
        description="The member of the userinfo answer that identifies a person for good; only "
        "for `oauth2`, where it is `id` unless set.",
    )
    endpoints: EndpointsSection | None = Field(
        default=None, description="Where a provider of kind `oauth2` answers."
    )
    fetch_userinfo: bool = Field(
        default=False,
        description="Ask the userinfo endpoint at login, for claims the ID token lacks.",
    )
    extra_parameters: dict[str, Line] = Field(
        default_factory=dict,
        description="Further parameters of the authorization request, such as `audience`. Those "
        "the gateway sets itself are refused.",
    )
    acr_values: list[Line] = Field(
        default_factory=list,
        description="The authentication contexts to ask for when a login names none.",
    )
    post_logout_redirect_uri: Line = Field(
        default="/bff/logged-out",
        description="Where the provider sends the browser after a logout: a path of the public "
        "origin. Register the whole address there. The default checks that the logout was ours "
        "and goes on to where the app asked to.",
    )
    send_id_token_hint: bool = Field(
        default=True,
        description="Show the provider the ID token at logout, so that it need not ask. It passes "
        "through the browser's address bar.",
    )
    default_token_lifetime: Annotated[float, Duration("10s", "24h")] = Field(
        default=300.0,
        description="How long an access token is believed to live when the provider does not say.",
    )
    require_logout_typ: bool = Field(
        default=False,
        description="Accept only logout tokens whose `typ` is `logout+jwt`. Without it a token "
        "without `typ`, or with `JWT`, passes too, if its claims are those of a logout token.",
    )
    frontchannel_logout: bool = Field(
        default=False,
        description="Whether the provider's logout page may end sessions by loading "
        "`/bff/frontchannel-logout/NAME` in a frame. Nothing proves who loads it: back-channel "
        "logout is better, and always on.",
    )
