"""An upstream that reads octets, remembers them, and answers with octets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class RawUpstream:
    """Answers every request with `answer`; `heads` and `bodies` are what came in."""

    def __init__(self) -> None:
        self.answer: Answer = OK
        self.on_body: Callable[[asyncio.StreamReader], Awaitable[None]] | None = None
        self.reader: asyncio.StreamReader | None = None
        self.heads: list[bytes] = []
        self.latest: dict[asyncio.StreamWriter, bytes] = {}  # the head that is being answered
        self.bodies: list[bytes] = []
        self.lost = asyncio.Event()  # a client closed its connection
        self.connections = 0
        self.origin = ""
        self.tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self.tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self.latest[writer] = head
                if self.on_body is not None:
                    await self.on_body(reader)  # instead of reading all of it
                else:
                    self.bodies.append(await _body(head.lower(), reader))
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                    await writer.drain()
                else:
                    await self.answer(writer)
                if b"connection: close" in head.lower() or writer.is_closing():
                    return
        except asyncio.CancelledError:
            return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost.set()
        except RuntimeError:  # so says uvloop of a write after the connection was lost
            if not writer.transport.is_closing():
                raise
            self.lost.set()
        finally:
            writer.close()

    def lines(self) -> list[bytes]:
        """The latest request's line and fields."""
        return self.heads[-1].split(b"\r\n")[:-2]


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return await reader.readexactly(int(line.partition(b":")[2]))
    if b"transfer-encoding: chunked" not in head:
        return b""
    octets = b""
    while size := int((await reader.readuntil(b"\n")).strip(), 16):
        octets += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\n")
    return octets


@asynccontextmanager
async def raw_upstream(
    *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawUpstream]:
    """Serve on a loopback port for the length of a block."""
    upstream = RawUpstream()
    server = await asyncio.start_server(upstream._serve, "127.0.0.1", port, ssl=tls)
    scheme = "http" if tls is None else "https"
    upstream.origin = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        upstream.lost.set()
        server.close()
        for task in upstream.tasks:
            task.cancel()
        await asyncio.gather(*upstream.tasks, return_exceptions=True)
