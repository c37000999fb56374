"""Workers of a generation that are real processes and do very little."""

import asyncio
import faulthandler
import json
import os
import signal
import socket
import time
from collections.abc import Callable

from gateway.settings import Settings
from gateway.workers.channel import Channel
from gateway.workers.crew import Generation, Hire
from gateway.workers.forking import fork_from_loop
from gateway.workers.worker import TELLS_WHERE, Worker
from tests.support.world import settings_of

Body = Callable[[socket.socket], int]
PATIENCE = 20.0  # seconds, for things that take a fraction of one


def serves(line: socket.socket) -> int:
    """Ready at once; answers every question with its own words."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with line.makefile("rwb", buffering=0) as stream:
        stream.write(b'{"event": "ready"}\n')
        for question in stream:
            if b'"ask": ' in question:
                stream.write(question.replace(b'"ask": ', b'"answer": '))
    return 0


def silent(line: socket.socket) -> int:
    line.sendall(b'{"event": "ready"}\n')
    signal.pause()
    return 0


def closes(line: socket.socket) -> int:
    """Ready, and then busy with its end."""
    line.sendall(b'{"event": "ready"}\n{"event": "closing"}\n')
    signal.pause()
    return 0


def finishes(line: socket.socket) -> int:
    """Told to end, it serves nobody any more, and takes longer than its grace for the rest."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    line.sendall(b'{"event": "ready"}\n')
    signal.sigwait({signal.SIGTERM})
    line.sendall(b'{"event": "closing"}\n')
    time.sleep(1.5)
    return 0


def breaks(line: socket.socket) -> int:
    return 3


def complains(line: socket.socket) -> int:
    line.sendall(b'{"event": "failed", "why": "no certificates"}\n')
    return 1


def raises(line: socket.socket) -> int:
    raise RuntimeError("a bug")


async def hired(body: Body, number: int = 7) -> Worker:
    ours, theirs = socket.socketpair()
    with theirs:
        pid = await fork_from_loop(lambda: body(theirs), {theirs.fileno()})
    return Worker(number, pid, await Channel.over(ours))


def raves(line: socket.socket) -> int:
    line.sendall(b'{"event": "ready"}\n[1, 2\n')
    return len(line.recv(1))  # until the supervisor hangs up


def retires(line: socket.socket) -> int:
    """Serves until it is told to retire, and says by its exit code for how long it might stay."""
    with line.makefile("rwb", buffering=0) as stream:
        stream.write(b'{"event": "ready"}\n')
        told = json.loads(stream.readline())
    return int(told["leisure"] * 100) if told["tell"] == "retire" else 1


def spins(line: socket.socket) -> int:
    """Ready, and then in a loop that nothing ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as good as an event loop that is blocked
    faulthandler.register(TELLS_WHERE, file=2)
    line.sendall(b'{"event": "ready"}\n')
    while True:
        pass


def hiring(*bodies: Body) -> Hire:
    """Hires these bodies in turn, and for every later one the last of them."""
    left = list(bodies)

    async def hire(_: Generation, seat: int) -> Worker:
        return await hired(left.pop(0) if len(left) > 1 else left[0], seat + 1)

    return hire


def generation_of(
    crew: list[Generation], *bodies: Body, settings: Settings | None = None
) -> tuple[Generation, list[int]]:
    """A generation of these workers, and an entry for each that was replaced; `crew` ends it."""
    counted: list[int] = []
    settings = settings or settings_of()
    made = Generation(
        1,
        settings,
        settings.store,
        hiring(*bodies),
        lambda: counted.append(1),
        seats=len(bodies),
    )
    crew.append(made)
    return made, counted


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  what is waited for happens in another process
            await asyncio.sleep(0.01)
