"""An operator's request, from the supervisor's listener to a worker and back.

The supervisor has no store: it judges who asks, and a worker carries it out.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from gateway.errors import Code, Unavailable
from gateway.web.administration import Answer, Asked, CarryOut
from gateway.workers.channel import Message
from gateway.workers.oversight import State

QUESTION = "administration"

_PATIENCE = 30.0  # seconds; going through a large store takes some


class Forwarding:
    """Has requests carried out by a worker of the generation in force."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    async def carry_out(self, asked: Asked) -> Answer:
        """Return a worker's answer; raises `Unavailable(ADMIN_NO_WORKER)`.

        Whoever has been silent for longest is asked last. One that ends before it has answered
        may have carried it out: the next one does again what does no harm when it is repeated.
        """
        current = self._state().current
        workers = current.serving() if current else []
        asked_in_turn = sorted(workers, key=lambda one: (one.silence(), one.number))
        # One patience for all of them: who has not answered when it ends may be at it still, and
        # two at once would go through the store.
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for worker in asked_in_turn:
                    answer = await worker.ask(
                        QUESTION,
                        None,
                        method=asked.method,
                        target=asked.target.decode("latin-1"),
                        address=asked.address,
                    )
                    if answer is not None:
                        return _read(answer)
        raise Unavailable(Code.ADMIN_NO_WORKER)


async def answered(question: Message, carry_out: CarryOut) -> str:
    """Carry out what the supervisor asks this worker for, and return the answer for the line."""
    asked = Asked(
        str(question["method"]),
        str(question["target"]).encode("latin-1"),
        str(question["address"]),
    )
    answer = await carry_out(asked)
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.fields]
    content_type = answer.content_type.decode("ascii")
    return json.dumps([answer.status, content_type, answer.body.decode(), fields])


def _read(octets: str) -> Answer:
    """Read what our own worker has written."""
    status, content_type, body, fields = json.loads(octets)
    pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields)
    return Answer(status, content_type.encode("ascii"), body.encode(), pairs)
