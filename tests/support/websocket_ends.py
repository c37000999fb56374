"""WebSockets through the whole gateway in one process: real endpoints, wires in memory.

Both ends speak through the `websockets` package's own protocol machines, so what passes has been
read by somebody who did not write the gateway.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key

from gateway.edge.messages import Fields, UpstreamRequest
from gateway.ports import Upgraded, Wire
from gateway.web.connection import Connection
from tests.support.asgi import Answer, call
from tests.support.browser import Browser
from tests.support.wires import MemoryWire, pair
from tests.support.world import World

KEY = b64encode(b"sixteen octets!!")
BIG = 1 << 24


class Endpoint:
    """One end of a WebSocket. Answers Pings and Closes by itself unless it is told not to."""

    def __init__(self, wire: MemoryWire, protocol: Protocol) -> None:
        self.wire = wire
        self.protocol = protocol
        self.frames: list[Frame] = []
        self.octets = b""
        self.lost_at_all = False
        self.answers = True
        self.listens = True
        self._news = asyncio.Event()
        wire.attach(self)

    # -- the wire's end

    def received(self, octets: bytes) -> None:
        self.octets += octets
        if self.listens:
            self.protocol.receive_data(octets)
            self.frames += [
                one for one in self.protocol.events_received() if isinstance(one, Frame)
            ]
            if self.answers:
                self._flush()
        self._news.set()

    def lost(self) -> None:
        self.lost_at_all = True
        if self.listens:
            self.protocol.receive_eof()
        self._news.set()

    def may_write(self, *, now: bool) -> None:
        self._news.set()

    # -- the test

    def text(self, words: str, *, fin: bool = True) -> None:
        self.protocol.send_text(words.encode(), fin)
        self._flush()

    def binary(self, octets: bytes, *, fin: bool = True) -> None:
        self.protocol.send_binary(octets, fin)
        self._flush()

    def more(self, octets: bytes, *, fin: bool) -> None:
        self.protocol.send_continuation(octets, fin)
        self._flush()

    def ping(self, octets: bytes = b"") -> None:
        self.protocol.send_ping(octets)
        self._flush()

    def close(self, code: int | None = None, reason: str = "") -> None:
        self.protocol.send_close(code, reason)
        self._flush()

    def answer(self) -> None:
        """Answer after all, and go on doing so."""
        self.answers = True
        self._flush()

    def raw(self, octets: bytes) -> None:
        self.wire.write(octets)

    def vanish(self) -> None:
        """The connection breaks without a word."""
        self.wire.abort()

    @property
    def messages(self) -> list[bytes | str]:
        """Whole messages so far, fragments joined."""
        found: list[bytes | str] = []
        parts: list[Frame] = []
        for one in self.frames:
            if one.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                parts.append(one)
                if one.fin:
                    octets = b"".join(bytes(part.data) for part in parts)
                    found.append(octets.decode() if parts[0].opcode is Opcode.TEXT else octets)
                    parts = []
        return found

    def of(self, opcode: Opcode) -> list[bytes]:
        return [bytes(one.data) for one in self.frames if one.opcode is opcode]

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the Close that came; None when none has."""
        said = self.protocol.close_rcvd
        return None if said is None else (int(said.code), said.reason)

    async def until(self, condition: Callable[["Endpoint"], object]) -> None:
        async with asyncio.timeout(10):
            while not condition(self):
                self._news.clear()
                await self._news.wait()

    def _flush(self) -> None:
        for octets in self.protocol.data_to_send():
            if octets:
                self.wire.write(octets)
            else:
                self.wire.close()


class LiveApi:
    """The upstream's side: accepts handshakes and keeps every endpoint it opened."""

    def __init__(self, world: World) -> None:
        self.more: Fields = ()
        self.protocol: str | None = None
        self.opened: list[Endpoint] = []
        self.wires: list[MemoryWire] = []
        world.api.accept = self.accept

    def accept(self, request: UpstreamRequest) -> Upgraded:
        (key,) = [value for name, value in request.fields if name == b"sec-websocket-key"]
        ours, theirs = pair()
        self.wires.append(ours)
        self.opened.append(Endpoint(theirs, ServerProtocol(state=State.OPEN, max_size=BIG)))
        fields: list[tuple[bytes, bytes]] = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", accept_key(key.decode()).encode()),
        ]
        if self.protocol:
            fields.append((b"Sec-WebSocket-Protocol", self.protocol.encode()))
        return Upgraded((*fields, *self.more), ours)


@dataclass
class Opening:
    """What became of a handshake: an answer, or a 101 and the browser's endpoint behind it."""

    status: int
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    answer: Answer | None = None
    endpoint: Endpoint | None = None
    wire: MemoryWire | None = None  # the gateway's own end

    def all(self, name: str) -> list[str]:
        return [value.decode() for key, value in self.fields if key == name.encode()]

    @property
    def code(self) -> str:
        assert self.answer is not None
        return str(self.answer.json()["code"])


HANDSHAKE: tuple[tuple[bytes, bytes], ...] = (
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
)


async def ask(
    app: Any,
    target: bytes,
    fields: Iterable[tuple[bytes, bytes]],
    *,
    method: str = "GET",
    http_version: str = "1.1",
) -> Opening:
    """Send a handshake with exactly these fields on a connection that can be switched."""
    switched: list[tuple[Fields, MemoryWire, MemoryWire]] = []

    def switch(said: Fields) -> Wire:
        gateways, browsers = pair()
        switched.append((said, gateways, browsers))
        return gateways

    connection = Connection(cut=None, switch=switch)
    answer = await call(
        app,
        method,
        target,
        fields,
        peer="203.0.113.7",
        scope_changes={"gateway.connection": connection, "http_version": http_version},
    )
    if not switched:
        return Opening(answer.status, answer.fields, answer)
    assert answer.status == 0  # nothing was said in HTTP any more
    ((said, gateways, browsers),) = switched
    protocol = ClientProtocol(parse_uri("wss://app.example/"), state=State.OPEN, max_size=BIG)
    endpoint = Endpoint(browsers, protocol)
    return Opening(101, list(said), None, endpoint, gateways)


async def open_websocket(
    browser: Browser,
    path: str = "/live/x",
    *more: tuple[bytes, bytes],
    origin: str | None = "https://app.example",
    app: Any = None,
) -> Opening:
    """Open a WebSocket as a script of the app does: cookies and Origin come by themselves."""
    fields: list[tuple[bytes, bytes]] = [(b"host", b"app.example"), *HANDSHAKE, *more]
    if origin is not None:
        fields.append((b"origin", origin.encode()))
    cookies = "; ".join(f"{name}={cookie.value}" for name, cookie in browser.cookies.items())
    if cookies:
        fields.append((b"cookie", cookies.encode()))
    return await ask(app or browser.origins[browser.home], path.encode(), fields)


async def connected(
    browser: Browser, api: LiveApi, path: str = "/live/x"
) -> tuple[Endpoint, Endpoint]:
    """Open one, and return the browser's endpoint and the API's."""
    opening = await open_websocket(browser, path)
    assert opening.endpoint is not None, opening.answer
    return opening.endpoint, api.opened[-1]
