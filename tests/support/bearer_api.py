"""An API as a program: it wants one bearer token and no cookie, and says what it was asked.

python -m tests.support.bearer_api PORT TOKEN

A path that ends in `slowly` is answered piece by piece, in about half a second.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tests.support.processes import free_port, running

_PIECES = 5
_PAUSE = 0.1  # seconds between two of them


class BearerApi:
    """An ASGI application."""

    def __init__(self, token: str) -> None:
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with the method, the target and the body."""
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        fields = dict(scope["headers"])
        allowed = fields.get(b"authorization") == self._wanted and b"cookie" not in fields
        target = scope["raw_path"]
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        said = b"%s %s %s" % (scope["method"].encode(), target, body)
        length = [(b"content-length", b"%d" % len(said)), (b"content-type", b"text/plain")]
        status = 200 if allowed else 401
        await send({"type": "http.response.start", "status": status, "headers": length})
        if scope["path"].endswith("slowly"):
            size = -(-len(said) // _PIECES)
            for first in range(0, len(said), size):
                piece = said[first : first + size]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(_PAUSE)
            said = b""
        await send({"type": "http.response.body", "body": said})


@contextmanager
def bearer_api(folder: Path, token: str) -> Iterator[str]:
    """Run it for the length of a block, and yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.bearer_api", str(port), token]
    with running(command, folder / "api.log") as program:
        address = f"http://127.0.0.1:{port}/"
        program.wait_until_answering(address)
        yield address


if __name__ == "__main__":
    uvicorn.run(
        BearerApi(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=75,  # the gateway is to be the one who closes first
    )
