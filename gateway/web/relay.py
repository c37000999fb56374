"""ASGI on one side, our messages on the other; bodies pass through piece by piece."""

import asyncio
import logging
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from gateway.edge.messages import Body, BrowserRequest, Reply
from gateway.errors import Code, GatewayError, Refused
from gateway.web.connection import Connection
from gateway.web.pipeline import Pipeline
from gateway.web.problems import describe

_log = logging.getLogger("gateway.web")


Observe = Callable[[int, float], None]
"""Told the status and the seconds of every answer."""


class ClientGone(Exception):
    """The browser closed the connection before it had sent its whole body."""


class Relay:
    """The ASGI application for browsers."""

    def __init__(
        self, pipeline: Pipeline, observe: Observe, *, secure: bool, max_body: int | None
    ) -> None:
        self._pipeline = pipeline
        self._observe = observe
        self._secure = secure
        self._max_body = max_body  # octets; None lets each upstream decide

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; everything else is not spoken here."""
        if scope["type"] != "http":
            return
        request = request_of(scope)
        connection: Connection = scope.get("gateway.connection") or Connection()
        task = asyncio.current_task()
        on_loss = task.cancel if task is not None else connection.lost
        connection.watch(on_loss)
        try:
            await self._exchange(request, scope, receive, send)
        except ClientGone:
            return
        except GatewayError as failure:
            # Broken off by the upstream after the answer had begun: it must not look whole (M12).
            _log.warning("answer broken off: %s (%s)", failure.code.value, failure.note)
            if not connection.cut():
                raise
        except asyncio.CancelledError:
            if not connection.gone:
                raise
        finally:
            connection.forget(on_loss)

    async def _exchange(
        self, request: BrowserRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        body = _body(receive, self._max_body) if _has_body(request) else None
        try:
            answer = await self._pipeline.handle(request, body)
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001  the outermost place: a bug must still be answered
            # A bug. The trace names our own lines; values that are secret print as nothing.
            _log.exception("internal error")
            failure = GatewayError(Code.INTERNAL)
            caller = self._pipeline.caller(request)
            answer = describe(failure, request, request_id=caller.request_id, secure=self._secure)
        status = answer.status if isinstance(answer, Reply) else answer.status_code
        try:
            if isinstance(answer, Reply):
                await _send(answer, request, send)
            else:
                await answer(scope, receive, send)
        finally:
            self._observe(status, loop.time() - begun)


def request_of(scope: Scope) -> BrowserRequest:
    """Return the request as it stood on the wire.

    `gateway/server` puts the raw target into the scope; other ASGI servers split it at the question
    mark, which is undone here.
    """
    raw = scope.get("gateway.raw_target")
    if raw is None:
        raw = scope.get("raw_path") or scope["path"].encode()
        if scope.get("query_string"):
            raw = raw + b"?" + scope["query_string"]
    client = scope["client"]
    return BrowserRequest(
        scope["method"],
        raw,
        tuple(scope["headers"]),  # names in lower case, as ASGI demands of a server
        client[0] if client else "",
        scope["scheme"] == "https",
    )


def _has_body(request: BrowserRequest) -> bool:
    return bool(request.values(b"content-length") or request.values(b"transfer-encoding"))


async def _body(receive: Receive, most: int | None) -> Body:
    left = most
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if left is not None:
            left -= len(message.get("body", b""))
            if left < 0:
                raise Refused(Code.BODY_TOO_LARGE)
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def _send(reply: Reply, request: BrowserRequest, send: Send) -> None:
    start = {"type": "http.response.start", "status": reply.status, "headers": list(reply.fields)}
    if isinstance(reply.body, bytes):
        length = (b"content-length", str(len(reply.body)).encode())
        if reply.status not in (204, 304):
            start["headers"] = [*reply.fields, length]
        await send(start)
        octets = b"" if request.method == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": octets})
        return
    stream = reply.body
    # The server writes Date itself; two would be one too many.
    start["headers"] = [field for field in reply.fields if field[0] != b"date"]
    try:
        await send(start)
        async for piece in stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        await stream.aclose()
    await send({"type": "http.response.body", "body": b""})
