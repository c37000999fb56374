"""Servers behind listening sockets, and how they stop."""

import asyncio
import contextlib
import importlib.util
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from gateway.server.protocol import HardenedProtocol, OnRefusal
from gateway.server.sockets import Neighbourhood, accept_waiting

_GRACE = 10  # seconds for requests under way when the server is asked to stop


@dataclass(frozen=True, slots=True)
class Listener:
    """An application and the sockets it answers on; `neighbours` are those of other workers."""

    app: ASGIApp
    sockets: list[socket.socket]
    neighbours: list[socket.socket] = field(default_factory=list)


class _Server(uvicorn.Server):
    """A server whose signals are handled once, for all listeners of the process."""

    def __init__(self, config: uvicorn.Config, listener: Listener) -> None:
        super().__init__(config)
        self._all = [*listener.sockets, *listener.neighbours]
        self._neighbourhood = Neighbourhood(listener.neighbours, self._protocol)
        self._watching: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept, and look after other workers' sockets as well."""
        await super().startup(sockets)
        self._watching = asyncio.create_task(self._neighbourhood.watch())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting; who waits in a queue counts as connected, and is let in first."""
        if self._watching is not None:
            self._watching.cancel()
        doors = [one.dup() for one in self._all]
        for server in self.servers:
            server.close()
        for one in self._all:
            one.close()
        await asyncio.sleep(0)  # the loop closes its sockets only now
        # Of each socket the last worker's last look and its closing are one step.
        for door in doors:
            await accept_waiting([door], self._protocol)
            door.close()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn makes it
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def server_for(listener: Listener, *, max_head: int, refused: OnRefusal) -> uvicorn.Server:
    """Return a server that answers on the listener's sockets once it is served."""
    settings = {"max_head": max_head, "refused": staticmethod(refused)}
    protocol = type("Protocol", (HardenedProtocol,), settings)
    config = uvicorn.Config(
        listener.app,
        http=protocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,  # forwarded fields are read by our own rule (N1)
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE,
    )
    return _Server(config, listener)


async def serve(
    listeners: list[Listener],
    *,
    max_head: int,
    refused: OnRefusal,
    until: asyncio.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, or until the event; then let requests under way finish."""
    servers = [server_for(listener, max_head=max_head, refused=refused) for listener in listeners]
    until = until or _told_to_stop()

    async def stop() -> None:
        await until.wait()
        for server in servers:
            server.should_exit = True

    stopping = asyncio.create_task(stop())
    await asyncio.gather(
        *(
            server.serve(sockets=listener.sockets)
            for server, listener in zip(servers, listeners, strict=True)
        )
    )
    stopping.cancel()


def _told_to_stop() -> asyncio.Event:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where there is one."""
    if importlib.util.find_spec("uvloop") is None:  # not built for this system
        return None
    return cast(
        "Callable[[], asyncio.AbstractEventLoop]", importlib.import_module("uvloop").new_event_loop
    )
