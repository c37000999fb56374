"""Listening sockets, the servers behind them, and how they stop."""

import asyncio
import contextlib
import importlib.util
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from gateway.server.protocol import HardenedProtocol, OnRefusal

_GRACE = 10  # seconds for requests under way when the server is asked to stop


@dataclass(frozen=True, slots=True)
class Listener:
    """An application and the socket it answers on."""

    app: ASGIApp
    sockets: list[socket.socket]


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises `OSError` with the address in its text."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as failure:
        listening.close()
        raise OSError(
            failure.errno, f"cannot listen on {host}:{port}: {failure.strerror}"
        ) from None
    listening.setblocking(False)  # noqa: FBT003  the socket module's own signature
    return listening


class _Server(uvicorn.Server):
    """A server whose signals are handled once, for all listeners of the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
    return _Server(config)


async def serve(listeners: list[Listener], *, max_head: int, refused: OnRefusal) -> None:
    """Serve until SIGINT or SIGTERM, then let requests under way finish."""
    servers = [server_for(listener, max_head=max_head, refused=refused) for listener in listeners]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
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
