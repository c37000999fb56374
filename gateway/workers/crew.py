"""Workers as the supervisor sees them: one process, and all those of one configuration."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.adapters.redis_store import StoreSettings
from gateway.settings import Settings
from gateway.workers.channel import Channel, Message
from gateway.workers.decisions import STEADY_AFTER, pause_before_restart

_log = logging.getLogger("gateway.workers")

_STARTS_WITHIN = 30.0  # seconds until a worker has to be ready
_ENDS_WITHIN = 1.0  # seconds from the end of its channel to that of the process
_MOST_QUESTIONS = 8  # a worker that owes so many answers is asked nothing more


class Worker:
    """One worker. Its channel ends with it, so its death is noticed at once."""

    def __init__(self, number: int, pid: int, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.pid = pid
        self.draining = False
        self.started: asyncio.Future[str] = loop.create_future()
        """Done when it serves (with ""), or will not (with the reason)."""
        self.ended: asyncio.Future[int] = loop.create_future()
        """Done when the process is gone, with its exit code, negative for a signal."""
        self._channel = channel
        self._owed: dict[int, asyncio.Future[str | None]] = {}
        self._questions = 0
        self._ready_at = 0.0
        self._task = asyncio.create_task(self._follow())

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

    def has_been_steady(self) -> bool:
        """Whether it has served long enough for its end not to be a failed start."""
        lived = asyncio.get_running_loop().time() - self._ready_at
        return self.has_started and lived >= STEADY_AFTER

    async def ask(self, question: str, within: float) -> str | None:
        """Return the answer; None when there is none in so many seconds."""
        if self.ended.done() or len(self._owed) >= _MOST_QUESTIONS:
            return None
        self._questions += 1
        answer = self._owed[self._questions] = asyncio.get_running_loop().create_future()
        self._channel.send(id=self._questions, ask=question)
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                return await asyncio.shield(answer)
        return None

    def drain(self) -> None:
        """Have it accept nobody more, finish what it has begun, and end."""
        self.draining = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.draining = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.done():  # until then nobody else can have its process id
            os.kill(self.pid, number)

    async def _follow(self) -> None:
        late = asyncio.get_running_loop().call_later(_STARTS_WITHIN, self.kill)
        why = ""
        while (message := await self._channel.receive()) is not None:
            match message.get("event"):
                case "ready":
                    late.cancel()
                    self._ready_at = asyncio.get_running_loop().time()
                    self.started.set_result("")
                case "failed":
                    why = str(message["why"])
                case _:
                    self._take(message)
        late.cancel()
        self._channel.close()
        code = await self._reaped()
        for answer in self._owed.values():
            if not answer.done():
                answer.set_result(None)
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
        answer = self._owed.pop(message["id"], None)
        if answer is not None and not answer.done():
            answer.set_result(message["answer"])


Hire = Callable[["Generation", int], Awaitable[Worker]]
"""Starts a worker of the generation, on one of its seats. Raises `OSError`."""


class Generation:
    """The workers of one configuration. Each seat has one, replaced when it ends by itself."""

    def __init__(
        self,
        number: int,
        settings: Settings,
        store: StoreSettings,
        hire: Hire,
        replaced: Callable[[], None],
        *,
        seats: int,
    ) -> None:
        """`replaced` is called for every worker that takes the place of one that ended."""
        self.number = number
        self.settings = settings
        self.store = store
        self.seats = seats
        self.workers: set[Worker] = set()
        self._hire = hire
        self._count = replaced
        self._over = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    async def begin(self) -> list[str]:
        """Start a worker for each seat; return why those that are not ready are not."""
        self._keepers = []
        first = [await self._start(seat) for seat in range(self.seats)]
        outcomes = await asyncio.gather(*(asyncio.shield(worker.started) for worker in first))
        self._keepers = [
            asyncio.create_task(self._keep(seat, worker)) for seat, worker in enumerate(first)
        ]
        return [why for why in outcomes if why]

    def serving(self) -> list[Worker]:
        """Return the workers that accept connections."""
        return [worker for worker in self.workers if worker.is_serving]

    def drain(self) -> None:
        """Have every worker finish; none is replaced any more."""
        self._over.set()
        for worker in self.workers:
            worker.drain()

    def kill(self) -> None:
        """End every worker at once."""
        self._over.set()
        for worker in self.workers:
            worker.kill()

    async def gone(self) -> None:
        """Return when no worker is left, after `drain` or `kill`."""
        if self._keepers:
            await asyncio.wait(self._keepers)
        for worker in list(self.workers):
            await asyncio.shield(worker.ended)

    async def _start(self, seat: int) -> Worker:
        worker = await self._hire(self, seat)
        self.workers.add(worker)
        worker.ended.add_done_callback(lambda _: self.workers.discard(worker))
        if self._over.is_set():
            worker.drain()
        return worker

    async def _keep(self, seat: int, worker: Worker | None) -> None:
        early = 0
        while True:
            if worker is not None:
                code = await asyncio.shield(worker.ended)
                if self._over.is_set():
                    return
                early = 0 if worker.has_been_steady() else early + 1
                _log.error("%s %s; replacing it", _named(worker), manner(code))
            else:
                early += 1
            if await self._is_over_within(pause_before_restart(early)):
                return
            worker = await self._replaced(seat)

    async def _replaced(self, seat: int) -> Worker | None:
        self._count()
        try:
            worker = await self._start(seat)
        except OSError as failure:
            _log.error("cannot start a worker: %s", failure.strerror)
            return None
        why = await asyncio.shield(worker.started)
        if why:
            _log.error("%s did not start: %s", _named(worker), why)
        return worker

    async def _is_over_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()


def manner(code: int) -> str:
    """Say how a process ended, by its exit code."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _named(worker: Worker) -> str:
    return f"worker {worker.number} (process {worker.pid})"
