"""The development world on one machine: prepared once, then served beside the gateway.

Keys, the client secret and what the identity provider remembers are kept, so that sessions survive
a restart; the configuration is written anew each time, in the shape a production one has.
"""

import base64
import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gateway.adapters.system import SystemEntropy
from gateway.dev import places
from gateway.dev.accounts import TEST_ACCOUNTS, DevClient, DevProviderSettings
from gateway.dev.identity_provider import KEPT_VERSION, DevProvider, create_identity_provider
from gateway.dev.kept_folder import KeptFolder, made_once
from gateway.dev.logout_delivery import deliver
from gateway.dev.sample_api import create_sample_api
from gateway.secret import ClientSecret
from gateway.server import Listener, bind

TOKEN_LIFETIME = 300  # seconds

_HTTP = 80
_AUDIENCE = "sample-api"
_PLACE = re.compile("@([a-z]+)@")  # filled once: a value is never searched for places again
_SCOPES = (
    "openid",
    "profile",
    "email",
    "offline_access",
    "orders.read",
    "orders.write",
    "reports.read",
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the development world, all on loopback; without `api`, no sample API."""

    gateway: int
    provider: int
    api: int | None
    admin: int

    @property
    def origin(self) -> str:
        """The app's origin, as browsers write it."""
        return "http://localhost" + (f":{self.gateway}" if self.gateway != _HTTP else "")

    def options(self) -> list[tuple[str, int]]:
        """Return each port with the command line option that changes it."""
        named = {
            "port": self.gateway,
            "provider-port": self.provider,
            "api-port": self.api,
            "admin-port": self.admin,
        }
        return [(option, port) for option, port in named.items() if port is not None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A development world ready to be served."""

    config_file: Path
    ports: Ports
    provider: DevProvider
    app: str  # a folder or a URL; empty for the sample app
    api: str  # the API's URL
    kept: KeptFolder

    @property
    def account_names(self) -> list[str]:
        """Return the user names one can log in with."""
        return [account.username for account in self.provider.settings.accounts]

    @property
    def silent(self) -> list[str]:
        """Return the options whose server does not answer yet."""
        return places.silent(self.app, "" if self.ports.api else self.api)

    def listeners(self) -> tuple[Listener, ...]:
        """Bind the provider's and the API's sockets; raises `OSError` when one is taken."""
        settings = self.provider.settings
        provider = Listener(self.provider.app, [bind("127.0.0.1", self.ports.provider)])
        if self.ports.api is None:
            return (provider,)
        api = create_sample_api(
            issuer=settings.issuer, audience=settings.api_audience, keys=self.provider.jwks
        )
        return provider, Listener(api, [bind("127.0.0.1", self.ports.api)])


def prepare(
    directory: Path,
    ports: Ports,
    *,
    app: str = "",
    api: str = "",
    token_lifetime: int = TOKEN_LIFETIME,
) -> Prepared:
    """Write what a development world needs below `directory` and put its parts together.

    `app` is a built folder or the URL of a development server, `api` the URL of an API; without
    them the samples are served. `token_lifetime` is how many seconds an access token lives. Raises
    `OSError` when the directory cannot be used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made_once(directory / "key", _fresh_secret)
    secret = made_once(directory / "client-secret", _fresh_secret)
    # By port, because to another port belongs another issuer.
    kept = KeptFolder(directory / f"provider-{ports.provider}", KEPT_VERSION)
    config_file = directory / "gateway.yaml"
    api = api or f"http://127.0.0.1:{ports.api}/"
    config_file.write_text(_configuration(ports, app, api), "utf-8")
    client = DevClient(
        client_id="sample-app",
        client_secret=ClientSecret(secret),
        redirect_uris=(f"{ports.origin}/bff/callback/dev",),
        post_logout_redirect_uris=(f"{ports.origin}/bff/logged-out",),
        backchannel_logout_uri=f"{ports.origin}/bff/backchannel-logout/dev",
        scopes=_SCOPES,
    )
    settings = DevProviderSettings(
        issuer=f"http://127.0.0.1:{ports.provider}",
        clients=(client,),
        accounts=TEST_ACCOUNTS,
        api_audience=_AUDIENCE,
        access_token_lifetime=token_lifetime,
    )
    provider = create_identity_provider(settings, post_logout_token=deliver, kept=kept)
    return Prepared(config_file, ports, provider, app, api, kept)


def busy(ports: Ports) -> list[tuple[str, int, int]]:
    """Return the ports that cannot be had: the option that changes it, the port, and a free one."""
    found: list[tuple[str, int, int]] = []
    taken: set[int] = set()
    for option, port in ports.options():
        if port in taken or not _is_free(port):
            others = {other for _, other in ports.options()} | taken
            free = next(
                one for one in range(port % 64000 + 1, 65536) if one not in others and _is_free(one)
            )
            found.append((option, port, free))
            taken.add(free)
        taken.add(port)
    return found


def _is_free(port: int) -> bool:
    try:
        bind("127.0.0.1", port).close()
    except OSError:
        return False
    return True


def _configuration(ports: Ports, app: str, api: str) -> str:
    package = resources.files("gateway.dev")
    text = package.joinpath("gateway.yaml").read_text("utf-8")
    if places.is_address(app):
        # Development servers tell the page of changes over a WebSocket (hot reload).
        place = f"upstream: {_quoted(app)}\n    token: none\n    websocket: true"
    else:
        folder = Path(app).absolute() if app else package.joinpath("app")
        place = f"static: {_quoted(str(folder))}"
    values = {
        "origin": ports.origin,
        "gateway": str(ports.gateway),
        "provider": str(ports.provider),
        "admin": str(ports.admin),
        "api": _quoted(api.rstrip("/"))[1:-1],  # stands in quotes there
        "app": place,
    }
    return _PLACE.sub(lambda place: values[place[1]], text)


def _quoted(text: str) -> str:
    """Return the text as a YAML scalar that is nothing but text."""
    return json.dumps(text, ensure_ascii=False)


def _fresh_secret() -> str:
    return base64.urlsafe_b64encode(SystemEntropy().octets(32)).decode()
