"""Our gateway, as its users start it; and once more with a store that forbids it to cache."""

import base64
import os
import sys
from functools import partial

import yaml

import gateway
from bench.programs import Command, free_port
from bench.systems.system import Place, System
from bench.world import CLIENT_ID, CLIENT_SECRET, SCOPES, WITHOUT_CACHE, World

_KEY = base64.b64encode(os.urandom(32)).decode()


def _prepare(world: World, place: Place, *, user: str | None = None) -> Command:
    store: dict[str, object] = {"url": world.redis, "prefix": f"{place.folder.name}:"}
    if user:
        store |= {"username": user, "password": {"env": "STORE_PASSWORD"}}
    admin = free_port()

    def route(path: str, upstream: str, **more: object) -> dict[str, object]:
        return {"path": path, "upstream": f"{upstream}/", "max_connections": 1024, **more}

    settings = {
        "public_origin": place.origin,
        "listen": {"host": "127.0.0.1", "port": place.port, "workers": 1},
        "admin": {"host": "127.0.0.1", "port": admin},
        "store": store,
        "keys": [{"id": "bench", "secret": {"env": "RING_KEY"}}],
        "providers": {
            "main": {
                "issuer": world.issuer,
                "client_id": CLIENT_ID,
                "client_secret": {"env": "CLIENT_SECRET"},
                "scopes": list(SCOPES),
            }
        },
        "routes": [
            route("/api/", world.api),
            route("/tls/", world.tls_api, ca_file=str(world.certificates.ca_file)),
            route("/channels/", world.channels, websocket=True),
        ],
    }
    file = place.folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(settings))
    return Command(
        (sys.executable, "-m", "gateway", "run", "--config", str(file)),
        {"RING_KEY": _KEY, "CLIENT_SECRET": CLIENT_SECRET, "STORE_PASSWORD": user or ""},
        answers=f"http://127.0.0.1:{admin}/readyz",
    )


GATEWAY = System(
    key="gateway",
    name="this gateway, session cached",
    login="/bff/login",
    callback="/bff/callback/main",
    prepare=_prepare,
    missing=lambda: None,
    version=lambda: gateway.__version__,
    built="`gateway run` with `workers: 1`, metrics and audit log on",
)

GATEWAY_UNCACHED = System(
    key="gateway-uncached",
    name="this gateway, uncached",
    login="/bff/login",
    callback="/bff/callback/main",
    prepare=partial(_prepare, user=WITHOUT_CACHE),
    missing=lambda: None,
    version=lambda: gateway.__version__,
    built="the same; its Redis user may not use `CLIENT TRACKING`: every request reads the store",
)
