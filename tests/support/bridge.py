"""A real gateway's port as an ASGI application, so that the strict `Browser` can go there."""

import asyncio
import contextlib
from typing import Any

from tests.support.strict_http import read_answers

_PATIENCE = 20.0  # seconds for one answer


class Bridge:
    """Passes each request on over a connection of its own, octet for octet."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), scope["gateway.raw_target"])]
        lines += [b"%b: %b" % field for field in scope["headers"]]
        octets = b"\r\n".join([*lines, b"connection: close", b"", body])
        (answer,) = read_answers(await self._say(octets), [scope["method"].encode()])
        fields = [*answer.fields]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": answer.body})

    async def _say(self, octets: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.closing(writer):
            writer.write(octets)
            async with asyncio.timeout(_PATIENCE):
                return await reader.read(-1)
