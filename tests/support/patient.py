"""An ASGI application that answers when it may."""

import asyncio
from typing import Any


class Patient:
    """An application that reads the body, waits until it may answer, and then does."""

    def __init__(self, *, may: bool = False) -> None:
        self.may = asyncio.Event()
        if may:
            self.may.set()
        self.asked = 0
        self.cancelled = 0
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        try:
            octets = bytearray()
            while (message := await receive())["more_body"]:
                octets += message["body"]
            self.bodies.append(bytes(octets + message["body"]))
            await self.may.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        length = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"ok"})
