"""Who exists in the development world: test users, registered clients, the provider's settings."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.secret import ClientSecret

IDENTITY_SCOPES = ("openid", "profile", "email", "offline_access")
"""Scopes every account may grant; all others are the API's and belong to some accounts only."""


@dataclass(frozen=True, slots=True)
class Account:
    """A test user. `scopes` are the API scopes this person may grant to a client."""

    username: str
    sub: str
    name: str
    email: str
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    role: str = ""  # a few words for the login page

    def claims(self, scope: str) -> dict[str, object]:
        """Return the claims a scope stands for (OpenID Connect Core section 5.4)."""
        asked = scope.split()
        claims: dict[str, object] = {"sub": self.sub}
        if "profile" in asked:
            claims |= {"name": self.name, "preferred_username": self.username}
            claims |= {"groups": list(self.groups)}
        if "email" in asked:
            claims |= {"email": self.email, "email_verified": True}
        return claims

    def grants(self, asked: str) -> str:
        """Return what of the asked scopes this person has to give, in the order asked."""
        own = {*IDENTITY_SCOPES, *self.scopes}
        return " ".join(scope for scope in asked.split() if scope in own)


TEST_ACCOUNTS = (
    Account(
        username="ada",
        sub="user-1815",
        name="Ada Lovelace",
        email="ada@example.com",
        groups=("engine", "purchasing"),
        scopes=("orders.read", "orders.write"),
        role="Buyer: reads and places orders",
    ),
    Account(
        username="grace",
        sub="user-1906",
        name="Grace Hopper",
        email="grace@example.com",
        groups=("audit",),
        scopes=("orders.read",),
        role="Auditor: reads orders, places none",
    ),
    Account(
        username="alan",
        sub="user-1912",
        name="Alan Turing",
        email="alan@example.com",
        role="Guest: sees no orders at all",
    ),
    Account(
        username="emilie",
        sub="user-1706",
        name="Émilie du Châtelet",
        email="emilie@example.com",
        groups=("purchasing",),
        scopes=("orders.read", "orders.write"),
        role="Buyer, with letters beyond ASCII in her name",
    ),
)


@dataclass(frozen=True, slots=True)
class DevClient:
    """A registered client. URIs are compared as strings, exactly (RFC 9700 section 2.1)."""

    client_id: str
    client_secret: ClientSecret
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    scopes: tuple[str, ...] = IDENTITY_SCOPES


@dataclass(frozen=True, slots=True)
class DevProviderSettings:
    """The provider's settings; lifetimes are seconds.

    Raises `ValueError` for an issuer that is neither https nor a loopback address: with one click
    anybody is anybody here, so nobody but this machine may reach it in clear.
    """

    issuer: str
    clients: tuple[DevClient, ...]
    accounts: tuple[Account, ...] = TEST_ACCOUNTS
    access_token_lifetime: int = 300
    refresh_token_lifetime: int = 12 * 3600
    id_token_lifetime: int = 300
    code_lifetime: int = 60
    api_audience: str = "sample-api"
    client_named: dict[str, DevClient] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _is_https_or_loopback(self.issuer) or urlsplit(self.issuer).path:
            raise ValueError("the issuer must be an https or loopback origin, without a path")
        named = {client.client_id: client for client in self.clients}
        object.__setattr__(self, "client_named", named)

    @property
    def scopes(self) -> list[str]:
        """Every scope that some client may ask for."""
        return sorted({scope for client in self.clients for scope in client.scopes})

    def account_named(self, username: str) -> Account | None:
        """Return the account with this user name."""
        return next((one for one in self.accounts if one.username == username), None)


def _is_https_or_loopback(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme != "http":
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
