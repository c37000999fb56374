"""Servers behind listening sockets, and how they stop."""

import asyncio
import contextlib
import gc
import importlib.util
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from gateway.server.clients import TICK, Clients, OnRefusal
from gateway.server.protocol import HardenedProtocol
from gateway.server.sockets import BACKLOG, Neighbourhood, taken, welcome
from gateway.settings import Limits

_log = logging.getLogger("gateway.server")

SPARE = 64
"""Connections above the limit that are told so; those above even this are just closed."""

_OTHER_FILES = 64
"""Open files besides those of clients and of the upstreams they are passed on to."""

_LAST_WORDS = 2.0
"""Seconds for cancelled requests to leave things in order after the grace."""


@dataclass(frozen=True, slots=True)
class Listener:
    """An application and the sockets it answers on; `neighbours` are those of other workers.

    `leave` is called when the server begins to stop: what is open for long is closed then.
    """

    app: ASGIApp
    sockets: list[socket.socket]
    neighbours: list[socket.socket] = field(default_factory=list)
    leave: Callable[[], None] = lambda: None


class Server(uvicorn.Server):
    """uvicorn's server with our clock, our way to stop, and no signals of its own."""

    def __init__(self, listener: Listener, clients: Clients) -> None:
        """`clients` are those of this listener alone."""
        config = uvicorn.Config(
            listener.app,
            # Called with uvicorn's keywords for every connection, as it would call the class.
            http=cast("type[asyncio.Protocol]", partial(HardenedProtocol, clients)),
            interface="asgi3",
            ws="none",
            lifespan="off",
            proxy_headers=False,  # forwarded fields are read by our own rule (N1)
            server_header=False,
            access_log=False,
            log_config=None,
            backlog=BACKLOG,
        )
        super().__init__(config)
        self.clients = clients
        self._leave = listener.leave
        self.server_state.connections = clients.connections  # type: ignore[assignment]  # a set of the same
        self._doors = [*listener.sockets, *listener.neighbours]
        self._neighbours = listener.neighbours
        self._neighbourhood: Neighbourhood | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled once, for all listeners of the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept, and look after the other workers' sockets as well."""
        await super().startup(sockets)
        self._neighbourhood = Neighbourhood(self._neighbours, self._protocol)

    async def on_tick(self, counter: int) -> bool:
        """Look for who is overdue, ten times a second with the rest."""
        self.clients.tick()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  those of the listener
        """Accept nobody, say the last words to everybody, and cut off who is there after the grace.

        A second signal ends the grace.
        """
        await self._close_doors()
        self.clients.drain()
        self._leave()
        tasks = self.server_state.tasks
        until = self.clients.now + self.clients.limits.shutdown_grace
        while self.clients.connections or tasks:
            self.clients.tick()
            if self.clients.now >= until or self.force_exit:
                break
            await asyncio.sleep(TICK / 2)
        if self.clients.connections:
            _log.warning("%d connections cut off by the shutdown", len(self.clients.connections))
        self.clients.abort()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks), timeout=_LAST_WORDS)

    async def _close_doors(self) -> None:
        """Accept nobody more; who waits in a queue already counts as connected, and is let in."""
        if self._neighbourhood is not None:
            await self._neighbourhood.aclose()
        last = [door.dup() for door in self._doors]
        for server in self.servers:
            server.close()
        for door in self._doors:
            door.close()
        await asyncio.sleep(0)  # the loop closes its own only now
        waiting = []
        for door in last:
            waiting += taken(door)
            door.close()
        await welcome(waiting, self._protocol)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn makes one
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def server_for(listener: Listener, *, limits: Limits, refused: OnRefusal) -> Server:
    """Return a server that answers on the listener's sockets once it is served."""
    most, spare = _room_for(limits.max_connections)
    return Server(listener, Clients(limits, refused, most=most, spare=spare))


@lru_cache(maxsize=1)
def _room_for(wanted: int) -> tuple[int, int]:
    """Return how many clients can be connected, and how many above them can be told.

    Each may need a second file, towards an upstream; whoever comes when all are used up cannot
    even be told so (F35). So the system is asked for enough, and where it gives less, there is
    room for fewer.
    """
    needed = 2 * wanted + SPARE + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted, SPARE
    spare = min(SPARE, soft // 8)
    room = min(wanted, (soft - spare - min(_OTHER_FILES, soft // 4)) // 2)
    _log.warning("only %d open files are allowed: at most %d connections at a time", soft, room)
    return max(1, room), spare


def _calm_the_collector() -> None:
    """Have the garbage collector look at what requests leave behind, and seldom.

    What is there when serving begins stays as long as the process: no use in looking through it
    again and again. What a request leaves is freed by its reference counts; cycles are rare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def serve(
    listeners: list[Listener],
    *,
    limits: Limits,
    refused: OnRefusal,
    until: asyncio.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, or until the event; then let requests under way finish."""
    _calm_the_collector()
    servers = [server_for(listener, limits=limits, refused=refused) for listener in listeners]

    def stop() -> None:
        for server in servers:
            server.force_exit = server.should_exit
            server.should_exit = True

    async def stop_when_told(told: asyncio.Event) -> None:
        await told.wait()
        stop()

    stopping = None
    if until is None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
    else:
        stopping = asyncio.create_task(stop_when_told(until))
    await asyncio.gather(
        *(
            server.serve(sockets=listener.sockets)
            for server, listener in zip(servers, listeners, strict=True)
        )
    )
    if stopping is not None:
        stopping.cancel()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where there is one."""
    if importlib.util.find_spec("uvloop") is None:  # not built for this system
        return None
    return cast(
        "Callable[[], asyncio.AbstractEventLoop]", importlib.import_module("uvloop").new_event_loop
    )
