"""WebSockets and event streams when the configuration is reloaded: whose are they, and how long.

Real workers, a real store, a real server behind them. That channels end with their session (P4,
P9) holds in the old workers as well.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from tests.support.crew import SECRETS, Crew, crewed
from tests.support.load import answer, ports_of

pytestmark = pytest.mark.e2e

STOPPING = (1001, "gateway.stopping")
SESSION_ENDED = (4401, "session.ended")
GUARD = 10.0  # seconds, for what has to happen at once; every bound that is tested is far longer

LOGOUT = (
    "POST /bff/logout HTTP/1.1\r\nhost: localhost:{port}\r\nsec-fetch-site: same-origin\r\n"
    "x-csrf: 1\r\ncookie: {cookie}\r\ncontent-length: 0\r\n\r\n"
)
EVENTS = (
    "GET /sse/x HTTP/1.1\r\nhost: localhost:{port}\r\nsec-fetch-site: same-origin\r\n"
    "x-csrf: 1\r\naccept: text/event-stream\r\ncookie: {cookie}\r\n\r\n"
)


@pytest.fixture
async def routes() -> AsyncIterator[list[dict[str, Any]]]:
    """Two upstreams: one returns every WebSocket message, one is an endless event stream."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def tick(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            while not reader.at_eof():
                writer.write(b"data: tick\n\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    async with AsyncExitStack() as stack:
        sockets = await stack.enter_async_context(serve(echo, "127.0.0.1", 0, ping_interval=None))
        events = await stack.enter_async_context(await asyncio.start_server(tick, "127.0.0.1", 0))
        ws, sse = (one.sockets[0].getsockname()[1] for one in (sockets.server, events))
        yield [
            {
                "path": "/ws/",
                "upstream": f"http://127.0.0.1:{ws}/",
                "access": "session",
                "websocket": True,
            },
            {"path": "/sse/", "upstream": f"http://127.0.0.1:{sse}/", "access": "session"},
        ]


@asynccontextmanager
async def websocket(crew: Crew, cookie: str) -> AsyncIterator[ClientConnection]:
    origin = f"http://localhost:{crew.port}"
    async with connect(
        f"ws://localhost:{crew.port}/ws/x",
        origin=origin,  # type: ignore[arg-type]  # a plain string
        additional_headers={"cookie": cookie},
        proxy=None,
        ping_interval=None,
        close_timeout=3,
    ) as client:
        yield client


@asynccontextmanager
async def new_websocket(crew: Crew, cookie: str) -> AsyncIterator[ClientConnection]:
    """One at a worker with the configuration in force; for a moment the old ones still accept."""
    async with AsyncExitStack() as stack:
        for _ in range(50):
            client = await stack.enter_async_context(websocket(crew, cookie))
            port = client.local_address[1]
            if any(port in ports_of(worker, crew.port) for worker in crew.workers()):
                yield client
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the old workers go on accepting")


async def echoes(client: ClientConnection) -> bool:
    async with asyncio.timeout(GUARD):
        await client.send("there?")
        return await client.recv() == "there?"


async def close_of(
    client: ClientConnection, within: float = GUARD
) -> tuple[int | None, str | None]:
    async with asyncio.timeout(within):
        await client.wait_closed()
    return client.close_code, client.close_reason


@asynccontextmanager
async def events(crew: Crew, cookie: str) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", crew.port)
    try:
        writer.write(EVENTS.format(port=crew.port, cookie=cookie).encode())
        async with asyncio.timeout(GUARD):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        yield reader
    finally:
        writer.close()


async def ticks(stream: asyncio.StreamReader) -> bool:
    """Whether something comes that has not come before."""
    async with asyncio.timeout(GUARD):
        await stream.read(65536)
        await stream.readuntil(b"data: tick\n\n")
    return True


async def log_out(crew: Crew, cookie: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", crew.port)
    writer.write(LOGOUT.format(port=crew.port, cookie=cookie).encode())
    async with asyncio.timeout(GUARD):
        assert (await answer(reader))[0] == 200
    writer.close()


async def reload(crew: Crew) -> None:
    """Send SIGHUP and wait until there is a new generation; older ones may go on."""
    wanted = crew.ready()["generation"] + 1
    crew.send(signal.SIGHUP)
    await crew.until(lambda: crew.ready()["generation"] == wanted)


def states(crew: Crew) -> set[tuple[int, str]]:
    return {(one["generation"], one["state"]) for one in crew.ready()["workers"]}


async def test_channels_outlive_a_reload_and_end_with_their_session(
    tmp_path: Path, store: str, routes: list[dict[str, Any]]
) -> None:
    with crewed(tmp_path, store, routes=routes) as crew:
        ada, bob = await crew.log_in("ada"), await crew.log_in("bob")
        async with (
            websocket(crew, ada) as hers,
            websocket(crew, bob) as his,
            events(crew, ada) as her_events,
            events(crew, bob) as his_events,
        ):
            await reload(crew)
            await crew.until(lambda: (1, "draining") in states(crew))
            async with new_websocket(crew, ada) as her_new_one:
                assert await echoes(hers)
                assert await echoes(her_new_one)
                assert await ticks(her_events)
                # The new workers are told of the logout, and the old ones still listen.
                await log_out(crew, ada)
                assert await close_of(hers) == SESSION_ENDED
                assert await close_of(her_new_one) == SESSION_ENDED
                async with asyncio.timeout(GUARD):
                    assert b"gateway.ended" in await her_events.readuntil(b"0\r\n\r\n")
            assert await echoes(his)
            assert await ticks(his_events)
            assert states(crew) == {(1, "draining"), (2, "ready")}
        # With the last channel the last old worker ends.
        await crew.until(lambda: states(crew) == {(2, "ready")})
        assert crew.metric("gateway_worker_restarts_total") == 0


async def test_one_old_generation_may_linger_and_the_next_reload_ends_it(
    tmp_path: Path, store: str, routes: list[dict[str, Any]]
) -> None:
    limits = {"shutdown_grace": "1s"}
    with crewed(tmp_path, store, workers=1, routes=routes, limits=limits) as crew:
        ada = await crew.log_in()
        async with websocket(crew, ada) as first:
            await reload(crew)
            async with new_websocket(crew, ada) as second:
                assert await echoes(first)
                await reload(crew)
                assert await close_of(first) == STOPPING
                assert await echoes(second)
                await crew.until(lambda: states(crew) == {(2, "draining"), (3, "ready")})


async def test_sigterm_ends_channels_of_every_generation(
    tmp_path: Path, store: str, routes: list[dict[str, Any]]
) -> None:
    with crewed(tmp_path, store, workers=1, routes=routes) as crew:
        ada = await crew.log_in()
        async with websocket(crew, ada) as first, events(crew, ada) as stream:
            await reload(crew)
            async with new_websocket(crew, ada) as second:
                crew.send(signal.SIGTERM)
                assert await close_of(first) == STOPPING
                assert await close_of(second) == STOPPING
                async with asyncio.timeout(GUARD):
                    rest = await stream.read()
                assert rest.endswith(b"0\r\n\r\n")  # in order: the browser connects again
                assert b"gateway.ended" not in rest
        assert await asyncio.to_thread(crew.program.process.wait, GUARD) == 0


async def test_a_killed_supervisor_leaves_no_old_worker_behind(
    tmp_path: Path, store: str, routes: list[dict[str, Any]]
) -> None:
    with crewed(tmp_path, store, workers=1, routes=routes) as crew:
        async with websocket(crew, await crew.log_in()) as client:
            await reload(crew)
            assert await echoes(client)
            crew.send(signal.SIGKILL)
            assert await close_of(client) == STOPPING


async def test_channels_end_at_the_end_of_the_grace(
    tmp_path: Path, store: str, routes: list[dict[str, Any]]
) -> None:
    limits = {"reload_grace": "2s"}
    with crewed(tmp_path, store, workers=1, routes=routes, limits=limits) as crew:
        ada = await crew.log_in()
        async with websocket(crew, ada) as client, events(crew, ada) as stream:
            await reload(crew)
            assert await echoes(client)
            assert await close_of(client) == STOPPING
            async with asyncio.timeout(GUARD):
                assert (await stream.read()).endswith(b"0\r\n\r\n")
            await crew.until(lambda: states(crew) == {(2, "ready")})


REMOVED = "the key that sealed the sessions is removed"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"limits": {"reload_grace": "0s"}}, id="the new configuration says so"),
        pytest.param({"keys": [{"id": "k2", "secret": {"env": "NEW_KEY"}}]}, id=REMOVED),
        pytest.param({"prefix": "other:"}, id="the sessions are elsewhere from now on"),
        pytest.param({"provider": "renamed"}, id="their provider is removed"),
    ],
)
async def test_a_reload_ends_channels_at_once_where_it_has_to(
    tmp_path: Path, store: str, routes: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    assert "NEW_KEY" in SECRETS
    with crewed(tmp_path, store, workers=1, routes=routes) as crew:
        async with websocket(crew, await crew.log_in()) as client:
            assert await echoes(client)
            if "prefix" in changes:
                changes = {"store": {**crew.document["store"], **changes}}
            if "provider" in changes:
                (provider,) = crew.document["providers"].values()
                changes = {"providers": {changes["provider"]: provider}}
            crew.write(**changes)
            await reload(crew)
            assert await close_of(client) == STOPPING
