"""A small API that wants a bearer token, and says what it saw of a request.

What comes in is never answered with the token itself: `echo` shows its length, the beginning of
its hash and its claims, which is enough to see that one arrived, and which.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.adapters.system import SystemClock
from gateway.dev.access_tokens import AccessToken, AccessTokens, BadToken, Jwks
from gateway.dev.sample_channels import echo, ticks
from gateway.ports import Clock

CHUNKS = 10
PAUSE = 0.2  # seconds between two chunks of /stream

_REALM = 'Bearer realm="sample-api"'
_LONGEST_ORDER = 65536  # octets
_SHOWN_CLAIMS = ("iss", "sub", "client_id", "scope", "aud", "exp")
_ORDERS = (
    {"id": 1001, "item": "Difference engine, gear wheels", "quantity": 24, "status": "shipped"},
    {"id": 1002, "item": "Punched cards", "quantity": 5000, "status": "open"},
    {"id": 1003, "item": "Moth for the relay exhibit", "quantity": 1, "status": "open"},
)

Handler = Callable[[Request, AccessToken], Awaitable[Response]]


class SampleApi:
    """The handlers. Each one that needs a token is wrapped by `_guarded`."""

    def __init__(self, tokens: AccessTokens, clock: Clock, pause: float) -> None:
        self._tokens = tokens
        self._clock = clock
        self._pause = pause

    def routes(self) -> list[Route]:
        """Return the API's routes."""
        guarded = self._guarded
        return [
            Route("/hello", guarded(self._hello)),
            Route("/orders", guarded(self._orders, "orders.read")),
            Route("/orders", guarded(self._order, "orders.write"), methods=["POST"]),
            Route("/reports/{rest:path}", guarded(self._hello, "reports.read")),
            Route("/stream", guarded(self._stream)),
            Route("/events", guarded(self._events)),
            Route("/live", guarded(self._live)),
            Route("/upload", guarded(self._upload), methods=["POST", "PUT"]),
            Route("/public/time", self._time),
            Route("/echo", _AnyMethod(guarded(self._echo))),
            Route("/echo/{rest:path}", _AnyMethod(guarded(self._echo))),
        ]

    def _guarded(
        self, handler: Handler, scope: str | None = None
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            sent = request.headers.getlist("authorization")
            if not sent:
                return _refused(401, "", "This needs an access token")
            scheme, _, value = sent[0].partition(" ")
            if len(sent) > 1 or scheme.lower() != "bearer" or not value:
                return _refused(400, "invalid_request", "One bearer token, in one header")
            try:
                token = await self._tokens.check(value)
            except BadToken as reason:
                return _refused(401, "invalid_token", f"The token does not hold: {reason}")
            if scope is not None and scope not in token.scopes:
                return _refused(403, "insufficient_scope", "The token lacks a scope", scope)
            return await handler(request, token)

        return endpoint

    async def _hello(self, _: Request, token: AccessToken) -> Response:
        return JSONResponse({"hello": token.subject, "client": token.client_id})

    async def _orders(self, _: Request, token: AccessToken) -> Response:
        return JSONResponse({"orders": list(_ORDERS), "for": token.subject})

    async def _order(self, request: Request, token: AccessToken) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > _LONGEST_ORDER:
                raise HTTPException(413)
        try:
            order = json.loads(body)
        except ValueError:
            return JSONResponse({"error": "the body is not JSON"}, 400)
        return JSONResponse({"created": order, "by": token.subject}, 201)

    async def _stream(self, _: Request, token: AccessToken) -> Response:
        async def chunks() -> AsyncIterator[str]:
            for number in range(1, CHUNKS + 1):
                yield f"chunk {number} of {CHUNKS} for {token.subject}\n"
                await asyncio.sleep(self._pause)

        return StreamingResponse(chunks(), media_type="text/plain")

    async def _events(self, request: Request, _: AccessToken) -> Response:
        last = request.headers.get("last-event-id", "")
        return ticks(self._clock, int(last) + 1 if last.isdecimal() and len(last) < 10 else 1)  # noqa: PLR2004

    async def _live(self, request: Request, _: AccessToken) -> Response:
        return echo(request)

    async def _upload(self, request: Request, _: AccessToken) -> Response:
        count, digest = await _measure(request)
        return JSONResponse({"octets": count, "sha256": digest})

    async def _time(self, _: Request) -> Response:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        return JSONResponse({"time": now.isoformat(timespec="seconds")})

    async def _echo(self, request: Request, token: AccessToken) -> Response:
        scope = request.scope
        count, digest = await _measure(request)
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        fields = [
            [name.decode("latin-1"), _masked(name, value)] for name, value in scope["headers"]
        ]
        return JSONResponse(
            {
                "method": scope["method"],
                "path": raw_path.decode("latin-1"),
                "query": scope["query_string"].decode("latin-1"),
                "http_version": scope.get("http_version", ""),
                "headers": fields,
                "body": {"octets": count, "sha256": digest[:8]},
                "token": {name: token.claims.get(name) for name in _SHOWN_CLAIMS},
            }
        )


class _AnyMethod:
    """An ASGI endpoint, because Starlette's function endpoints know only listed methods."""

    def __init__(self, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def create_sample_api(
    issuer: str,
    audience: str,
    keys: Jwks,
    *,
    clock: Clock | None = None,
    pause: float = PAUSE,
) -> ASGIApp:
    """Return the API as an ASGI application.

    `keys` returns the issuer's JWKS document: `DevProvider.jwks` does. `pause` is the seconds
    between two chunks of `/stream`.
    """
    now = clock or SystemClock()
    api = SampleApi(AccessTokens(issuer, audience, keys, now), now, pause)
    app = Starlette(routes=api.routes(), exception_handlers={HTTPException: _failed})
    app.router.redirect_slashes = False  # a redirect would name this server, not the gateway
    return app


async def _failed(_: Request, failure: Exception) -> Response:
    status = failure.status_code if isinstance(failure, HTTPException) else 500
    return JSONResponse({"error": HTTPStatus(status).phrase.lower()}, status)


async def _measure(request: Request) -> tuple[int, str]:
    """Return how many octets the body has, and their SHA-256, without keeping them."""
    count, digest = 0, hashlib.sha256()
    async for piece in request.stream():
        count += len(piece)
        digest.update(piece)
    return count, digest.hexdigest()


def _masked(name: bytes, value: bytes) -> str:
    text = value.decode("latin-1")
    if name.lower() != b"authorization":
        return text
    scheme, _, token = text.partition(" ")
    digest = hashlib.sha256(token.encode("latin-1")).hexdigest()[:8]
    return f"{scheme} <masked, {len(token)} characters, sha256 {digest}>"


def _refused(status: int, error: str, words: str, scope: str = "") -> Response:
    """Return a refusal with its challenge (RFC 6750 section 3)."""
    challenge = _REALM
    members: dict[str, Any] = {"error": error or "unauthorized", "error_description": words}
    if error:
        challenge += f', error="{error}", error_description="{words}"'
    if scope:
        challenge += f', scope="{scope}"'
        members["scope"] = scope
    return JSONResponse(members, status, headers={"www-authenticate": challenge})
