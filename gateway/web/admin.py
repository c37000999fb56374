"""The operators' listener: alive, ready, metrics, and what is below `/admin/`.

Loopback by default, never the public origin.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from gateway.errors import Unavailable
from gateway.web.administration import JSON, AdminDesk, Answer

_LOOPBACK = re.compile(
    rb"(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?"
)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether to send requests here; `status` says it in one word, `members` explain it."""

    ready: bool
    status: str
    members: Mapping[str, object]


async def readiness(ping: Callable[[], Awaitable[None]], dangers: tuple[str, ...]) -> Readiness:
    """Say whether the one process that serves is ready."""
    try:
        await ping()
    except Unavailable as failure:
        return Readiness(ready=False, status="unready", members={"reasons": [failure.code.value]})
    switched_off = {"protections_switched_off": list(dangers)}
    return Readiness(ready=True, status="ready", members=switched_off)


class Admin:
    """An ASGI application with three endpoints, and a desk for whoever administrates.

    Ready means: existing sessions can be served. A provider that is down does not make the gateway
    unready, for it would take healthy sessions down with it.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[Readiness]],
        metrics: Callable[[], Awaitable[bytes]],
        metrics_type: bytes,
        version: str,
        desk: AdminDesk,
        *,
        loopback_only: bool,
    ) -> None:
        self._ready = ready
        self._metrics = metrics
        self._metrics_type = metrics_type
        self._version = version
        self._desk = desk
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer `/livez`, `/readyz`, `/metrics` and `/admin/…`."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if self._loopback_only and not _names_loopback(scope["headers"]):
            # DNS rebinding: a page whose name now resolves to 127.0.0.1 would read the answer.
            answer = Answer(421, JSON, b'{"status":"misdirected"}')
        elif path == "/admin" or path.startswith("/admin/"):
            answer = await self._desk.answer(scope)
        else:
            answer = await self._answer(scope["method"], path)
        fields = [
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", b"same-origin"),
            *answer.fields,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, method: str, path: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return Answer(405, JSON, b'{"status":"method not allowed"}')
        match path:
            case "/livez":
                return Answer(200, JSON, _document("alive", version=self._version))
            case "/readyz":
                found = await self._ready()
                status = 200 if found.ready else 503
                return Answer(status, JSON, _document(found.status, **found.members))
            case "/metrics":
                return Answer(200, self._metrics_type, await self._metrics())
            case _:
                return Answer(404, JSON, b'{"status":"not found"}')


def _names_loopback(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    hosts = [value for name, value in fields if name == b"host"]
    return len(hosts) == 1 and _LOOPBACK.fullmatch(hosts[0].lower()) is not None


def _document(status: str, **more: object) -> bytes:
    return json.dumps({"status": status, **more}).encode()
