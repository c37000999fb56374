"""Tells what changes in the store, while it is proven that nothing is missed (ADR 0007).

The link is one connection. It has the server announce every changed session to itself, by
server-assisted client-side caching: `CLIENT TRACKING ON REDIRECT {its own id} BCAST`. It speaks
RESP2, where announcements are messages of a subscription; under RESP3 redis-py drops them.

The proof is a write that goes the ordinary way, through the pool, and whose announcement has to
come back on the link. A write that was answered before the proof was sent has been announced
before the proof is; so when that arrives, everything has. It takes the whole way along: the link
is alive, the server announces, and it is the server that the pool talks to, which after a failover
behind one name it may not be. Trusting an open socket would show none of this.
"""

import asyncio
import contextlib
import itertools
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from gateway.adapters.redis_scripts import INVALIDATIONS, Layout, Step
from gateway.adapters.redis_server import UnexpectedReply
from gateway.errors import Unavailable
from gateway.ports import Changes, LookupId

_log = logging.getLogger("gateway.store")

PROVE_EVERY = 0.3  # seconds
PROOF_HOLDS = 0.9  # seconds from when it was sent; with whoever finds out by it, less than one
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two links
_CANCEL_AGAIN = 0.05  # seconds
_PAUSE_AFTER_REFUSAL = 60.0  # an ACL is changed by people, and each refusal is a line in its log

# Counts while the machine sleeps, where there is such a clock: a proof from before that is none.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_NEVER = -math.inf


class _NotProven(Exception):
    """No proof came back in time."""


class _Forbidden(Exception):
    """The server understood, and does not let us track."""


class Tracking:
    """Keeps one link to the server, for as long as it is needed.

    `connect` makes a connection that is not open yet; `write` carries out a step the ordinary way
    and raises `Unavailable`.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        write: Callable[[Step], Awaitable[object]],
        layout: Layout,
        changes: Changes,
    ) -> None:
        self._connect = connect
        self._write = write
        self._layout = layout
        self._changes = changes
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._sent: dict[bytes, float] = {}  # proofs that have not come back, oldest first
        self._proven_until = _NEVER
        self._told_of_refusal = False

    def start(self) -> None:
        """Open the link, once. Raises RuntimeError where no event loop runs."""
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._keep())

    def is_proven(self) -> bool:
        """Whether everything that changed more than `PROOF_HOLDS` ago has been told."""
        return _now() < self._proven_until

    async def aclose(self) -> None:
        """Close the link; nothing is told any more. Idempotent."""
        self._closed = True
        if self._task is not None:
            await _end(self._task)

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            proven, reason = False, ""
            try:
                await self._hold()
            except _Forbidden as refusal:
                self._tell_of_refusal(refusal)
                pause = _PAUSE_AFTER_REFUSAL
            except Exception as fault:  # noqa: BLE001 - whatever it was, the link is lost
                reason = type(fault).__name__
            finally:
                proven = self._lose()
            if proven:
                _log.info("changes in the store are not told any more (%s)", reason)
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _hold(self) -> None:
        """Hold one link until it is lost; raises what it was lost by."""
        connection = self._connect()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's annotations stop short here
            watcher = uuid.uuid4().hex  # proofs of a former link, or of another worker's, are none
            await self._subscribe(connection, watcher)
            await self._follow(connection, watcher)
        finally:
            await connection.disconnect(nowait=True)

    async def _subscribe(self, connection: AbstractConnection, watcher: str) -> None:
        try:
            client_id = await _ask(connection, self._layout.own_id())
            await _ask(connection, self._layout.track(client_id, watcher))
            await _ask(connection, self._layout.listen())
        except ResponseError as refusal:
            raise _Forbidden(type(refusal).__name__) from refusal

    async def _follow(self, connection: AbstractConnection, watcher: str) -> None:
        working = [
            asyncio.create_task(self._listen(connection)),
            asyncio.create_task(self._prove(watcher)),
        ]
        wait_until = _now() + PROOF_HOLDS
        try:
            while (left := wait_until - _now()) > 0:
                ended, _ = await asyncio.wait(
                    working, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                for task in ended:
                    task.result()
                wait_until = max(wait_until, self._proven_until)
            raise _NotProven
        finally:
            for task in working:
                await _end(task)

    async def _listen(self, connection: AbstractConnection) -> None:
        while True:
            message = await connection.read_response(timeout=math.inf)
            match message:
                case [b"message", channel, None] if channel == INVALIDATIONS:  # FLUSHALL, FLUSHDB
                    self._changes.everything()
                case [b"message", channel, list(keys)] if channel == INVALIDATIONS:
                    for key in keys:
                        self._hear(key)
                case _:
                    raise UnexpectedReply

    def _hear(self, key: bytes) -> None:
        lookup = self._layout.session_in(key)
        if lookup is not None:
            self._changes.changed(LookupId(lookup.decode("utf-8", "replace")))
            return
        granting = self._layout.grant_in(key)
        if granting is not None:
            self._changes.grant_changed(LookupId(granting.decode("utf-8", "replace")))
            return
        sent = self._sent.get(key)
        if sent is None:
            return  # a proof that has run out
        self._sent = {other: at for other, at in self._sent.items() if at > sent}
        if self._proven_until == _NEVER:
            # What was read before the server began to announce may have changed unheard.
            self._changes.everything()
            _log.info("changes in the store are told: sessions may be kept in memory")
        self._proven_until = sent + PROOF_HOLDS

    async def _prove(self, watcher: str) -> None:
        for number in itertools.count():
            step = self._layout.prove(watcher, number)
            sent = _now()
            self._sent[str(step.words[1]).encode()] = sent
            with contextlib.suppress(Unavailable):  # the next may do better; the clock decides
                await self._write(step)
            await asyncio.sleep(max(0.0, sent + PROVE_EVERY - _now()))

    def _lose(self) -> bool:
        """Forget every proof, have every copy forgotten; say whether the link had been proven."""
        proven = self._proven_until != _NEVER
        self._proven_until = _NEVER
        self._sent = {}
        if proven:  # else there are no copies
            self._changes.everything()
        return proven

    def _tell_of_refusal(self, refusal: _Forbidden) -> None:
        if not self._told_of_refusal:
            self._told_of_refusal = True
            _log.warning(
                "the store's server does not let us watch for changes (%s), so every request "
                "reads its session from it; docs/operations.md says what to allow",
                refusal,
            )


async def _ask(connection: AbstractConnection, step: Step) -> Any:  # noqa: ANN401 - its shape was checked by the step
    await connection.send_command(*step.words)
    reply = await connection.read_response()
    if not step.fits(reply):
        raise UnexpectedReply
    return reply


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel the task until it has ended: `asyncio.wait_for`, in redis-py, may swallow it once."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCEL_AGAIN)
    if not task.cancelled():
        task.exception()  # looked at


def _now() -> float:
    return time.clock_gettime(_CLOCK)
