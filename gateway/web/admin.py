"""The operators' listener: alive, ready, metrics. Loopback by default, never the public origin."""

import json
import re
from collections.abc import Awaitable, Callable, Iterable

from starlette.types import Receive, Scope, Send

from gateway.errors import Unavailable

_JSON = b"application/json"
_LOOPBACK = re.compile(
    rb"(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?"
)


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
        *,
        loopback_only: bool,
    ) -> None:
        self._ping = ping
        self._metrics = metrics
        self._metrics_type = metrics_type
        self._version = version
        self._dangers = dangers
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer `/livez`, `/readyz` and `/metrics`."""
        if scope["type"] != "http":
            return
        if self._loopback_only and not _names_loopback(scope["headers"]):
            # DNS rebinding: a page whose name now resolves to 127.0.0.1 would read the answer.
            status, content_type, body = 421, _JSON, b'{"status":"misdirected"}'
        else:
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


def _names_loopback(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    hosts = [value for name, value in fields if name == b"host"]
    return len(hosts) == 1 and _LOOPBACK.fullmatch(hosts[0].lower()) is not None


def _document(status: str, **more: object) -> bytes:
    return json.dumps({"status": status, **more}).encode()
