"""A crowd of people who are logged in and use the application while something fails behind it.

Each asks in turn for everything an application asks for, with a browser's manners as far as they
matter here: a cookie that is taken back is not sent again. Every answer is kept, so that a test can
say what may have been in it and when. Raw sockets; nothing is repeated by a library.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_PATIENCE = 30.0  # seconds for one answer
_NAMED = re.compile(rb"person-[0-9]+")
_NAVIGATION = "sec-fetch-site: none\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n"
_FETCH = "sec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\nx-csrf: 1\r\n"
_ASKED = {
    "call": ("GET /api/x", _FETCH),
    "write": ("POST /api/x", _FETCH + "origin: http://localhost:{port}\r\ncontent-length: 2\r\n"),
    "page": ("GET /api/report", _NAVIGATION + "accept: text/html\r\n"),
    "me": ("GET /bff/session", _FETCH),
    "login": ("GET /bff/login", _NAVIGATION + "accept: text/html\r\n"),
    "file": ("GET /", _NAVIGATION + "accept: text/html\r\n"),
}
MIX = ("call", "write", "call", "page", "call", "me", "call", "login", "call", "file")
WITH_A_SESSION = frozenset({"call", "write", "page", "me"})


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: to whom, to what, and when (seconds of the monotonic clock)."""

    kind: str
    person: str
    with_cookie: bool
    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    began: float
    ended: float

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    @property
    def took(self) -> float:
        return self.ended - self.began

    @property
    def code(self) -> str:
        """The stable code of a problem document, or nothing."""
        try:
            return str(json.loads(self.body).get("code", ""))
        except ValueError:
            return ""


@dataclass
class Crowd:
    """`clients` connections; each serves people of its own, so nobody asks twice at once."""

    port: int
    cookies: dict[str, str]
    clients: int = 20
    pause: float = 0.15

    told: list[Told] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stopping: bool = False

    async def ask(self, kind: str, person: str) -> Told:
        """One request on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return await self._ask(reader, writer, kind, person)
        finally:
            writer.close()

    async def each(self, kind: str) -> list[Told]:
        """Everybody asks for this at once."""
        return await asyncio.gather(*(self.ask(kind, person) for person in [*self.cookies]))

    def of(self, began: float, ended: float, kinds: frozenset[str] = WITH_A_SESSION) -> list[Told]:
        """The answers to what was asked after `began` and answered before `ended`."""
        return [
            one
            for one in self.told
            if one.kind in kinds and one.began >= began and one.ended <= ended
        ]

    def count(self, chosen: Callable[[Told], object] = lambda _: True) -> Counter[int]:
        """How often there was which status."""
        return Counter(one.status for one in self.told if chosen(one))

    async def _client(self, number: int) -> None:
        mine = [*self.cookies][number :: self.clients]
        turn = number
        while not self.stopping:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                while not self.stopping:
                    kind = MIX[(turn + turn // len(mine)) % len(MIX)]  # not always the same one
                    person = mine[turn % len(mine)]
                    told = await self._ask(reader, writer, kind, person)
                    turn += 1
                    await asyncio.sleep(self.pause)
                    if told.all(b"connection") == [b"close"]:
                        break
            except (OSError, EOFError, TimeoutError) as failure:
                self.lost.append(repr(failure))
            finally:
                writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str, person: str
    ) -> Told:
        line, fields = _ASKED[kind]
        cookie = self.cookies[person]
        carried = f"cookie: {cookie}\r\n" if cookie else ""
        host = f" HTTP/1.1\r\nhost: localhost:{self.port}\r\n"
        head = line + host + fields.format(port=self.port) + carried + "\r\n"
        began = time.monotonic()
        writer.write(head.encode() + (b"{}" if kind == "write" else b""))
        async with asyncio.timeout(_PATIENCE):
            status, answered, body = await _answer(reader)
        now = time.monotonic()
        told = Told(kind, person, bool(cookie), status, answered, body, began, now)
        self.told.append(told)
        if cookie and takes_back(told):
            self.cookies[person] = ""
        return told


def takes_back(told: Told) -> bool:
    """Whether the answer makes the browser drop its session cookie."""
    return any(
        b"session=" in value.partition(b";")[0] + b"=" and b"Max-Age=0" in value
        for value in told.all(b"set-cookie")
    )


def names_somebody_else(told: Told) -> bool:
    """Whether the answer is, in part, for another person."""
    return bool(set(_NAMED.findall(told.body)) - {told.person.encode()})


def is_their_own(told: Told) -> bool:
    """Whether the answer names its own person: an API was shown their token, `me` knows them."""
    return set(_NAMED.findall(told.body)) == {told.person.encode()}


@asynccontextmanager
async def busy(crowd: Crowd) -> AsyncIterator[Crowd]:
    """Let the crowd ask for the length of a block."""
    async with asyncio.TaskGroup() as group:
        for number in range(crowd.clients):
            group.create_task(crowd._client(number))
        try:
            yield crowd
        finally:
            crowd.stopping = True


async def _answer(
    reader: asyncio.StreamReader,
) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    fields = tuple((name.lower(), value.strip()) for name, _, value in map(_split, lines))
    length = dict(fields).get(b"content-length", b"0")
    return int(status_line.split(b" ", 2)[1]), fields, await reader.readexactly(int(length))


def _split(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")
