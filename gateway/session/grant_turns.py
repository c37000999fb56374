"""Whose turn it is to spend a session's refresh token, over all processes (H8).

Whoever comes second waits until the store tells that something has changed, or until the first
one's lease is over because its process has died. Nobody asks again and again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.errors import Code, Effect, Refused, Unavailable, in_whole_seconds
from gateway.ports import Doubt, GrantLock, Held, LookupId, Mine, NotYet
from gateway.session.manager import Sessions
from gateway.session.model import Session
from gateway.session.timing import Timing

_log = logging.getLogger("gateway.session")

_UNTOLD = 1.0  # seconds between two looks where the store may not be watched
_JUST_OVER = 0.02  # seconds: a lease is looked at when it is over, not just before


class Hold:
    """The lock, held: what was known of the refresh token before, and what it is given back with.

    `pause` is for how many seconds nobody is to get it then. It is ours for certain until
    `until`, by the event loop's clock: a lease that is renewed later may have been somebody else's
    meanwhile, who has come to an end and deleted the lock.
    """

    __slots__ = ("before", "doubt", "pause", "until")

    def __init__(self, before: Doubt, until: float) -> None:
        self.before = self.doubt = before
        self.pause = 0.0
        self.until = until

    def is_over(self) -> bool:
        """Whether somebody else may have it by now: this process was suspended, or the store."""
        return asyncio.get_running_loop().time() >= self.until


class GrantTurns:
    """Takes and gives back locks on grants, and waits for them."""

    def __init__(self, lock: GrantLock, sessions: Sessions, timing: Timing) -> None:
        self._lock = lock
        self._sessions = sessions
        self._timing = timing
        self._waiting: dict[LookupId, set[asyncio.Event]] = {}
        self._closing = False
        sessions.on_change(self._changed)
        sessions.on_grant_change(self._changed)

    async def pause(self, lookup: LookupId) -> float:
        """Return for how long a grant that failed keeps everybody from trying again."""
        return await self._lock.pause(lookup)

    @asynccontextmanager
    async def turn(
        self, session: Session, owner: str, is_settled: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[Hold | None]:
        """Hold the lock for the length of a block; None when `is_settled` came true before.

        `is_settled` is asked whenever something may have changed, first under the lock. Raises
        `Unavailable`: TOKEN_UNAVAILABLE when a grant has just failed or nobody gets done with
        one, STORE_UNAVAILABLE.
        """
        hold = await self._wait(session, owner, is_settled)
        if hold is None:
            yield None
            return
        done = asyncio.Event()
        renewing = asyncio.create_task(self._renew(session, owner, done))
        try:
            yield hold
        finally:
            done.set()
            await renewing  # a renewal that overtook what follows would take the lock once more
            await self._finish(session.lookup, owner, hold.doubt, hold.pause)

    def close(self) -> None:
        """Have those who wait for somebody else's grant wait no more."""
        self._closing = True
        self._changed(None)

    async def _wait(
        self, session: Session, owner: str, is_settled: Callable[[], Awaitable[bool]]
    ) -> Hold | None:
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._timing.longest_wait
        with self._listening(session.lookup) as changed:
            while True:
                changed.clear()  # before asking: what changes from now on is not missed
                asked = clock()
                turn = await self._begin(session, owner)
                if await self._settled(session.lookup, owner, turn, is_settled):
                    return None
                match turn:
                    case Mine(doubt, taken_over=False):
                        return Hold(doubt, asked + self._timing.lease)
                    case Mine():
                        # We begin again afterwards, and read again: then it is ours for good, or
                        # the owner before us lives, and has it back or is done.
                        if await self._outlives(session.lookup, owner, turn, changed, is_settled):
                            return None
                    case NotYet(seconds):
                        raise _unavailable("a grant has just failed", seconds)
                    case Held(seconds):
                        if self._closing or clock() >= give_up:
                            raise _unavailable("somebody else's grant takes too long", 1.0)
                        await self._until(changed, seconds)

    async def _outlives(
        self,
        lookup: LookupId,
        owner: str,
        turn: Mine,
        changed: asyncio.Event,
        is_settled: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Whether the owner before us lives after all, and gets done in the time it is given.

        If it does not get done in it, its next renewal takes the lock back.

        When the store was away, it could neither renew its lease nor write what it was granted.
        Whoever took it for dead would spend the refresh token once more, and so end the session.
        """
        clock = asyncio.get_running_loop().time
        over = clock() + self._timing.last_word
        while (left := over - clock()) > 0:
            await self._until(changed, left)
            changed.clear()
            if await self._settled(lookup, owner, turn, is_settled):
                return True
        return False

    async def _settled(
        self,
        lookup: LookupId,
        owner: str,
        turn: Mine | Held | NotYet,
        is_settled: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Whether there is nothing left to do; a lock that is not needed then is given back."""
        try:
            settled = await is_settled()
        except Refused:  # the session is over
            if isinstance(turn, Mine):
                await self._finish(lookup, owner, Doubt.NONE, 0.0)
            raise
        except Exception:  # the store is away, or we have made a mistake: nothing was spent
            if isinstance(turn, Mine):
                await self._return(lookup, owner, turn)
            raise
        if settled and isinstance(turn, Mine):  # a doubt was about tokens that are gone
            await self._finish(lookup, owner, Doubt.NONE, 0.0)
        return settled

    async def _return(self, lookup: LookupId, owner: str, turn: Mine) -> None:
        """Give a lock back as it was found: with a last word for who had it, if that is due."""
        if not turn.taken_over:
            await self._finish(lookup, owner, turn.doubt, 0.0)
            return
        with contextlib.suppress(Unavailable):  # then the lease ends by itself
            await self._lock.abandon(lookup, owner)

    async def _begin(self, session: Session, owner: str) -> Mine | Held | NotYet:
        timing = self._timing
        try:
            return await self._lock.begin(
                session.lookup, owner, lease=timing.lease, keep=self._keep(session)
            )
        except Unavailable:
            # It may have become ours all the same, and nobody would know. Nor what was known of
            # the one who had it before: it may live, and be kept from writing as we were.
            with contextlib.suppress(Unavailable):  # then the lease ends by itself
                await self._lock.abandon(session.lookup, owner)
            raise

    async def _until(self, changed: asyncio.Event, seconds: float) -> None:
        if not self._sessions.store.is_watched():
            seconds = min(seconds, _UNTOLD)
        await _comes(changed, seconds + _JUST_OVER)

    async def _renew(self, session: Session, owner: str, done: asyncio.Event) -> None:
        lease, keep = self._timing.lease, self._keep(session)
        while not await _comes(done, self._timing.renew_every):
            try:
                ours = await self._lock.renew(session.lookup, owner, lease=lease, keep=keep)
            except Unavailable:
                continue  # the lease is longer than a stumble of the store
            if not ours:
                _log.warning("somebody else took the lock on a grant that is still under way")
                return

    async def _finish(self, lookup: LookupId, owner: str, doubt: Doubt, pause: float) -> None:
        with contextlib.suppress(Unavailable):  # then the lease ends by itself
            await self._lock.finish(lookup, owner, doubt=doubt, pause=pause)

    def _keep(self, session: Session) -> float:
        return session.facts.absolute_deadline - self._sessions.clock.now()

    @contextmanager
    def _listening(self, lookup: LookupId) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        listeners = self._waiting.setdefault(lookup, set())
        listeners.add(event)
        try:
            yield event
        finally:
            listeners.discard(event)
            if not listeners and self._waiting.get(lookup) is listeners:
                del self._waiting[lookup]

    def _changed(self, lookup: LookupId | None) -> None:
        which = tuple(self._waiting.values()) if lookup is None else (self._waiting.get(lookup),)
        for events in which:
            for event in events or ():
                event.set()


async def _comes(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event comes within so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _unavailable(note: str, seconds: float) -> Unavailable:
    retry_after = in_whole_seconds(seconds)
    return Unavailable(
        Code.TOKEN_UNAVAILABLE, note=note, retry_after=retry_after, effect=Effect.NOTHING
    )
