"""One worker: it serves browsers, answers its supervisor, and ends when it is told to or alone."""

import asyncio
import faulthandler
import logging
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass

from gateway import app, logs, server
from gateway.adapters.log_writer import LogWriter
from gateway.adapters.redis_client import StoreSettings
from gateway.composition import Gateway
from gateway.errors import Misconfigured, Unavailable
from gateway.server.sockets import shut_out
from gateway.settings import Settings
from gateway.workers import forwarding
from gateway.workers.channel import Channel, Message
from gateway.workers.worker import TELLS_WHERE

_log = logging.getLogger("gateway.workers")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is to do. It accepts at `doors`, and helps out at the `neighbours`'."""

    number: int
    settings: Settings
    store: StoreSettings
    doors: tuple[socket.socket, ...]
    neighbours: tuple[socket.socket, ...]


def work(assignment: Assignment, supervisor: socket.socket) -> int:
    """Be a worker; return the process's exit code."""
    # To standard error: names of files and functions only, no value.
    faulthandler.register(TELLS_WHERE, file=2)
    lines = logs.begin(assignment.settings, assignment.number)
    try:
        with asyncio.Runner(loop_factory=server.loop_factory()) as runner:
            return runner.run(_work(assignment, supervisor, lines))
    finally:
        lines.stop(logs.LAST_LINES)


async def _work(assignment: Assignment, supervisor: socket.socket, lines: LogWriter) -> int:
    departure = server.Departure()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, departure.leave)
    channel = await Channel.over(supervisor)
    try:
        await _serve(assignment, channel, departure, lines)
    except Misconfigured as failure:
        channel.send(event="failed", why="; ".join(failure.findings))
    except Exception as failure:  # noqa: BLE001  a bug: told to the supervisor, which replaces us
        _log.exception("this worker could not go on")
        channel.send(event="failed", why=type(failure).__name__)
    else:
        return 0
    await channel.flush()
    return 1


async def _serve(
    assignment: Assignment, channel: Channel, departure: server.Departure, lines: LogWriter
) -> None:
    settings = assignment.settings
    async with app.opened(
        settings, assignment.store, lines, assignment.number, announce=False
    ) as gateway:
        attending = asyncio.create_task(_attend(assignment, channel, gateway, departure))
        channel.send(event="ready")
        listener = server.Listener(
            gateway.public,
            list(assignment.doors),
            list(assignment.neighbours),
            gateway.channels,
        )
        await server.serve(
            [listener],
            limits=settings.limits,
            refused=gateway.refused,
            departure=departure,
        )
        # What was begun in the background is finished and written now, which takes its time.
        channel.send(event="closing")
        attending.cancel()
        with suppress(asyncio.CancelledError):
            await attending


async def _attend(
    assignment: Assignment, channel: Channel, gateway: Gateway, departure: server.Departure
) -> None:
    """Do what the supervisor says, and answer; without it there is nothing to work for."""
    answering: set[asyncio.Task[None]] = set()
    while (message := await channel.receive()) is not None:
        if message.get("tell") == "retire":
            departure.leave(message["leisure"])
            continue
        # A question about the store takes its time, and the next one must not wait for it.
        task = asyncio.create_task(_answer(message, channel, gateway))
        answering.add(task)
        task.add_done_callback(answering.discard)
    if not departure.is_due:
        _log.warning("the supervisor is gone; this worker finishes what it has begun, and ends")
        shut_out((*assignment.doors, *assignment.neighbours))  # as the supervisor would have
        departure.leave()


async def _answer(message: Message, channel: Channel, gateway: Gateway) -> None:
    match message.get("ask"):
        case "pulse":
            answer = ""
        case "metrics":
            answer = gateway.exposition().decode()
        case "health":
            answer = await _health(gateway)
        case forwarding.QUESTION:
            answer = await forwarding.answered(message, gateway.carry_out)
        case _:
            return
    channel.send(id=message["id"], answer=answer)


async def _health(gateway: Gateway) -> str:
    """Return "" when sessions can be served, else the code of what is in the way."""
    try:
        await gateway.ping()
    except Unavailable as failure:
        return failure.code.value
    return ""
