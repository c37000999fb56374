"""Listening sockets: bound once, shared by every worker, never closed while anybody serves.

On Linux a port has one socket for each worker (SO_REUSEPORT), and the kernel deals connections out
evenly. All of them stay open in the supervisor, so what waits in the queue of a worker that died
is lost to nobody: its successor takes it, or a `Neighbourhood` before that.
"""

import asyncio
import select
import socket
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

BACKLOG = 2048
"""Connections that may wait for one socket."""

_LOOK_EVERY = 0.05  # seconds, at the other workers' sockets
_DEALS = sys.platform == "linux"  # elsewhere the last socket gets everything: workers share one

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_NO_SYN = (  # a classic BPF program over the TCP header (linux/filter.h)
    (0x30, 0, 0, 13),  # load the octet of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # a SYN alone?
    (0x06, 0, 0, 0),  # then drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # else take it
)

Factory = Callable[[], asyncio.BaseProtocol]
"""Makes the protocol of one connection."""


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises `OSError` with the address in its text."""
    (listening,) = _bound(host, port, 1)
    return listening


def bind_for(workers: int, host: str, port: int) -> list[socket.socket]:
    """Return the sockets of a port that this many workers serve; raises `OSError` as `bind`."""
    return _bound(host, port, workers if _DEALS else 1)


def grow(sockets: list[socket.socket], workers: int) -> None:
    """Open more sockets of the same port, if so many workers need more; raises `OSError`."""
    if not _DEALS:
        return
    host, port = sockets[0].getsockname()[:2]
    while len(sockets) < workers:
        sockets.append(_opened(host, port, shared=True))
        _listen(sockets[-1])


def shut_out(sockets: Iterable[socket.socket]) -> None:
    """Let no new connection begin at these sockets, before they are closed everywhere (Linux).

    Whoever gets into the queue between the last look into it and its end would be reset, with the
    request already sent. A SYN that is not heard is sent again a second later, and refused then.
    Whoever has begun already gets in.
    """
    if sys.platform != "linux":
        return
    code = array("B", b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
    program = struct.pack("HP", len(_NO_SYN), code.buffer_info()[0])
    for one in sockets:
        with suppress(OSError):  # forbidden here: then a few may be reset
            one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _bound(host: str, port: int, count: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        # The first one finds out that nobody else is there: another gateway of this user could
        # share the port as well, and would take half of the connections.
        sockets.append(_opened(host, port, shared=False))
        if _DEALS:
            sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = sockets[0].getsockname()[1]
        while len(sockets) < count:
            sockets.append(_opened(host, port, shared=True))
        for one in sockets:
            _listen(one)
    except OSError as failure:
        for one in sockets:
            one.close()
        raise OSError(
            failure.errno, f"cannot listen on {host}:{port}: {failure.strerror}"
        ) from None
    return sockets


def _opened(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


def _listen(bound: socket.socket) -> None:
    bound.listen(BACKLOG)
    bound.setblocking(False)  # noqa: FBT003  the socket module's own signature


def share(sockets: Sequence[socket.socket], seat: int, workers: int) -> list[socket.socket]:
    """Return the sockets at which the worker on this seat accepts; every socket has a worker."""
    return list(sockets[seat % len(sockets) :: workers])


class Neighbourhood:
    """Takes connections that wait too long for another worker: one that died, or is stuck."""

    def __init__(self, sockets: Iterable[socket.socket], factory: Factory) -> None:
        """Begin to look, beside a running event loop."""
        self._sockets = {one.fileno(): one for one in sockets}
        self._factory = factory
        self._poll = select.poll()
        for number in self._sockets:
            self._poll.register(number, select.POLLIN)
        self._over = asyncio.Event()
        self._watching = asyncio.create_task(self._watch()) if self._sockets else None

    async def aclose(self) -> None:
        """Look no more; whoever is just coming in is not cut off."""
        self._over.set()
        if self._watching is not None:
            await self._watching

    async def _watch(self) -> None:
        """Look at the others' doors; whoever stands there at two looks is let in."""
        waiting: set[int] = set()
        while not await self._is_over_within(_LOOK_EVERY):
            found = {number for number, _ in self._poll.poll(0)}
            for number in found & waiting:
                await welcome(taken(self._sockets[number]), self._factory)
            waiting = found

    async def _is_over_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()


def taken(listening: socket.socket) -> list[socket.socket]:
    """Accept every connection that waits at this very moment."""
    connections = []
    with suppress(OSError):  # nobody waits any more, or there is no room for more
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)  # noqa: FBT003  the socket module's own signature
            connections.append(connection)
    return connections


async def welcome(connections: Iterable[socket.socket], factory: Factory) -> None:
    """Give each of these connections a protocol."""
    loop = asyncio.get_running_loop()
    for connection in connections:
        await loop.connect_accepted_socket(factory, connection)
