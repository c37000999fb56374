"""Many calls of one session at the same moment, spread over several processes."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.hang_ups import reset
from tests.support.strict_http import Answer, read_answers

PATIENCE = 40.0
"""Seconds for one answer; what must not take long has a bound of its own."""

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Answered:
    """What one call came to; `answer` is None when its connection broke off."""

    port: int
    answer: Answer | None
    seconds: float

    @property
    def status(self) -> int:
        return self.answer.status if self.answer else 0

    def values(self, name: bytes) -> list[bytes]:
        return self.answer.values(name) if self.answer else []


@dataclass(frozen=True)
class Caller:
    """A browser that has a session and calls the API: at whichever process it is told."""

    host: str
    cookie: str

    async def begin(self, port: int, path: str = "/api/x") -> Link:
        """Send one call, and do not wait."""
        link = await asyncio.open_connection("127.0.0.1", port)
        link[1].write(self._call(path))
        await link[1].drain()
        return link

    async def ask(self, port: int, path: str = "/api/x") -> Answered:
        """Make one call on a connection of its own."""
        begun = time.monotonic()
        link = await self.begin(port, path)
        return await self.end(port, link, begun)

    async def end(self, port: int, link: Link, begun: float) -> Answered:
        """Wait for the answer to a call that was begun."""
        octets = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await link[0].read(65536):
                    octets += piece
        link[1].close()
        answers = read_answers(octets, [b"GET"])
        assert len(answers) <= 1
        return Answered(port, answers[0] if answers else None, time.monotonic() - begun)

    async def storm(self, ports: Sequence[int], count: int) -> list[Answered]:
        """So many calls at once, in turn to each of the ports."""
        calls = (self.ask(ports[number % len(ports)]) for number in range(count))
        return list(await asyncio.gather(*calls))

    async def leave(self, link: Link) -> None:
        """Reset the connection of a call that was begun (SO_LINGER 0), as a killed browser does."""
        reset(link[1])
        with contextlib.suppress(OSError):
            await link[1].wait_closed()

    def _call(self, path: str) -> bytes:
        return (
            f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nSec-Fetch-Site: same-origin\r\n"
            f"X-CSRF: 1\r\nCookie: {self.cookie}\r\nConnection: close\r\n\r\n"
        ).encode()


def statuses(answered: Sequence[Answered]) -> Counter[int]:
    """How many calls came to each status; 0 counts those that broke off."""
    return Counter(one.status for one in answered)


def cookies_set(answered: Sequence[Answered]) -> list[bytes]:
    """Every Set-Cookie field in the answers."""
    return [value for one in answered for value in one.values(b"set-cookie")]


def longest(answered: Sequence[Answered]) -> float:
    """Seconds the most patient of them waited."""
    return max(one.seconds for one in answered)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until what another process has done can be seen."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110  in another process
            await asyncio.sleep(0.02)
