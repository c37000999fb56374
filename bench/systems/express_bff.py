"""A backend for frontends on Express: express-session, connect-redis, http-proxy-middleware."""

import json

from bench.programs import Command
from bench.systems.system import Place, System, needs
from bench.world import CLIENT_ID, CLIENT_SECRET, NODE, World


def _prepare(world: World, place: Place) -> Command:
    settings = {
        "port": place.port,
        "origin": place.origin,
        "issuer": world.issuer,
        "clientId": CLIENT_ID,
        "clientSecret": CLIENT_SECRET,
        "redis": world.redis,
        "api": world.api,
        "channels": world.channels,
        "secret": "express-session-secret-of-40-characters1",
    }
    argv = ("node", str(NODE / "express_bff.mjs"), json.dumps(settings))
    return Command(argv, {"NODE_ENV": "production"}, says="ready")


def _version() -> str:
    def of(package: str) -> str:
        text = (NODE / "node_modules" / package / "package.json").read_text()
        return str(json.loads(text)["version"])

    return f"{of('express')}, http-proxy-middleware {of('http-proxy-middleware')}"


EXPRESS = System(
    key="express",
    name="Express BFF + Redis",
    login="/login",
    callback="/callback",
    prepare=_prepare,
    missing=needs(
        ("node", "install Node.js 20 or newer"), (NODE / "node_modules" / "express", "npm ci")
    ),
    version=_version,
    built="express-session, connect-redis, openid-client; `NODE_ENV=production`, keep-alive agent",
    websockets="its session middleware does not see upgrades",
)
