"""What an idle WebSocket costs a worker: two sockets, and next to nothing else."""

import asyncio
from pathlib import Path

import pytest
from websockets.utils import accept_key

from tests.support.open_gateway import OpenGateway, open_gateway

pytestmark = pytest.mark.e2e

MANY = 400
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"GET /ws/x HTTP/1.1\r\n%bOrigin: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
)


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream that opens every WebSocket and says nothing on any."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = head.lower().index("sec-websocket-key: ") + len("sec-websocket-key: ")
    accepted = accept_key(head[key:].partition("\r\n")[0])
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-accept: %b\r\n\r\n" % accepted.encode()
    )
    await reader.read()
    writer.close()


async def test_an_idle_websocket_costs_little_memory_p7(tmp_path: Path) -> None:
    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=MANY)
    port = server.sockets[0].getsockname()[1]
    route = {
        "upstream": f"http://127.0.0.1:{port}/",
        "websocket": True,
        "max_connections": 2 * MANY,
    }
    links: list[asyncio.StreamWriter] = []

    async def opened(gateway: OpenGateway, count: int) -> int:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            links.append(writer)
            writer.write(HANDSHAKE % (gateway.host, gateway.origin.encode(), KEY.encode()))
            async with asyncio.timeout(10):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        return gateway.resident()

    opening = open_gateway(tmp_path, {"/ws/": route})
    gateway = await asyncio.to_thread(opening.__enter__)
    try:
        before = await opened(gateway, 100)  # with what is needed once
        each = (await opened(gateway, MANY) - before) / MANY
    finally:
        for link in links:
            link.transport.abort()
        await asyncio.to_thread(opening.__exit__, None, None, None)
        server.close()
    print(f"octets per idle WebSocket: {each:.0f}")  # noqa: T201  worth knowing when it fails
    assert each < 8_000
