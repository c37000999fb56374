"""An operator ends sessions at the supervisor's listener: two real workers, a real store."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from tests.support.crew import SECRETS, Crew, crewed
from tests.support.load import answer, ports_of

pytestmark = pytest.mark.e2e

ISSUER = "https%3A%2F%2Fid.example.com"
GUARD = 10.0  # seconds, for what takes a moment
TOKEN = SECRETS["CLIENT_SECRET"]


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        upstream = f"http://127.0.0.1:{port}/"
        routes = [{"path": "/ws/", "upstream": upstream, "websocket": True}]
        with crewed(tmp_path, f"embedded:{tmp_path}/store", routes=routes) as crew:
            yield crew


async def administrate(
    crew: Crew, target: str, method: str = "GET", *fields: str
) -> tuple[int, Any]:
    """What the supervisor's listener answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", crew.admin)
    lines = "".join(f"{line}\r\n" for line in fields)
    writer.write(f"{method} {target} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n".encode())
    async with asyncio.timeout(GUARD):
        status, _, body = await answer(reader)
    writer.close()
    return status, json.loads(body)


class Kept:
    """One connection to a worker, kept, and what it is told of a session."""

    def __init__(
        self, crew: Crew, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._crew = crew
        self._reader = reader
        self._writer = writer
        self.port = writer.get_extra_info("sockname")[1]

    async def status(self, cookie: str) -> int:
        """The answer at an endpoint that needs the session."""
        self._writer.write(
            f"GET /bff/sessions HTTP/1.1\r\nhost: localhost:{self._crew.port}\r\n"
            f"sec-fetch-site: same-origin\r\nx-csrf: 1\r\ncookie: {cookie}\r\n\r\n".encode()
        )
        async with asyncio.timeout(GUARD):
            return (await answer(self._reader))[0]


async def one_to_each_worker(crew: Crew, stack: AsyncExitStack) -> list[Kept]:
    found: dict[int, Kept] = {}
    for _ in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", crew.port)
        stack.callback(writer.close)
        kept = Kept(crew, reader, writer)
        await kept.status("none=1")
        for worker in crew.workers():
            if kept.port in ports_of(worker, crew.port):
                found[worker] = kept
        if len(found) == 2:
            return list(found.values())
    raise AssertionError("all connections went to one worker")


async def websocket(crew: Crew, cookie: str, stack: AsyncExitStack) -> ClientConnection:
    client = await stack.enter_async_context(
        connect(
            f"ws://localhost:{crew.port}/ws/x",
            origin=f"http://localhost:{crew.port}",  # type: ignore[arg-type]  # a plain string
            additional_headers={"cookie": cookie},
            proxy=None,
            ping_interval=None,
            close_timeout=3,
        )
    )
    await client.send("there?")
    async with asyncio.timeout(GUARD):
        assert await client.recv() == "there?"
    return client


async def until(kept: Kept, cookie: str, status: int) -> None:
    async with asyncio.timeout(GUARD):
        while await kept.status(cookie) != status:  # noqa: ASYNC110  in another process
            await asyncio.sleep(0.005)


async def test_what_the_operator_ends_is_over_on_every_worker_d7_p4(crew: Crew) -> None:
    async with AsyncExitStack() as stack:
        connections = await one_to_each_worker(crew, stack)
        ada, phone, bob = [await crew.log_in(who) for who in ("ada", "ada", "bob")]
        for cookie in (ada, phone, bob):
            for kept in connections:
                assert await kept.status(cookie) == 200
        sockets = [await websocket(crew, cookie, stack) for cookie in (ada, ada, ada, bob)]
        adas = f"/admin/sessions?issuer={ISSUER}&subject=ada"

        status, told = await administrate(crew, adas)
        assert (status, len(told["sessions"])) == (200, 2)
        of_phone = told["sessions"][0]["session_id"]
        assert await administrate(crew, f"/admin/sessions/{of_phone}", "DELETE") == (
            200,
            {"ended": 1},
        )
        for kept in connections:
            await until(kept, phone, 401)
            assert await kept.status(ada) == 200

        assert await administrate(crew, adas, "DELETE") == (200, {"ended": 1})
        for kept in connections:
            await until(kept, ada, 401)
            assert await kept.status(bob) == 200
        for client in sockets[:3]:
            async with asyncio.timeout(GUARD):
                await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4401, "session.ended")
        assert sockets[3].close_code is None

        everybody = await administrate(crew, "/admin/sessions?all=true", "DELETE")
        assert everybody == (200, {"ended": 1, "unreadable": 0})
        for kept in connections:
            await until(kept, bob, 401)

    lines = [one for one in crew.lines() if one.get("by") == "admin"]
    assert [one["event"] for one in lines].count("session.ended") == 3
    assert {one["client"] for one in lines} == {"127.0.0.1"}
    assert all("worker" in one for one in lines)  # a worker carried them out
    assert crew.metric("gateway_worker_silences_total") == 0


async def test_the_supervisor_refuses_by_itself_and_a_reload_changes_the_token(
    crew: Crew,
) -> None:
    cookie = await crew.log_in()
    everybody = "/admin/sessions?all=true"
    page = await administrate(crew, everybody, "DELETE", "origin: https://kittens.example")
    assert (page[0], page[1]["code"]) == (403, "admin.from_page")
    vague = await administrate(crew, "/admin/sessions?all=maybe", "DELETE")
    assert (vague[0], vague[1]["code"]) == (400, "admin.selector")
    refused = [one for one in crew.lines() if one["event"] == "request.refused"]
    assert [one["code"] for one in refused] == ["admin.from_page", "admin.selector"]
    assert not any("worker" in one for one in refused)

    crew.write(admin={"port": crew.admin, "token": {"env": "CLIENT_SECRET"}})
    await crew.reload()
    without = await administrate(crew, everybody, "DELETE")
    assert (without[0], without[1]["code"]) == (401, "admin.token")
    async with AsyncExitStack() as stack:
        kept, _ = await one_to_each_worker(crew, stack)
        assert await kept.status(cookie) == 200
        shown = f"authorization: Bearer {TOKEN}"
        ended = await administrate(crew, everybody, "DELETE", shown)
        assert ended == (200, {"ended": 1, "unreadable": 0})
        await until(kept, cookie, 401)
    assert TOKEN not in crew.program.output
