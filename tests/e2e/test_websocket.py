"""WebSockets through a real gateway, between a real server and a real client (P3, P5, P6, F29)."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.support import frames
from tests.support.open_gateway import OpenGateway, open_gateway
from tests.support.processes import free_port

pytestmark = pytest.mark.e2e

MEBIBYTE = 1 << 20
PATIENCE = 10.0


@pytest.fixture(scope="module")
def upstream_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream_port: int) -> Iterator[OpenGateway]:
    upstream = f"http://127.0.0.1:{upstream_port}/"
    routes: dict[str, dict[str, Any]] = {
        "/ws/": {"upstream": upstream, "websocket": True, "idle_timeout": "1s"},
        "/plain/": {"upstream": upstream},
    }
    with open_gateway(tmp_path_factory.mktemp("ws"), routes) as running:
        yield running


class Upstream:
    """A server: `/echo` sends back, `/silent` keeps what it gets, `/flood` never stops.

    `/close/CODE` closes as it should be done, `/raw/CODE` with whatever code.
    """

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.heads: list[Any] = []
        self.got: list[str | bytes] = []
        self.closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()
        self.server: Server

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        request = connection.request
        assert request is not None
        self.heads.append(request.headers)
        try:
            if request.path.startswith("/close/"):
                await connection.close(int(request.path.removeprefix("/close/")), "as asked")
            if request.path.startswith("/raw/"):
                code = int(request.path.removeprefix("/raw/"))
                connection.transport.write(frames.close(code, masked=False))
            if request.path == "/flood":
                while True:
                    await connection.send(b"x" * 65536)
            async for message in connection:
                self.got.append(message)
                if request.path == "/echo":
                    await connection.send(message)
        except ConnectionClosed:
            pass
        finally:
            await connection.wait_closed()
            self.closed.put_nowait((connection.close_code, connection.close_reason))

    async def ended(self) -> tuple[int | None, str | None]:
        async with asyncio.timeout(PATIENCE):
            return await self.closed.get()


@asynccontextmanager
async def serving(port: int, **options: Any) -> AsyncIterator[Upstream]:
    upstream = Upstream()
    async with serve(
        upstream.handle, "127.0.0.1", port, ping_interval=None, close_timeout=3, **options
    ) as server:
        upstream.server = server
        yield upstream


@pytest.fixture
async def upstream(upstream_port: int) -> AsyncIterator[Upstream]:
    async with serving(upstream_port) as running:
        yield running


def opening(gateway: OpenGateway, path: str = "/ws/echo", **options: Any) -> connect:
    """A client as a browser would be: our origin, compression offered, no proxy."""
    return connect(
        f"ws://localhost:{gateway.port}{path}",
        **{
            "origin": gateway.origin,
            "proxy": None,
            "ping_interval": None,
            "close_timeout": 3,
            "max_size": 4 * MEBIBYTE,
            **options,
        },
    )


async def close_of(client: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(PATIENCE):
        await client.wait_closed()
    return client.close_code, client.close_reason


# -- messages


@pytest.mark.parametrize(
    "message",
    ["", "text", "ünïcödé €", b"", b"\x00\xff", "x" * 126, "x" * 65536, b"\xaa" * MEBIBYTE],
    ids=lambda message: f"{type(message).__name__}-{len(message)}",
)
async def test_messages_come_back_as_they_were_sent(
    gateway: OpenGateway, upstream: Upstream, message: str | bytes
) -> None:
    async with opening(gateway) as client, asyncio.timeout(PATIENCE):
        for _ in range(3):
            await client.send(message)
            assert await client.recv() == message


async def test_fragments_stay_fragments(gateway: OpenGateway, upstream: Upstream) -> None:
    async with opening(gateway) as client, asyncio.timeout(PATIENCE):
        await client.send(["one ", "two ", "three"])
        assert await client.recv() == "one two three"
        await client.send(bytes([number]) * 100_000 for number in range(5))
        assert len(await client.recv()) == 500_000


async def test_pings_reach_the_other_end_and_come_back(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client, asyncio.timeout(PATIENCE):
        await (await client.ping(b"from the client"))
        await (await upstream.connections[0].ping(b"from the server"))


async def test_a_thousand_messages_each_way_at_once(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client, asyncio.timeout(30):
        wanted = [f"message {number}" for number in range(1000)]

        async def send() -> None:
            for message in wanted:
                await client.send(message)

        _, got = await asyncio.gather(send(), _take(client, len(wanted)))
        assert got == wanted


async def _take(client: ClientConnection, count: int) -> list[str | bytes]:
    return [await client.recv() for _ in range(count)]


async def test_silence_beyond_the_idle_timeout_of_bodies_is_allowed(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client, asyncio.timeout(PATIENCE):
        await asyncio.sleep(2.5)
        await client.send("still here")
        assert await client.recv() == "still here"


# -- handshakes


async def test_a_subprotocol_is_chosen_and_compression_is_not_p5(
    gateway: OpenGateway, upstream_port: int
) -> None:
    v1, v2 = Subprotocol("v1.chat"), Subprotocol("v2.chat")
    async with (
        serving(upstream_port, subprotocols=[v2]) as upstream,
        opening(gateway, subprotocols=[v1, v2]) as client,
    ):
        assert client.subprotocol == v2
        assert client.protocol.extensions == []
    assert upstream.heads[0].get("Sec-WebSocket-Extensions") is None
    assert upstream.heads[0]["Origin"] == gateway.origin


async def test_no_subprotocol_is_chosen_where_the_upstream_chooses_none_p5(
    gateway: OpenGateway, upstream_port: int
) -> None:
    offered = [Subprotocol("v1.chat"), Subprotocol("v2.chat")]
    async with serving(upstream_port) as upstream:
        async with opening(gateway, subprotocols=offered) as client:
            assert client.subprotocol is None
        assert upstream.heads[0]["Sec-WebSocket-Protocol"] == "v1.chat, v2.chat"


async def test_a_subprotocol_that_was_not_offered_is_a_502_p5(
    gateway: OpenGateway, upstream_port: int
) -> None:
    def another(connection: ServerConnection, request: Any, response: Any) -> None:
        response.headers["Sec-WebSocket-Protocol"] = "other"

    async with serving(upstream_port, process_response=another):
        with pytest.raises(InvalidStatus) as caught:
            async with opening(gateway, subprotocols=[Subprotocol("v1.chat")]):
                pass
    assert caught.value.response.status_code == 502


@pytest.mark.parametrize("origin", [None, "null", "http://localhost", "https://evil.example"])
async def test_another_origin_is_refused_and_the_upstream_hears_nothing_p1(
    gateway: OpenGateway, upstream: Upstream, origin: str | None
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opening(gateway, origin=origin):
            pass
    assert caught.value.response.status_code == 403
    assert upstream.connections == []


async def test_a_refusal_of_the_upstream_is_its_status_and_body_p3(
    gateway: OpenGateway, upstream_port: int
) -> None:
    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(403, "members only")

    async with serving(upstream_port, process_request=refuse):
        with pytest.raises(InvalidStatus) as caught:
            async with opening(gateway):
                pass
    assert caught.value.response.status_code == 403
    assert caught.value.response.body == b"members only"


async def test_an_upstream_that_is_not_there_is_a_502(gateway: OpenGateway) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opening(gateway):
            pass
    assert caught.value.response.status_code == 502


async def test_a_route_without_websockets_opens_none(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opening(gateway, "/plain/echo"):
            pass
    assert caught.value.response.status_code == 426  # the upstream's, for it saw no Upgrade
    assert upstream.connections == []


# -- the end


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 1012, 3000, 3999, 4000, 4999])
async def test_close_codes_pass_both_ways_p6(
    gateway: OpenGateway, upstream: Upstream, code: int
) -> None:
    async with opening(gateway) as client:
        await client.close(code, "because")
        assert await upstream.ended() == (code, "because")
        assert (await close_of(client))[0] == code
    async with opening(gateway, f"/ws/close/{code}") as client:
        assert await close_of(client) == (code, "as asked")
        await upstream.ended()


async def test_a_close_without_a_code_has_none_at_the_other_end_either_p6(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client:
        client.transport.write(frames.close())
        assert await upstream.ended() == (1005, "")
        assert (await close_of(client))[0] == 1005
    async with opening(gateway) as client:
        await client.send("hello")
        await client.recv()
        upstream.connections[-1].transport.write(frames.close(masked=False))
        assert await close_of(client) == (1005, "")
        assert (await upstream.ended())[0] == 1005


NOT_TO_BE_SENT = [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535]  # RFC 6455 section 7.4


async def test_a_close_code_that_nobody_may_send_reaches_nobody_p6(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async def from_upstream(code: int) -> object:
        async with opening(gateway, f"/ws/raw/{code}") as client:
            return await close_of(client)

    async def from_client(code: int) -> object:
        async with opening(gateway) as client:
            client.transport.write(frames.close(code))
            return await close_of(client)

    found = await asyncio.gather(*map(from_upstream, NOT_TO_BE_SENT))
    assert set(found) == {(1011, "websocket.violation")}
    assert {(await upstream.ended())[0] for _ in found} == {1002}
    found = await asyncio.gather(*map(from_client, NOT_TO_BE_SENT))
    assert set(found) == {(1002, "websocket.violation")}
    assert {(await upstream.ended())[0] for _ in found} == {1001}


async def test_an_upstream_that_dies_is_noticed_though_nobody_says_a_word_f29(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client:
        await client.send("hello")
        await client.recv()
        upstream.connections[0].transport.abort()
        assert await close_of(client) == (1011, "upstream.lost")


async def test_a_client_that_dies_is_noticed_though_nobody_says_a_word_f29(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client:
        await client.send("hello")
        await client.recv()
        client.transport.abort()
        assert await upstream.ended() == (1001, "browser.lost")


async def test_a_message_above_the_limit_is_1009_p6(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client:
        with contextlib.suppress(ConnectionClosed):
            await client.send(b"x" * (16 * MEBIBYTE))
        assert (await close_of(client))[0] == 1009
        assert await upstream.ended() == (1001, "websocket.too_big")
        assert upstream.got == []


async def test_the_limit_holds_for_a_message_over_all_its_fragments_p6(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client:
        with contextlib.suppress(ConnectionClosed):
            await client.send(bytes([number]) * 200_000 for number in range(6))
        assert (await close_of(client))[0] == 1009
        assert (await upstream.ended())[0] == 1001
        assert upstream.got == []


async def test_a_message_of_the_upstream_above_the_limit_reaches_no_browser_p6(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client:
        await client.send("hello")
        await client.recv()
        with contextlib.suppress(ConnectionClosed):
            await upstream.connections[0].send(b"x" * (2 * MEBIBYTE))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert await close_of(client) == (1011, "websocket.too_big")
        assert (await upstream.ended())[0] == 1009


async def test_a_masked_frame_of_the_upstream_is_a_violation(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client:
        upstream.connections[0].transport.write(b"\x81\x81\x00\x00\x00\x00x")
        assert await close_of(client) == (1011, "websocket.violation")
        assert (await upstream.ended())[0] == 1002


async def test_a_frame_without_a_mask_is_a_violation(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    async with opening(gateway) as client:
        client.transport.write(b"\x81\x01x")
        assert await close_of(client) == (1002, "websocket.violation")
        assert (await upstream.ended())[0] == 1001
        assert upstream.got == []


# -- pace


async def test_a_client_that_reads_nothing_holds_the_upstream_and_no_memory_p6(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    before = gateway.resident()
    async with opening(gateway, "/ws/flood", max_queue=1) as client:
        client.transport.pause_reading()
        await asyncio.sleep(2)
        assert gateway.resident() - before < 16 * MEBIBYTE
        (flooding,) = upstream.connections
        assert flooding.transport.get_write_buffer_size() > 0  # the upstream waits
        client.transport.resume_reading()
        async with asyncio.timeout(20):
            for _ in range(200):
                assert len(await client.recv()) == 65536


async def test_an_upstream_that_reads_nothing_holds_the_client_and_no_memory_p6(
    gateway: OpenGateway, upstream: Upstream
) -> None:
    before = gateway.resident()
    async with opening(gateway, "/ws/silent") as client:
        await client.send("first")
        await asyncio.sleep(0.1)
        upstream.connections[0].transport.pause_reading()
        flood = asyncio.create_task(_send_for_ever(client))
        await asyncio.sleep(2)
        assert not flood.done()  # it waits
        flood.cancel()
        assert gateway.resident() - before < 16 * MEBIBYTE
        upstream.connections[0].transport.resume_reading()
        async with asyncio.timeout(PATIENCE):
            await client.send("last")
            while not upstream.got or upstream.got[-1] != "last":  # noqa: ASYNC110  the server's list
                await asyncio.sleep(0.01)


async def _send_for_ever(client: ClientConnection) -> None:
    while True:
        await client.send(b"x" * 65536)


async def test_two_hundred_at_once(gateway: OpenGateway, upstream: Upstream) -> None:
    async def one(number: int) -> None:
        async with opening(gateway) as client:
            for turn in range(5):
                await client.send(f"{number} {turn}")
                assert await client.recv() == f"{number} {turn}"

    async with asyncio.timeout(60):
        await asyncio.gather(*map(one, range(200)))


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stopping_gateway_says_goodbye(tmp_path: Path, workers: int) -> None:
    port = free_port()
    routes = {"/ws/": {"upstream": f"http://127.0.0.1:{port}/", "websocket": True}}
    async with serving(port) as upstream:
        with open_gateway(tmp_path, routes, workers=workers) as gateway:
            async with opening(gateway) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
                gateway.program.process.send_signal(signal.SIGTERM)
                assert await close_of(client) == (1001, "gateway.stopping")
                assert await upstream.ended() == (1001, "gateway.stopping")
                code = await asyncio.to_thread(gateway.program.process.wait, 10)
    assert code == 0
