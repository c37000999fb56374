"""The development world on one machine: prepared once, then served beside the gateway.

Keys and the client secret are made at the first start and kept, so that sessions survive a
restart; the configuration is written anew each time, in the shape a production one has.
"""

import base64
import json
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gateway.adapters.system import SystemEntropy
from gateway.dev.accounts import TEST_ACCOUNTS, DevClient, DevProviderSettings
from gateway.dev.identity_provider import DevProvider, create_identity_provider
from gateway.dev.sample_api import create_sample_api
from gateway.secret import ClientSecret
from gateway.server import Listener, bind

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
    """The ports of the development world, all on loopback."""

    gateway: int
    provider: int
    api: int
    admin: int

    def options(self) -> list[tuple[str, int]]:
        """Return each port with the command line option that changes it."""
        return [
            ("port", self.gateway),
            ("provider-port", self.provider),
            ("api-port", self.api),
            ("admin-port", self.admin),
        ]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A development world ready to be served."""

    config_file: Path
    ports: Ports
    provider: DevProvider
    api: str  # the API's URL

    @property
    def account_names(self) -> list[str]:
        """Return whom one can log in as."""
        return [account.name for account in self.provider.settings.accounts]

    def listeners(self) -> tuple[Listener, ...]:
        """Bind the provider's and the API's sockets; raises `OSError` when one is taken."""
        settings = self.provider.settings
        api = create_sample_api(
            issuer=settings.issuer, audience=settings.api_audience, keys=self.provider.jwks
        )
        return (
            Listener(self.provider.app, [bind("127.0.0.1", self.ports.provider)]),
            Listener(api, [bind("127.0.0.1", self.ports.api)]),
        )


def prepare(directory: Path, ports: Ports, *, app: str = "", api: str = "") -> Prepared:
    """Write what a development world needs below `directory` and put its parts together.

    `app` is a built folder or the URL of a development server, `api` the URL of an API; without
    them the samples are served.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _kept_secret(directory / "key")
    secret = _kept_secret(directory / "client-secret")
    config_file = directory / "gateway.yaml"
    api = api or f"http://127.0.0.1:{ports.api}/"
    config_file.write_text(_configuration(ports, app, api), "utf-8")
    origin = f"http://localhost:{ports.gateway}"
    client = DevClient(
        client_id="sample-app",
        client_secret=ClientSecret(secret),
        redirect_uris=(f"{origin}/bff/callback/dev",),
        post_logout_redirect_uris=(f"{origin}/bff/logged-out",),
        scopes=_SCOPES,
    )
    settings = DevProviderSettings(
        issuer=f"http://127.0.0.1:{ports.provider}",
        clients=(client,),
        accounts=TEST_ACCOUNTS,
        api_audience=_AUDIENCE,
    )
    return Prepared(config_file, ports, create_identity_provider(settings), api)


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
    if app.startswith(("http://", "https://")):
        place = f"upstream: {_quoted(app)}\n    token: none"
    else:
        folder = Path(app).absolute() if app else package.joinpath("app")
        place = f"static: {_quoted(str(folder))}"
    values = {
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


def _kept_secret(path: Path) -> str:
    """Return the secret in this file; make it, readable by its owner only, if there is none."""
    if not path.exists():
        text = base64.urlsafe_b64encode(SystemEntropy().octets(32)).decode()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    return path.read_text("utf-8").strip()
