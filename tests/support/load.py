"""A bounded load over raw sockets: what was asked, what was answered, and what got lost.

Each client keeps its connection until it is told `Connection: close`, then opens the next one. It
sends one request at a time and is not forgiving: an answer that does not come, or not whole, is a
failure, whoever is to blame. Only a connect that is refused is counted apart.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 20.0  # seconds for one answer


@dataclass(frozen=True)
class Lost:
    """A request without a whole answer, and the client's port of its connection."""

    port: int
    why: str
    at: float


@dataclass
class Load:
    """`clients` ask for `requests` in turn, `pause` seconds after each answer.

    `wanted` are the bodies to expect, by request, for those whose answers are to be compared.
    """

    port: int
    requests: Sequence[bytes]
    clients: int = 16
    pause: float = 0.002
    per_connection: int = 0  # requests, 0 for as many as it lasts
    wanted: Mapping[bytes, bytes] = field(default_factory=dict)

    statuses: Counter[int] = field(default_factory=Counter)
    lost: list[Lost] = field(default_factory=list)
    refused: int = 0
    closed: int = 0  # connections that ended with `Connection: close`
    bodies: set[bytes] = field(default_factory=set)
    wrong: list[bytes] = field(default_factory=list)  # bodies that are not those wanted
    stopping: bool = False

    @property
    def answered(self) -> int:
        return self.statuses.total()

    async def _client(self, number: int) -> None:
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                self.refused += 1
                await asyncio.sleep(0.05)
                continue
            except OSError as failure:  # reset while it waited to be accepted
                self.lost.append(Lost(0, f"connect: {failure}", time.monotonic()))
                continue
            port = writer.get_extra_info("sockname")[1]
            try:
                await self._use(reader, writer, number)
            except (OSError, EOFError, TimeoutError) as failure:
                self.lost.append(Lost(port, type(failure).__name__, time.monotonic()))
            finally:
                writer.close()

    async def _use(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        turn = number
        asked = 0
        while not self.stopping:
            request = self.requests[turn % len(self.requests)]
            writer.write(request)
            async with asyncio.timeout(_PATIENCE):
                status, last, body = await answer(reader)
            self.statuses[status] += 1
            self.bodies.add(body)
            if body != self.wanted.get(request, body):
                self.wrong.append(body)
            asked += 1
            if last:
                self.closed += 1
                return
            if asked == self.per_connection:
                return
            turn += 1
            await asyncio.sleep(self.pause)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    """Read one answer: its status, whether it is the connection's last, and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = 0
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    body = await reader.readexactly(length)
    return int(head.split(b" ", 2)[1]), b"\r\nconnection: close\r\n" in head, body


@asynccontextmanager
async def loaded(*loads: Load) -> AsyncIterator[None]:
    """Apply the loads for the length of a block."""
    async with asyncio.TaskGroup() as group:
        for load in loads:
            for number in range(load.clients):
                group.create_task(load._client(number))
        try:
            yield
        finally:
            for load in loads:
                load.stopping = True


def ports_of(pid: int, port: int) -> set[int]:
    """The peers' ports of the connections this process has accepted on this port (Linux)."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(str(entry.readlink()))
        except OSError:
            continue
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        ours, theirs, inode = words[1], words[2], words[9]
        if int(ours.rpartition(":")[2], 16) == port and f"socket:[{inode}]" in sockets:
            found.add(int(theirs.rpartition(":")[2], 16))
    return found
