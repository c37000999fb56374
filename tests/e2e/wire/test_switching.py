"""A connection that is taken out of HTTP by a 101, octet by octet on real sockets (P2, P6)."""

import asyncio
from typing import Any

import pytest

from gateway.errors import Code
from tests.support.serving import served
from tests.support.switching import ASK, HANDSHAKE, Switching

pytestmark = pytest.mark.e2e


async def read_exactly(reader: asyncio.StreamReader, count: int) -> bytes:
    async with asyncio.timeout(10):
        return await reader.readexactly(count)


async def test_octets_go_both_ways_and_early_ones_come_first() -> None:
    app = Switching()
    async with served(app) as server:
        reader, writer = await server.connect()
        writer.write(ASK + b"early GET / HTTP/1.1\r\n\r\n")
        wanted = HANDSHAKE + b"early GET / HTTP/1.1\r\n\r\n"
        assert await read_exactly(reader, len(wanted)) == wanted
        writer.write(b"\x00\xff later")
        assert await read_exactly(reader, 8) == b"\x00\xff later"
        writer.close()
        await asyncio.wait_for(app.ends[0].gone.wait(), 10)
        assert app.ends[0].losses == 1


async def test_octets_sent_while_the_handshake_is_being_decided_arrive() -> None:
    app = Switching(wait=asyncio.Event())
    async with served(app) as server:
        reader, writer = await server.connect()
        writer.write(ASK[:-1])
        await asyncio.sleep(0.05)
        writer.write(ASK[-1:])
        assert await read_exactly(reader, len(HANDSHAKE)) == HANDSHAKE
        writer.write(b"before anybody listens")
        await asyncio.sleep(0.05)
        assert app.wait is not None
        app.wait.set()
        assert await read_exactly(reader, 22) == b"before anybody listens"
        writer.close()


async def test_a_loss_before_anybody_listens_is_told_at_attach() -> None:
    app = Switching(wait=asyncio.Event())
    async with served(app) as server:
        _, writer = await server.connect()
        writer.write(ASK)
        await asyncio.wait_for(app.switched.wait(), 10)
        app.wires[0].abort()
        await asyncio.sleep(0.05)
        assert app.wait is not None
        app.wait.set()
        await asyncio.sleep(0.05)
        assert app.ends[0].losses == 1
        app.wires[0].write(b"nobody is there")
        app.wires[0].pause()
        app.wires[0].resume()
        app.wires[0].close()
        writer.close()


async def test_what_is_buffered_is_sent_before_a_close_and_the_loss_is_told_once() -> None:
    app = Switching(echo=False)
    async with served(app) as server:
        reader, writer = await server.connect()
        writer.write(ASK)
        await read_exactly(reader, len(HANDSHAKE))
        app.wires[0].write(b"x" * 300_000)
        app.wires[0].close()
        app.wires[0].write(b"too late")
        async with asyncio.timeout(10):
            assert await reader.read() == b"x" * 300_000
        await asyncio.wait_for(app.ends[0].gone.wait(), 10)
        assert app.ends[0].losses == 1
        writer.close()


async def test_a_peer_that_does_not_read_makes_the_end_wait_and_then_go_on_p6() -> None:
    app = Switching(echo=False)
    async with served(app) as server:
        reader, writer = await server.connect()
        writer.write(ASK)
        await read_exactly(reader, len(HANDSHAKE))
        written = 0
        async with asyncio.timeout(10):
            while not app.ends[0].may:  # the kernel's buffers take the first megabytes
                app.wires[0].write(b"y" * 65536)
                written += 65536
                await asyncio.sleep(0)
        assert app.ends[0].may == [False]
        await read_exactly(reader, written)
        await asyncio.wait_for(app.ends[0].again.wait(), 10)
        assert app.ends[0].may == [False, True]
        writer.close()


async def test_a_paused_wire_reads_nothing_until_it_is_resumed_p6() -> None:
    app = Switching(echo=False)
    async with served(app) as server:
        reader, writer = await server.connect()
        writer.write(ASK)
        await read_exactly(reader, len(HANDSHAKE))
        app.wires[0].pause()
        app.wires[0].pause()
        writer.write(b"held")
        await asyncio.sleep(0.1)
        assert app.ends[0].octets == b""
        app.wires[0].resume()
        await asyncio.wait_for(app.ends[0].pieces.wait(), 10)
        assert app.ends[0].octets == b"held"
        writer.close()


async def test_a_wire_counts_as_a_connection_until_it_is_lost() -> None:
    app = Switching()
    async with served(app) as server:
        reader, writer = await server.connect()
        writer.write(ASK)
        await read_exactly(reader, len(HANDSHAKE))
        assert len(server.server.server_state.connections) == 1
        assert not server.server.server_state.tasks  # the request itself is over
        writer.close()
        await asyncio.wait_for(app.ends[0].gone.wait(), 10)
        assert not server.server.server_state.connections


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_nobody_is_switched_who_did_not_ask_p2(octets: bytes) -> None:
    app = Switching()
    async with served(app) as server:
        assert b"plain" in await server.say(octets)
    assert app.refused == [Code.UPGRADE_REFUSED]


async def test_a_request_before_the_one_that_asks_is_answered_first_and_not_switched() -> None:
    app = Switching()
    async with served(app) as server:
        reader, writer = await server.connect()
        writer.write(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n" + ASK + b"early")
        async with asyncio.timeout(10):
            first = await reader.readuntil(b"plain\r\n0\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await read_exactly(reader, len(HANDSHAKE) + 5) == HANDSHAKE + b"early"
        writer.close()
    assert app.refused == [Code.UPGRADE_REFUSED]


async def test_a_body_behind_an_upgrade_never_switches_p2() -> None:
    app = Switching()
    async with served(app) as server:
        asking = ASK.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"hello"
        assert (await server.say(asking)).startswith(b"HTTP/1.1 501 ")
    assert not app.wires
    assert server.refused[0][0] is Code.UPGRADE_REFUSED


async def test_a_field_cannot_end_its_line_l7() -> None:
    raised: list[type[BaseException]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            scope["gateway.connection"].switch(((b"upgrade", b"a\r\nset-cookie: x"),))
        except ValueError as failure:
            raised.append(type(failure))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"plain"})

    async with served(app) as server:
        assert b"cookie" not in await server.say(ASK)
    assert raised == [ValueError]
