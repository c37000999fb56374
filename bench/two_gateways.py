"""Gateways on one Redis, sessions in their memory, and clients that notice when one is over."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from bench.programs import CORES, BenchError, Command, Program, free_port, start, wait_for
from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.adapters.system import SystemClock, SystemEntropy
from gateway.ports import AuditEvent
from gateway.secret import AccessToken, KeyMaterial, LoginBinding, StoreUrl
from gateway.session.manager import Sessions
from gateway.session.model import Session, SessionPolicy, Tokens
from gateway.session.sealing import KeyRing, RingKey, unb64
from tests.support.new_sessions import facts_of_login
from tests.support.processes import gateway_command
from tests.support.redis_servers import RealServer
from tests.support.redis_servers import running as serving_redis

PROVIDER = "main"
CLIENT_ID = "spa"
_COOKIE = "__Host-Http-session"
_KEY = "T7Xl2V0pQ9sM4bWc8ZrEYhKj3NnUaGdF1oLiCxSvBqk"
_STORE_PASSWORD = "a-password-of-nothing-but-this-server"
_TOLD = "changes in the store are told"  # what a gateway logs when its link holds
_FORBIDDEN = "does not let us watch"  # or when nothing is told
_GUARD = 15.0  # seconds, for what takes milliseconds
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_EVENT = b"data: there\n\n"
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + f"{len(_EVENT):x}\r\n".encode()
    + _EVENT
    + b"\r\n"
)


class _Silent:
    """An audit log nobody reads."""

    def record(self, event: AuditEvent) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A session that is going to end."""

    session: Session
    cookie: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway of one worker; `origin_port` is the public origin's, the same for all."""

    port: int
    admin: int
    origin_port: int
    program: Program

    @property
    def links(self) -> int:
        """How often its link to the store has been made."""
        return self.program.output.count(_TOLD)

    async def trusts_again(self, before: int) -> None:
        """Wait until the link has been made anew, so that sessions are served from memory."""
        if not await asyncio.to_thread(wait_for, lambda: self.links > before, _GUARD):
            raise BenchError("a gateway does not watch the store any more")

    @contextlib.asynccontextmanager
    async def connected(self, *, admin: bool = False) -> AsyncIterator["Talk"]:
        """Return a connection that is kept."""
        port = self.admin if admin else self.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield Talk(reader, writer, "localhost" if admin else f"localhost:{self.origin_port}")
        finally:
            writer.close()

    @contextlib.asynccontextmanager
    async def websocket(self, cookie: str) -> AsyncIterator[ClientConnection]:
        """Open a WebSocket that has echoed once."""
        async with connect(
            f"ws://localhost:{self.origin_port}/ws/x",
            host="127.0.0.1",
            port=self.port,
            origin=f"http://localhost:{self.origin_port}",  # type: ignore[arg-type]  # a plain string
            additional_headers={"cookie": f"{_COOKIE}={cookie}"},
            proxy=None,
            ping_interval=None,
            compression=None,
        ) as client:
            await client.send("there?")
            await client.recv()
            yield client

    @contextlib.asynccontextmanager
    async def event_stream(self, cookie: str) -> AsyncIterator["Talk"]:
        """Open an event stream that has said something."""
        async with self.connected() as talk:
            talk.writer.write(
                f"GET /api/events HTTP/1.1\r\nhost: {talk.host}\r\nx-csrf: 1\r\n"
                f"sec-fetch-site: same-origin\r\ncookie: {_COOKIE}={cookie}\r\n\r\n".encode()
            )
            await talk.reader.readuntil(_EVENT)
            yield talk


@dataclass(frozen=True, slots=True)
class Talk:
    """A kept connection to a gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str

    async def ask(
        self, target: str, method: str = "GET", *, cookie: str = "", form: str = ""
    ) -> int:
        """Return the status of an answer, read to its end."""
        lines = [f"{method} {target} HTTP/1.1", f"host: {self.host}"]
        if cookie:
            lines += [f"cookie: {_COOKIE}={cookie}", "x-csrf: 1", "sec-fetch-site: same-origin"]
        if method == "POST":
            lines += [
                "content-type: application/x-www-form-urlencoded",
                f"content-length: {len(form)}",
            ]
        self.writer.write("\r\n".join([*lines, "", form]).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self.reader.readexactly(int(length or 0))
        return int(head.split(b" ", 2)[1])

    async def begun(self, target: str, cookies: str) -> bytes:
        """Return the head of the answer to a page load with these cookies."""
        fields = f"host: {self.host}\r\nsec-fetch-site: none\r\ncookie: {cookies}"
        mode = "sec-fetch-mode: navigate\r\nsec-fetch-dest: document"
        self.writer.write(f"GET {target} HTTP/1.1\r\n{fields}\r\n{mode}\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self.reader.readexactly(int(length or 0))
        return head

    async def ended(self) -> float:
        """Return when the event stream on this connection said that its session is over."""
        await self.reader.readuntil(b"event: gateway.ended")
        return time.perf_counter()

    async def refused(self, cookie: str) -> float:
        """Ask again and again; return when a session that was served was not served any more."""
        while (status := await self.ask("/api/x", cookie=cookie)) == 200:
            pass
        at = time.perf_counter()
        if status != 401 or await self.ask("/api/x", cookie=cookie) != 401:
            raise BenchError(f"a session that was ended was answered {status}")
        return at


async def closed(client: ClientConnection) -> float:
    """Return when the gateway has closed a WebSocket because its session is over."""
    await client.wait_closed()
    at = time.perf_counter()
    if client.close_code != 4401:
        raise BenchError(f"a WebSocket was closed with {client.close_code}")
    return at


class SessionMaker:
    """Makes sessions without a provider, as a login does."""

    def __init__(self, redis_port: int, issuer: str) -> None:
        settings = StoreSettings(Way(redis_port).url, command_timeout=5, budget=15)
        self.store = RedisStore(settings)
        self._clock, entropy = SystemClock(), SystemEntropy()
        self._ring = KeyRing([RingKey("bench", KeyMaterial(unb64(_KEY)))], entropy)
        policy = SessionPolicy()
        self._sessions = Sessions(self.store, self._ring, policy, self._clock, entropy, _Silent())
        self._issuer = issuer

    async def made(self, subject: str, sid: str | None = None, **facts_beside: object) -> Victim:
        """Store a new session of this person; of which other facts may be said."""
        now = self._clock.now()
        facts = facts_of_login(self._sessions.new_session_id(), self._issuer, subject, now, sid=sid)
        facts = replace(facts, **facts_beside)  # type: ignore[arg-type]  # names of facts
        tokens = Tokens(AccessToken("a-token"), now + 3600, now, frozenset({"openid"}))
        session = await self._sessions.create(facts, tokens)
        return Victim(session, self._ring.cookie_value(session.handle))

    def browser_of(self, login_cookie: str) -> str:
        """Return by what name sessions know the browser that has this login cookie."""
        binding = LoginBinding(login_cookie)
        return self._ring.browser_tag(binding)


@dataclass(frozen=True, slots=True)
class Way:
    """How a gateway reaches the store; `user` is one who may not watch it."""

    port: int
    user: str = ""

    @property
    def url(self) -> StoreUrl:
        """The store's address."""
        return StoreUrl(f"redis://127.0.0.1:{self.port}/0")

    @property
    def settings(self) -> dict[str, object]:
        """The section of a gateway's configuration."""
        whose = {"username": self.user, "password": {"env": "STORE_PASSWORD"}} if self.user else {}
        return {"url": self.url.reveal(), **whose}


def not_watching(server: RealServer) -> Way:
    """Return a way to this server on which nothing is told, as on some that are managed."""
    rules = ("on", f">{_STORE_PASSWORD}", "~*", "&*", "+@all", "-client|tracking")
    server.command("ACL", "SETUSER", "unwatched", *rules)
    return Way(server.port, "unwatched")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[RealServer]:
    """Run a server of our own."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise BenchError("redis-server is missing: apt-get install redis-server")
    with serving_redis(RealServer(binary, folder, free_port())) as server:
        yield server


@contextlib.asynccontextmanager
async def api() -> AsyncIterator[tuple[int, int]]:
    """Serve an API that answers everybody, and WebSockets that echo; gives the two ports."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(_STREAM if head.startswith(b"GET /events ") else _OK)
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as plain,
        serve(echo, "127.0.0.1", 0, ping_interval=None, compression=None) as sockets,
    ):
        yield (
            plain.sockets[0].getsockname()[1],
            next(iter(sockets.sockets)).getsockname()[1],
        )


def gateways(
    stack: contextlib.ExitStack,
    folder: Path,
    issuer: str,
    upstreams: tuple[int, int],
    ways: Sequence[Way],
) -> list[Gateway]:
    """Start a gateway for each way to the store, all of them with the same public origin."""
    ports = [free_port() for _ in ways]
    plain, sockets = (f"http://127.0.0.1:{port}/" for port in upstreams)
    started = []
    for number, (port, way) in enumerate(zip(ports, ways, strict=True)):
        admin = free_port()
        settings = {
            "public_origin": f"http://localhost:{ports[0]}",
            "listen": {"host": "127.0.0.1", "port": port, "workers": 1},
            "admin": {"port": admin},
            "store": way.settings,
            "keys": [{"id": "bench", "secret": {"env": "RING_KEY"}}],
            "providers": {
                PROVIDER: {
                    "issuer": issuer,
                    "client_id": CLIENT_ID,
                    "client_secret": {"env": "CLIENT_SECRET"},
                    "frontchannel_logout": True,
                }
            },
            "routes": [
                {"path": "/api/", "upstream": plain},
                {"path": "/ws/", "upstream": sockets, "websocket": True},
            ],
        }
        file = folder / f"{number}.yaml"
        file.write_text(yaml.safe_dump(settings))
        command = Command(
            gateway_command("run", "--config", str(file)),
            {
                "RING_KEY": _KEY,
                "CLIENT_SECRET": "a-client-secret-of-32-characters",
                "STORE_PASSWORD": _STORE_PASSWORD,
            },
            says=_FORBIDDEN if way.user else _TOLD,
        )
        program = start(stack, command, folder / f"{number}.log", ",".join(map(str, CORES)))
        started.append(Gateway(port, admin, ports[0], program))
    return started
