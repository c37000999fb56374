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
from gateway.server.departure import Departure, Lasting, NothingLasts
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

    `lasting` is what is open there for long; when it is time to leave, it is told so.
    """

    app: ASGIApp
    sockets: list[socket.socket]
    neighbours: list[socket.socket] = field(default_factory=list)
    lasting: Lasting = field(default_factory=NothingLasts)


class Server(uvicorn.Server):
    """uvicorn's server with our clock, our way to stop, and no signals of its own."""

    def __init__(self, listener: Listener, clients: Clients, departure: Departure) -> None:
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
        self._departure = departure
        self._lasting = listener.lasting
        self._lasting_told = False
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
        """Look for who is overdue, and whether it is time to go, ten times a second."""
        self.clients.tick()
        over = await super().on_tick(counter)
        return over or (self._departure.has_begun and await self._has_left())

    async def _has_left(self) -> bool:
        """Accept nobody; say whether the leisure is over, or nobody there to make use of it.

        Idle connections stay as well, up to `limits.keepalive`: whoever sends a request in the very
        moment of a reload must not find the connection closed.
        """
        await self._stop_accepting()
        if not (self.clients.connections or self.server_state.tasks):
            return True
        left = self._departure.until - self.clients.now
        takes = min(self._lasting.leaving_takes(), self._departure.leisure / 2)
        if not self._lasting_told and 0 < left <= takes:
            self._lasting_told = True
            self._lasting.go_away(left)
        return left <= 0

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  those of the listener
        """Accept nobody, say the last words to everybody, and cut off who is there after the grace.

        A second signal ends the grace.
        """
        await self._stop_accepting()
        self.clients.hurry()
        grace = self.clients.limits.shutdown_grace
        self._lasting.go_away(grace / 2)
        tasks = self.server_state.tasks
        until = self.clients.now + grace
        while self.clients.connections or tasks:
            self.clients.tick()
            if self.clients.now >= until or self.force_exit or self._departure.at_once:
                break
            await asyncio.sleep(TICK / 2)
        if self.clients.connections:
            _log.warning("%d connections cut off by the shutdown", len(self.clients.connections))
        self.clients.abort()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks), timeout=_LAST_WORDS)

    async def _stop_accepting(self) -> None:
        """Close the doors; from now on each connection's next answer is its last."""
        if not self.clients.draining:
            await self._close_doors()
            self.clients.draining = True

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


def server_for(
    listener: Listener, *, limits: Limits, refused: OnRefusal, departure: Departure | None = None
) -> Server:
    """Return a server that answers on the listener's sockets once it is served."""
    most, spare = _room_for(limits.max_connections)
    clients = Clients(limits, refused, most=most, spare=spare)
    return Server(listener, clients, departure or Departure())


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
    departure: Departure | None = None,
) -> None:
    """Serve until the departure, or without one until SIGINT or SIGTERM; requests may finish."""
    _calm_the_collector()
    if departure is None:
        departure = Departure()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, departure.insist)
    servers = [
        server_for(listener, limits=limits, refused=refused, departure=departure)
        for listener in listeners
    ]
    await asyncio.gather(
        *(
            server.serve(sockets=listener.sockets)
            for server, listener in zip(servers, listeners, strict=True)
        )
    )


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where there is one."""
    if importlib.util.find_spec("uvloop") is None:  # not built for this system
        return None
    return cast(
        "Callable[[], asyncio.AbstractEventLoop]", importlib.import_module("uvloop").new_event_loop
    )
