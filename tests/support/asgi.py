"""Calling an ASGI application with exact bytes, no client library in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

Headers = Iterable[tuple[bytes, bytes]]


@dataclass
class Answer:
    """Everything an application said."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value.decode("latin-1") for key, value in self.fields if key == name.encode()]

    def one(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) <= 1, f"{name} occurs {len(found)} times"
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    def octets(self) -> bytes:
        """The whole answer as a browser could read it."""
        head = b"".join(name + b": " + value + b"\r\n" for name, value in self.fields)
        return head + b"\r\n" + self.body


async def call(
    app: Any,
    method: str,
    target: bytes,
    headers: Headers = (),
    body: bytes | AsyncIterator[bytes] = b"",
    *,
    peer: str = "127.0.0.1",
    scope_changes: Mapping[str, Any] | None = None,
) -> Answer:
    """Send one request; the target goes in as the octets given."""
    path, _, query = target.partition(b"?")
    fields = list(headers)
    if body and not any(name == b"content-length" for name, _ in fields):
        if isinstance(body, bytes):
            fields.append((b"content-length", str(len(body)).encode()))
        else:
            fields.append((b"transfer-encoding", b"chunked"))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": fields,
        "client": (peer, 40000),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "root_path": "",
        "gateway.raw_target": target,
        **(scope_changes or {}),
    }
    incoming = _messages(body)
    answer = Answer(0, [])

    async def receive() -> dict[str, Any]:
        try:
            return await anext(incoming)
        except StopAsyncIteration:
            await asyncio.Event().wait()
            raise AssertionError from None

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.fields = [(name.lower(), value) for name, value in message["headers"]]
        elif message.get("body"):
            answer.pieces.append(bytes(message["body"]))

    await app(scope, receive, send)
    answer.body = b"".join(answer.pieces)
    return answer


async def _messages(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    if isinstance(body, bytes):
        yield {"type": "http.request", "body": body, "more_body": False}
        return
    async for piece in body:
        yield {"type": "http.request", "body": piece, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}


def target_of(url: str) -> bytes:
    """The origin-form of a URL."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.path or '/'}{query}".encode()
