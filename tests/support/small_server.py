"""A program: the real server around a tiny application. `python -m tests.support.small_server PORT`

`/hog` uses up every open file the process may have, `/free` gives them back, `/live` switches
protocols and keeps the wire; everything else is answered `ok`.
"""

import asyncio
import os
import sys
from typing import Any

from gateway import server
from gateway.ports import Wire
from gateway.settings import Limits


class Small:
    """The application, and what it holds."""

    def __init__(self) -> None:
        self.files: list[int] = []
        self.ends: list[Idle] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/live":
            wire = scope["gateway.connection"].switch(((b"upgrade", b"websocket"),))
            self.ends.append(Idle(wire))
            wire.attach(self.ends[-1])
            return
        if scope["path"] == "/hog":
            self.hog()
        if scope["path"] == "/free":
            for file in self.files:
                os.close(file)
            self.files.clear()
        length = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"ok"})

    def hog(self) -> None:
        try:
            for _ in range(1_000_000):
                self.files.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return


class Idle:
    """The end of a wire on which nothing happens."""

    __slots__ = ("wire",)

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def received(self, octets: bytes) -> None:
        self.wire.write(octets)

    def lost(self) -> None:
        return

    def may_write(self, *, now: bool) -> None:
        return


async def main(port: int) -> None:
    listener = server.Listener(Small(), [server.bind("127.0.0.1", port)])
    await server.serve([listener], limits=Limits(), refused=lambda *_: None)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=server.loop_factory()) as runner:
        runner.run(main(int(sys.argv[1])))
