"""Listening sockets: shared by workers, refused to strangers, and nobody waits in vain."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext

import pytest

from gateway.server.sockets import (
    Neighbourhood,
    bind,
    bind_for,
    grow,
    share,
    shut_out,
    taken,
    welcome,
)

LINUX = sys.platform == "linux"


@pytest.fixture
def open_sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def bound(stack: ExitStack, workers: int) -> list[socket.socket]:
    sockets = bind_for(workers, "127.0.0.1", 0)
    for one in sockets:
        stack.enter_context(one)
    return sockets


def port_of(one: socket.socket) -> int:
    return int(one.getsockname()[1])


def test_every_worker_has_a_socket_of_one_port(open_sockets: ExitStack) -> None:
    sockets = bound(open_sockets, 3)
    assert len(sockets) == (3 if LINUX else 1)
    assert len({port_of(one) for one in sockets}) == 1
    assert not any(one.getblocking() for one in sockets)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_second_gateway_cannot_share_the_port(open_sockets: ExitStack, workers: int) -> None:
    (one, *_) = bound(open_sockets, workers)
    for again in (lambda: bind("127.0.0.1", port_of(one)), lambda: other(one, workers)):
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port_of(one)}"):
            again()


def other(one: socket.socket, workers: int) -> None:
    bind_for(workers, "127.0.0.1", port_of(one))


def test_more_workers_get_more_sockets_of_the_same_port(open_sockets: ExitStack) -> None:
    sockets = bound(open_sockets, 1)
    grow(sockets, 3)
    grow(sockets, 2)
    for one in sockets:
        open_sockets.enter_context(one)
    assert len(sockets) == (3 if LINUX else 1)
    assert len({port_of(one) for one in sockets}) == 1


@pytest.mark.parametrize("sockets", range(1, 6))
@pytest.mark.parametrize("workers", range(1, 6))
def test_every_socket_has_a_worker_and_every_worker_a_socket(sockets: int, workers: int) -> None:
    doors = [socket.socket() for _ in range(sockets)]
    shares = [share(doors, seat, workers) for seat in range(workers)]
    for door in doors:
        door.close()
    assert all(shares)
    assert {door for one in shares for door in one} == set(doors)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def greeted(port: int) -> bytes:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await reader.read()
        finally:
            writer.close()


async def test_who_waits_at_a_door_that_nobody_answers_is_let_in(open_sockets: ExitStack) -> None:
    sockets = bound(open_sockets, 2)
    neighbourhood = Neighbourhood(sockets, Greeter)
    callers = [greeted(port_of(sockets[0])) for _ in range(20)]
    assert await asyncio.gather(*callers) == [b"hello"] * 20
    await neighbourhood.aclose()


async def test_everybody_who_waits_can_be_let_in_before_a_door_closes(
    open_sockets: ExitStack,
) -> None:
    sockets = bound(open_sockets, 2)
    callers = [asyncio.create_task(greeted(port_of(sockets[0]))) for _ in range(20)]
    await asyncio.sleep(0.2)
    waiting = [connection for one in sockets for connection in taken(one)]
    assert len(waiting) == 20
    assert [connection for one in sockets for connection in taken(one)] == []
    await welcome(waiting, Greeter)
    assert await asyncio.gather(*callers) == [b"hello"] * 20


async def test_nobody_new_gets_in_before_the_end_and_who_waited_does(
    open_sockets: ExitStack,
) -> None:
    sockets = bound(open_sockets, 2)
    callers = [asyncio.create_task(greeted(port_of(sockets[0]))) for _ in range(5)]
    await asyncio.sleep(0.2)
    shut_out(sockets)  # Linux alone can
    with pytest.raises(TimeoutError) if LINUX else nullcontext():
        async with asyncio.timeout(0.3):
            await asyncio.open_connection("127.0.0.1", port_of(sockets[0]))
    waiting = [connection for one in sockets for connection in taken(one)]
    assert len(waiting) >= 5
    await welcome(waiting, Greeter)
    assert await asyncio.gather(*callers) == [b"hello"] * 5


async def test_without_neighbours_there_is_nothing_to_watch() -> None:
    async with asyncio.timeout(5):
        await Neighbourhood([], Greeter).aclose()
