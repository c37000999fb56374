"""A crowd whose requests become ready in the same moment (F17, F25)."""

import asyncio
import socket
import struct
from typing import Any

import pytest

from gateway.server.listening import Listener, server_for
from gateway.server.turns import MOST
from gateway.settings import Limits
from tests.support.memory_transport import MemoryTransport
from tests.support.serving import served
from tests.support.store_watcher import until

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CROWD = 6 * MOST


async def waiting(scope: Any, receive: Any, send: Any) -> None:
    """Answers when the client has gone, that is: nobody."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def greeting(scope: Any, receive: Any, send: Any) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    await send(start)
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("app", [waiting, greeting], ids=lambda app: app.__name__)
async def test_a_crowd_that_asks_and_leaves_leaves_nothing_behind_f17(app: Any) -> None:
    async with served(app) as server:
        for _ in range(3):
            for _ in range(CROWD):  # nobody else runs meanwhile: all of it is ready at once
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.sendall(REQUEST)
            await server.until_connected(0)
            async with server.talk() as talk:
                if app is greeting:
                    talk.send(REQUEST)
                    assert (await talk.answer()).body == b"ok"
        await server.until_connected(0)
        await until(lambda: not server.server.server_state.tasks)


async def test_everybody_in_a_crowd_is_answered() -> None:
    async with served(greeting) as server:
        crowd = [await server.connect() for _ in range(CROWD)]
        for _, writer in crowd:
            writer.write(REQUEST)
        async with asyncio.timeout(20):
            for reader, writer in crowd:
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
                writer.close()


async def test_who_leaves_while_it_waits_for_its_turn_never_begins_f17() -> None:
    begun = []

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope)
        await waiting(scope, receive, send)

    server = server_for(Listener(counting, []), limits=Limits(), refused=lambda *_: None)
    server.config.load()
    make: Any = server.config.http_protocol_class
    loop = asyncio.get_running_loop()
    crowd = []
    for _ in range(CROWD):
        protocol = make(
            config=server.config, server_state=server.server_state, app_state={}, _loop=loop
        )
        crowd.append(MemoryTransport(protocol))
        protocol.connection_made(crowd[-1])
    for transport in crowd:
        transport.protocol.data_received(REQUEST)
    for transport in crowd[MOST:]:
        transport.abort()  # the protocol is told behind those whose turn it is
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(begun) == len(server.server_state.tasks) == MOST
    for transport in crowd[:MOST]:
        transport.abort()
    await until(lambda: not server.server_state.tasks)
