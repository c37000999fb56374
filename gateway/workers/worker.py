"""A worker as the supervisor sees it: a process, and the line to it."""

import asyncio
import math
import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from gateway.workers.channel import Channel, Message
from gateway.workers.decisions import STEADY_AFTER

TELLS_WHERE = signal.SIGUSR2
"""Has a worker write its stack to standard error, whatever it is doing."""

_STARTS_WITHIN = 30.0  # seconds until a worker has to be ready
_ENDS_WITHIN = 1.0  # seconds from the end of its channel to that of the process
_TELLS_WITHIN = 0.3  # seconds to write down where it hangs
_MOST_QUESTIONS = 8  # a worker that owes so many answers of a kind is asked for no more of it


@dataclass(frozen=True, slots=True)
class _Owed:
    """A question that was asked, and where its answer goes."""

    question: str
    answer: asyncio.Future[str | None]


class Worker:
    """One worker. Its channel ends with it, so its death is noticed at once."""

    def __init__(self, number: int, pid: int, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.pid = pid
        self.draining = False
        self.is_closing = False  # it serves nobody any more, and answers no question
        self.is_unwanted = False  # its time was up
        self.started: asyncio.Future[str] = loop.create_future()
        """Done when it serves (with ""), or will not (with the reason)."""
        self.ended: asyncio.Future[int] = loop.create_future()
        """Done when the process is gone, with its exit code, negative for a signal."""
        self._channel = channel
        self._owed: dict[int, _Owed] = {}
        self._questions = 0
        self._ready_at = 0.0
        self._silent_since = math.inf
        self._task = asyncio.create_task(self._follow())

    def __str__(self) -> str:
        return f"worker {self.number} (process {self.pid})"

    @property
    def state(self) -> str:
        """Say in one word what it does: `starting`, `ready` or `draining`."""
        if self.draining:
            return "draining"
        return "ready" if self.is_serving else "starting"

    @property
    def has_started(self) -> bool:
        """Whether it has ever served; it may have ended since."""
        return self._ready_at > 0

    @property
    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self.has_started and not self.draining and not self.ended.done()

    @property
    def is_running(self) -> bool:
        """Whether it has started and not begun to end, leaving or not."""
        return self.has_started and not self.is_closing and not self.ended.done()

    def has_been_steady(self) -> bool:
        """Whether it has served long enough for its end not to be a failed start."""
        lived = asyncio.get_running_loop().time() - self._ready_at
        return self.has_started and lived >= STEADY_AFTER

    async def ask(self, question: str, within: float | None, **about: object) -> str | None:
        """Return the answer; None when there is none in so many seconds, or none to be had.

        What an operator asks may take long: it does not keep the others from being asked.
        """
        owed = sum(1 for one in self._owed.values() if one.question == question)
        if self.ended.done() or owed >= _MOST_QUESTIONS:
            return None
        self._questions += 1
        answer = asyncio.get_running_loop().create_future()
        self._owed[self._questions] = _Owed(question, answer)
        self._channel.send(id=self._questions, ask=question, **about)
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                return await asyncio.shield(answer)
        return None

    def pulse(self) -> None:
        """Ask for a sign of life, unless one is still awaited."""
        if self._silent_since == math.inf:
            self._silent_since = asyncio.get_running_loop().time()
            self._channel.send(id=0, ask="pulse")

    def silence(self) -> float:
        """Return for how many seconds it has owed a sign of life; 0 when it owes none."""
        return max(0.0, asyncio.get_running_loop().time() - self._silent_since)

    def forgive(self) -> None:
        """Begin anew with counting its silence: it may not have been its own fault."""
        if self._silent_since < math.inf:
            self._silent_since = asyncio.get_running_loop().time()

    def retire(self, leisure: float) -> None:
        """Have it accept nobody more, let what is open go on for so many seconds, and then end."""
        self.draining = True
        if not self.ended.done():
            self._channel.send(tell="retire", leisure=leisure)

    def drain(self) -> None:
        """Have it accept nobody more, finish what it has begun, and end."""
        self.draining = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.draining = True
        self._signal(signal.SIGKILL)

    async def put_down(self) -> None:
        """End one that hangs; before that it writes to standard error where it does.

        Its event loop takes no SIGTERM, and a core file of SIGABRT would have secrets in it.
        """
        self.is_unwanted = True
        self._signal(TELLS_WHERE)
        await asyncio.sleep(_TELLS_WITHIN)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.done():  # until then nobody else can have its process id
            os.kill(self.pid, number)

    async def _follow(self) -> None:
        late = asyncio.get_running_loop().call_later(_STARTS_WITHIN, self.kill)
        why = ""
        while (message := await self._channel.receive()) is not None:
            self._silent_since = math.inf
            match message.get("event"):
                case "ready":
                    late.cancel()
                    self._ready_at = asyncio.get_running_loop().time()
                    self.started.set_result("")
                case "closing":
                    self.is_closing = True
                case "failed":
                    why = str(message["why"])
                case _:
                    self._take(message)
        late.cancel()
        self._channel.close()
        code = await self._reaped()
        for owed in self._owed.values():
            if not owed.answer.done():
                owed.answer.set_result(None)
        self.ended.set_result(code)
        if not self.started.done():
            self.started.set_result(why or f"a worker {manner(code)} before it was ready")

    async def _reaped(self) -> int:
        pause = 0.005
        for _ in range(int(_ENDS_WITHIN / pause)):
            pid, status = os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222  does not wait
            if pid:
                return os.waitstatus_to_exitcode(status)
            await asyncio.sleep(pause)
        self.kill()
        _, status = os.waitpid(self.pid, 0)  # noqa: ASYNC222  it is dead already
        return os.waitstatus_to_exitcode(status)

    def _take(self, message: Message) -> None:
        owed = self._owed.pop(message["id"], None)
        if owed is not None and not owed.answer.done():
            owed.answer.set_result(message["answer"])


def manner(code: int) -> str:
    """Say how a process ended, by its exit code."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
