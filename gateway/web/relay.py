"""ASGI on one side, our messages on the other; bodies pass through piece by piece."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TypeVar

from starlette.types import Receive, Scope, Send

from gateway.edge.headers import content_length
from gateway.edge.messages import Body, BrowserRequest, Field, Reply
from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.ports import Caller
from gateway.web.connection import Connection
from gateway.web.pipeline import Pipeline
from gateway.web.problems import describe
from gateway.web.websocket import Switching

_log = logging.getLogger("gateway.web")


Observe = Callable[[int, float], None]
"""Told the status and the seconds of every answer."""


_PEERS = 2  # from whom the same octets are remembered at a time

_Key = TypeVar("_Key")


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
        try:
            await self._exchange(request_of(scope), scope, receive, send)
        except ClientGone:
            return
        except GatewayError:
            # Broken off by the upstream after the answer had begun: it must not look whole (M12).
            connection: Connection | None = scope.get("gateway.connection")
            if connection is None or not connection.cut():
                raise

    async def _exchange(
        self, request: BrowserRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        begun = perf_counter()
        body = _body(receive, self._max_body) if _has_body(request) else None
        try:
            may_switch = scope.get("http_version") == "1.1" and "gateway.connection" in scope
            answer = await self._pipeline.handle(request, body, may_switch=may_switch)
        except (ClientGone, asyncio.CancelledError):
            raise
        except MemoryError:
            # No bug, and no place to blame: whoever asked last was one too many.
            caller = self._pipeline.caller(request)
            _log.error("no memory was left (request %s)", caller.request_id)
            answer = self._failed(Unavailable(Code.CONNECTION_LIMIT), request, caller)
        except Exception:  # noqa: BLE001  the outermost place: a bug must still be answered
            # A bug. The trace names our own lines; values that are secret print as nothing.
            _log.exception("internal error")
            caller = self._pipeline.caller(request)
            answer = self._failed(GatewayError(Code.INTERNAL), request, caller)
        if isinstance(answer, Switching):
            self._switch(answer, scope["gateway.connection"])
            self._observe(101, perf_counter() - begun)
            return
        status = answer.status if isinstance(answer, Reply) else answer.status_code
        try:
            if isinstance(answer, Reply):
                await _send(answer, request, scope, send)
            else:
                await answer(scope, receive, send)
        except GatewayError as failure:
            if isinstance(answer, Reply):
                self._pipeline.broken_off(failure, request, answer)
            raise
        finally:
            self._observe(status, perf_counter() - begun)

    def _failed(self, failure: GatewayError, request: BrowserRequest, caller: Caller) -> Reply:
        return describe(failure, request, request_id=caller.request_id, secure=self._secure)

    @staticmethod
    def _switch(answer: Switching, connection: Connection) -> None:
        try:
            browser = connection.switch(answer.fields)
        except BaseException:
            answer.abandon()
            raise
        answer.begin(browser)


def request_of(scope: Scope) -> BrowserRequest:
    """Return the request as it stood on the wire.

    `gateway/server` puts the raw target into the scope; other ASGI servers split it at the question
    mark, which is undone here.
    """
    client = scope["client"]
    peer = client[0] if client else ""
    over_tls = scope["scheme"] == "https"
    kept: dict[tuple[str, bool], BrowserRequest] = scope.get("gateway.same_octets", {})
    request = kept.get((peer, over_tls))
    if request is None:
        request = _read(scope, peer, over_tls=over_tls)
        _keep(kept, (peer, over_tls), request)
    return request


def _read(scope: Scope, peer: str, *, over_tls: bool) -> BrowserRequest:
    raw = scope.get("gateway.raw_target")
    if raw is None:
        raw = scope.get("raw_path") or scope["path"].encode()
        if scope.get("query_string"):
            raw = raw + b"?" + scope["query_string"]
    kept: dict[tuple[str, bool, str], BrowserRequest] = scope.get("gateway.same_fields", {})
    key = (peer, over_tls, scope["method"])
    beside = kept.get(key)
    if beside is not None:
        return beside.at(raw)
    # Names are in lower case, as ASGI demands of a server.
    request = BrowserRequest(scope["method"], raw, tuple(scope["headers"]), peer, over_tls)
    _keep(kept, key, request)
    return request


def _keep(kept: dict[_Key, BrowserRequest], key: _Key, request: BrowserRequest) -> None:
    if len(kept) >= _PEERS:
        kept.clear()
    kept[key] = request


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


async def _send(reply: Reply, request: BrowserRequest, scope: Scope, send: Send) -> None:
    fields: Iterable[Field] = reply.fields
    if isinstance(reply.body, bytes):
        # An upstream's fields say how long the answer is; of what HEAD asks about, only they know.
        is_known = reply.body or request.method != "HEAD"
        if is_known and reply.status not in (204, 304) and content_length(reply.fields) is None:
            fields = (*fields, (b"content-length", b"%d" % len(reply.body)))
        octets = b"" if request.method == "HEAD" else reply.body
        at_once = scope.get("gateway.answer")
        if at_once is not None and at_once(reply.status, fields, octets, reply.lines):
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": fields})
        await send({"type": "http.response.body", "body": octets})
        return
    stream = reply.body
    start = {"type": "http.response.start", "status": reply.status, "headers": fields}
    try:
        await send(start)
        async for piece in stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        await stream.aclose()
    await send({"type": "http.response.body", "body": b""})
