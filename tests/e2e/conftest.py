"""Real programs for the end-to-end tests: started once, stopped by their own ids."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Error, sync_playwright

from tests.support.dev_world import DevWorld
from tests.support.processes import (
    PROVIDER,
    ROOT,
    Program,
    chromium,
    free_port,
    gateway_command,
    missing,
    running,
)
from tests.support.redis_servers import RealServer, redis_server_binary
from tests.support.redis_servers import running as serving

CLIENT_SECRET = "e2e-client-secret-of-40-characters-00001"


@dataclass
class Fleet:
    """Two gateway processes on one real Redis, in front of a certified provider."""

    homes: list[str]
    issuer: str
    provider: Program
    gateways: list[Program]
    redis: RealServer
    admins: list[str]
    secrets: list[str] = field(default_factory=list)

    def issued(self) -> list[str]:
        """Every token the provider issued, as it said itself."""
        lines = self.provider.output.splitlines()
        return [line.removeprefix("issued ") for line in lines if line.startswith("issued ")]

    def written(self) -> str:
        """Everything the gateways wrote."""
        return "\n".join(program.output for program in self.gateways)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window and without a network but loopback.

    For one module at a time: while Playwright's synchronous interface is open it keeps an event
    loop running, and no asynchronous test can have one beside it.
    """
    with sync_playwright() as playwright:
        try:
            chrome = playwright.chromium.launch(
                executable_path=chromium(),
                args=[
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                ],
            )
        except Error:
            missing("a browser", "apt-get install chromium")
            raise
        yield chrome
        chrome.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real store that is empty."""
    folder = tmp_path_factory.mktemp("redis")
    with serving(RealServer(redis_server_binary(), folder, port=free_port())) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="module")
def dev_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevWorld]:
    folder = tmp_path_factory.mktemp("dev")
    port, provider, api, admin = (free_port() for _ in range(4))
    command = gateway_command(
        "dev",
        "--port",
        str(port),
        "--provider-port",
        str(provider),
        "--api-port",
        str(api),
        "--admin-port",
        str(admin),
        "--directory",
        str(folder / "state"),
    )
    with running(command, folder / "log") as program:
        program.wait_until_answering(f"http://127.0.0.1:{admin}/readyz")
        yield DevWorld(
            f"http://localhost:{port}",
            f"http://127.0.0.1:{provider}",
            f"http://127.0.0.1:{admin}",
            program,
        )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    ports = [free_port() for _ in range(6)]
    homes = [f"http://localhost:{port}" for port in ports[:2]]
    issuer = f"http://127.0.0.1:{ports[2]}"
    key = base64.b64encode(hashlib.sha256(os.urandom(32)).digest()).decode()
    provider_settings = {
        "port": ports[2],
        "issuer": issuer,
        "resource": "https://api.example/",
        "clients": [
            {
                "client_id": "spa",
                "client_secret": CLIENT_SECRET,
                "redirect_uris": [f"{home}/bff/callback/main" for home in homes],
                "post_logout_redirect_uris": [f"{home}/bff/logged-out" for home in homes],
                "grant_types": ["authorization_code", "refresh_token"],
                "backchannel_logout_uri": f"{homes[0]}/bff/backchannel-logout/main",
                "backchannel_logout_session_required": True,
            }
        ],
    }
    api = [
        *gateway_command()[:1],
        "-m",
        "tests.support.api_process",
        str(ports[3]),
        issuer,
        f"{issuer}/jwks",
        "https://api.example/",
    ]
    environ = {
        "RING_KEY": key,
        "CLIENT_SECRET": CLIENT_SECRET,
        "REDIS_PASSWORD": "e2e-redis-password",
    }
    redis = RealServer(
        redis_server_binary(),
        folder / "r",
        free_port(),
        ("requirepass e2e-redis-password",),
        password="e2e-redis-password",
    )
    redis_url = f"redis://127.0.0.1:{redis.port}/0"
    with serving(redis):
        files = [
            _configured(folder, number, homes[number], issuer, ports, redis_url)
            for number in range(2)
        ]
        with (
            running(
                ["node", "server.mjs", json.dumps(provider_settings)],
                folder / "provider.log",
                directory=PROVIDER,
            ) as provider,
            running(api, folder / "api.log", directory=ROOT),
            running(
                gateway_command("run", "--config", str(files[0])), folder / "g0.log", environ
            ) as one,
            running(
                gateway_command("run", "--config", str(files[1])), folder / "g1.log", environ
            ) as two,
        ):
            provider.wait_for("ready")
            for program, admin in ((one, ports[4]), (two, ports[5])):
                program.wait_until_answering(f"http://127.0.0.1:{admin}/readyz")
            admins = [f"http://127.0.0.1:{port}" for port in ports[4:]]
            secrets = [key, CLIENT_SECRET]
            yield Fleet(homes, issuer, provider, [one, two], redis, admins, secrets)


def _configured(
    folder: Path, number: int, home: str, issuer: str, ports: list[int], redis_url: str
) -> Path:
    """Both processes serve one application: the second is a replica on another port.

    Cookies know no ports, so a browser that logged in at the first carries its session to the
    second, as it would behind a load balancer.
    """
    settings = {
        "public_origin": home,
        "listen": {"host": "127.0.0.1", "port": ports[number]},
        "admin": {"host": "127.0.0.1", "port": ports[4 + number]},
        "store": {"url": redis_url, "password": {"env": "REDIS_PASSWORD"}},
        "keys": [{"id": "e2e", "secret": {"env": "RING_KEY"}}],
        "log": {"level": "debug"},
        "providers": {
            "main": {
                "issuer": issuer,
                "client_id": "spa",
                "client_secret": {"env": "CLIENT_SECRET"},
                "scopes": ["openid", "profile", "email", "offline_access", "orders.read"],
                "post_logout_redirect_uri": "/bff/logged-out",
            }
        },
        "routes": [
            {
                "path": "/api/",
                "upstream": f"http://127.0.0.1:{ports[3]}/",
                "access": "session",
                "websocket": True,
            },
            {
                "path": "/",
                "static": str(ROOT / "gateway" / "dev" / "app"),
                "access": "public",
            },
        ],
    }
    file = folder / f"gateway-{number}.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file
