"""The line between a worker and its supervisor, when one of them is gone."""

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from gateway.workers.channel import Channel

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_what_is_said_to_a_process_that_is_gone_gets_lost(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def talk() -> None:
        ours, theirs = socket.socketpair()
        channel = await Channel.over(ours)
        theirs.close()
        assert await channel.receive() is None
        await asyncio.sleep(0.01)  # the transport closes itself behind the end it has seen
        channel.send(event="closing")
        await channel.flush()
        channel.close()
        channel.send(event="closing")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(talk())
