"""The obvious build in Python: Starlette, httpx2, a Redis read per request; under uvicorn."""

import json
import sys

import starlette

from bench.programs import Command
from bench.systems.system import Place, System
from bench.world import BENCH, CLIENT_ID, CLIENT_SECRET, SCOPES, World


def _prepare(world: World, place: Place) -> Command:
    settings = {
        "origin": place.origin,
        "issuer": world.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scope": " ".join(SCOPES),
        "redis": world.redis,
        "api": world.api,
        "channels": world.channels,
        "secret": "obvious-session-secret-of-40-characters1",
    }
    argv = (
        *(sys.executable, "-m", "uvicorn", "bench.systems.obvious_app:app"),
        *("--host", "127.0.0.1", "--port", str(place.port)),
        *("--no-access-log", "--log-level", "warning"),
    )
    environ = {"OBVIOUS_APP": json.dumps(settings), "PYTHONPATH": str(BENCH.parent)}
    return Command(argv, environ, answers=f"{place.origin}/nothing")


OBVIOUS_PYTHON = System(
    key="python",
    name="the obvious Python build",
    login="/login",
    callback="/callback",
    prepare=_prepare,
    missing=lambda: None,
    version=lambda: f"Starlette {starlette.__version__}, Python {sys.version.split()[0]}",
    built="Starlette, an httpx2 client, redis-py, an itsdangerous cookie; uvicorn with uvloop",
    websockets="the obvious build has none",
)
