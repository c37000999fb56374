"""The operators' listener: alive, ready, metrics. Loopback by default, never the public origin."""

import json
from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send

from gateway.errors import Unavailable

_JSON = b"application/json"


class Admin:
    """An ASGI application with three endpoints.

    Ready means: existing sessions can be served. A provider that is down does not make the gateway
    unready, for it would take healthy sessions down with it.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        metrics: Callable[[], bytes],
        metrics_type: bytes,
        version: str,
        dangers: tuple[str, ...],
    ) -> None:
        self._ping = ping
        self._metrics = metrics
        self._metrics_type = metrics_type
        self._version = version
        self._dangers = dangers

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer `/livez`, `/readyz` and `/metrics`."""
        if scope["type"] != "http":
            return
        status, content_type, body = await self._answer(scope["method"], scope["path"])
        fields = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    async def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _JSON, b'{"status":"method not allowed"}'
        match path:
            case "/livez":
                return 200, _JSON, _document("alive", version=self._version)
            case "/readyz":
                return await self._ready()
            case "/metrics":
                return 200, self._metrics_type, self._metrics()
            case _:
                return 404, _JSON, b'{"status":"not found"}'

    async def _ready(self) -> tuple[int, bytes, bytes]:
        try:
            await self._ping()
        except Unavailable as failure:
            return 503, _JSON, _document("unready", reasons=[failure.code.value])
        return 200, _JSON, _document("ready", protections_switched_off=list(self._dangers))


def _document(status: str, **more: object) -> bytes:
    return json.dumps({"status": status, **more}).encode()
