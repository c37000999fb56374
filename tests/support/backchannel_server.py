"""A raw HTTP/1.1 server that says exactly the octets a test gives it, over TCP or TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.certificates import Certificates


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    head: bytes
    body: bytes

    @property
    def method_and_target(self) -> str:
        return self.head.split(b"\r\n", 1)[0].rpartition(b" ")[0].decode()

    def values(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        lines = [line.partition(b":") for line in self.head.split(b"\r\n")[1:]]
        wanted = name.lower().encode()
        return [value.strip().decode() for key, _, value in lines if key.lower() == wanted]


Script = Callable[[Seen], AsyncIterator[bytes]]
"""Yields the pieces of one answer; the connection is closed when it returns."""


def answer(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """Return a complete answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class BackChannelServer:
    """Answers every request with `reply`: octets (keep-alive), or a script (closes afterwards)."""

    def __init__(self, reply: bytes | Script, certificates: Certificates | None = None) -> None:
        self.reply = reply
        self.requests: list[Seen] = []
        self.port = 0
        self.connections = 0
        self.open = 0
        self._certificates = certificates
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        scheme = "https" if self._certificates else "http"
        return f"{scheme}://localhost:{self.port}"

    async def __aenter__(self) -> Self:
        context = None
        if self._certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificates.certificate, self._certificates.key)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
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
        for task in tuple(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._server is not None:
            await self._server.wait_closed()

    def close_idle(self) -> None:
        """Close every connection, as a server does with those it has waited on for too long."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio reports the cancellation of the one it makes as an error.
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait((task,))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                while await self._answer_one(reader, writer):
                    pass
            finally:
                self.open -= 1
                self._writers.discard(writer)
                writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        (length, *_) = Seen(head, b"").values("content-length") or ["0"]
        seen = Seen(head, await reader.readexactly(int(length)))
        self.requests.append(seen)
        if isinstance(self.reply, bytes):
            writer.write(self.reply)
            await writer.drain()
            return True
        async with contextlib.aclosing(self.reply(seen)) as pieces:  # type: ignore[type-var]  # scripts are generators
            async for piece in pieces:
                writer.write(piece)
                await writer.drain()
        return False
