"""A TCP proxy between a client and a real server, with faults one can switch on (Toxiproxy's idea).

Toxics work on what the server answers, and may be changed while connections are open.
"""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self


class TcpProxy:
    """Forwards loopback connections to `host:port` or to a unix socket.

    `latency`: seconds each piece of an answer is held back. `mute`: requests are read, answers
    swallowed. `limit_data`: each connection is cut once this many octets of answers have passed.
    `garbage`: sent instead of every answer. `refuse`: accepted connections are closed at once.
    `mute_subscribers`: as `mute`, for connections that have subscribed to something.
    `target` may change: connections that are open stay where they are.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self.target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._subscribers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0
        self.heal()

    def heal(self) -> None:
        """Switch every toxic off."""
        self.latency = 0.0
        self.mute = False
        self.mute_subscribers = False
        self.refuse = False
        self.limit_data: int | None = None
        self.garbage: bytes | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.reset_all()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._server is not None:
            await self._server.wait_closed()

    def reset_all(self) -> None:
        """Send RST on every open client connection."""
        for writer in tuple(self._writers):
            plain = writer.get_extra_info("socket")
            if plain is not None and plain.fileno() >= 0:
                linger = struct.pack("ii", 1, 0)
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    def close_all(self) -> None:
        """Send FIN on every open client connection, as a server does with idle ones."""
        for writer in tuple(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("no task")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        self.connections += 1
        try:
            if not self.refuse:
                await self._forward(reader, writer)
        except OSError:
            pass  # one side is gone; so is the other, now
        finally:
            self._writers.discard(writer)
            self._subscribers.discard(writer)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self.target, str):
            back, forth = await asyncio.open_unix_connection(self.target)
        else:
            back, forth = await asyncio.open_connection(*self.target)
        asking = asyncio.create_task(self._ask(reader, forth, writer))
        answering = asyncio.create_task(self._answer(back, writer))
        try:
            await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (asking, answering):
                task.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
            forth.close()
            with contextlib.suppress(OSError):
                await forth.wait_closed()

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
        asking: asyncio.StreamWriter,
    ) -> None:
        while piece := await reader.read(65536):
            if b"SUBSCRIBE" in piece:
                self._subscribers.add(asking)
            forth.write(piece)
            await forth.drain()

    async def _answer(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while piece := await back.read(65536):
            if self.latency:
                await asyncio.sleep(self.latency)
            if self.mute or (self.mute_subscribers and writer in self._subscribers):
                continue
            if self.garbage is not None:
                piece = self.garbage
            if self.limit_data is not None:
                piece = piece[: self.limit_data - passed]
            passed += len(piece)
            writer.write(piece)
            await writer.drain()
            if self.limit_data is not None and passed >= self.limit_data:
                return
