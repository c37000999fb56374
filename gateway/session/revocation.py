"""Giving refresh tokens back to their provider: nobody waits for it, and none is lost (H16).

A token is put into a queue that all workers share *before* it is first offered, so that a crash
loses nothing; whoever takes it from there next offers it again. RFC 7009 makes that harmless: a
token that has been revoked already is a success. What a provider does not take is offered again,
less and less often, for a day.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from gateway.errors import Unavailable
from gateway.oidc.revocation import Verdict
from gateway.ports import NOBODY, Caller, Clock, Entropy, RevocationQueue
from gateway.secret import RefreshToken
from gateway.session import revocation_entries
from gateway.session.model import Facts
from gateway.session.offering import GIVE_UP_AFTER, Offering, pause_before_next
from gateway.session.revocation_entries import GivenBack
from gateway.session.revocation_pump import RevocationPump
from gateway.session.sealing import CannotOpen, KeyRing

T = TypeVar("T")

_log = logging.getLogger("gateway.revocation")

LEASE = 10.0  # seconds: longer than an attempt; then it is another worker's turn
_KEPT_WITHIN = 0.5  # seconds; a store that is slower is not waited for
_LASTS = 2.0  # seconds first attempts have when the gateway stops; the queue has the rest
_AT_ONCE = 4  # entries taken together
_ROUNDS = 64  # at most, in one turn
# All revocations together leave half of the connections to providers to logins and refreshes.
_FIRST_AT_ONCE = 6
_MOST_UNKEPT = 100
_ROLLOUT_CLOCKS = 3600.0  # seconds an entry of somebody else's may seem to be from the future


class Revocations:
    """Gives refresh tokens back, now and again later."""

    def __init__(
        self,
        offering: Offering,
        queue: RevocationQueue,
        ring: KeyRing,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._offering = offering
        self._queue = queue
        self._ring = ring
        self._clock = clock
        self.counts = offering.counts
        self._pump = RevocationPump(self.run_due, entropy)
        self._first_attempts = asyncio.Semaphore(_FIRST_AT_ONCE)
        self._running: set[asyncio.Task[Any]] = set()
        self._unkept: dict[bytes, None] = {}  # oldest first: the queue has not taken them yet

    async def give_back(
        self, facts: Facts, token: RefreshToken | None, caller: Caller
    ) -> asyncio.Task[None] | None:
        """Give back the refresh token of a session that is over; raises nothing.

        Returns when the queue has the token, which takes half a second at most: a task that ends
        with the first attempt and that nobody has to wait for, or None if there is nothing to do.
        """
        if token is None or not self._offering.is_possible(facts.provider, facts.issuer):
            return None
        given_back = GivenBack(
            provider=facts.provider,
            issuer=facts.issuer,
            token=token,
            since=self._clock.now(),
            subject=facts.subject,
            session=facts.session_id,
        )
        entry = revocation_entries.seal(self._ring, given_back)
        # Tasks of their own: whoever asks may go away in the middle of it.
        keeping = self._begin(self._keep(entry))
        attempt = self._begin(self._first_attempt(given_back, entry, keeping, caller))
        await asyncio.wait({keeping}, timeout=_KEPT_WITHIN)
        return attempt

    async def run_due(self) -> None:
        """Offer every token that is due once more, a few at a time; raises nothing."""
        try:
            await self._keep_the_unkept()
            for _ in range(_ROUNDS):
                taken = await self._queue.take(_AT_ONCE, lease=LEASE)
                await asyncio.gather(*map(self._next_attempt, taken))
                if len(taken) < _AT_ONCE:
                    break
            self.counts.waiting = await self._queue.length()
        except Unavailable:
            return  # the store is away; what it holds is due when it comes back

    def start(self) -> None:
        """Begin to look every few seconds for what is due. RuntimeError without an event loop."""
        self._pump.start()

    async def aclose(self) -> None:
        """Wait a little for first attempts under way; what they do not do, the queue remembers."""
        await self._pump.aclose()
        if self._running:
            await asyncio.wait(self._running, timeout=_LASTS)

    def _begin(self, working: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(working)
        self._running.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._running.discard)
        return task

    async def _keep(self, entry: bytes) -> bool:
        self._unkept[entry] = None
        try:
            kept = await self._queue.put(entry, due_in=LEASE)
        except Unavailable:
            kept = False
        if kept:
            self._unkept.pop(entry, None)
            return True
        self.counts.by_outcome["not_kept"] += 1
        if len(self._unkept) > _MOST_UNKEPT:
            del self._unkept[entry]  # offered once, if there is room, and then forgotten
        return False

    async def _keep_the_unkept(self) -> None:
        for entry in list(self._unkept):
            if not await self._queue.put(entry, due_in=LEASE):
                return  # it is full
            self._unkept.pop(entry, None)

    async def _first_attempt(
        self, given_back: GivenBack, entry: bytes, keeping: asyncio.Task[bool], caller: Caller
    ) -> None:
        await asyncio.wait({keeping}, timeout=_KEPT_WITHIN)
        if self._first_attempts.locked() and entry not in self._unkept:
            return  # a crowd logs out, or the provider hangs: the queue has it
        async with self._first_attempts:
            revocation = await self._offering.offer(given_back)
        if revocation.verdict is not Verdict.LATER:
            self._offering.concluded(given_back, revocation, caller)
            await self._forget(entry)
            return
        kept = keeping.done() and keeping.result()
        note = f"{revocation.note}; {self._whereabouts(entry, kept=kept)}"
        self._offering.failed(given_back, note, caller)
        with contextlib.suppress(Unavailable):  # then it is due when its lease is over
            await self._queue.postpone(entry, due_in=max(LEASE, revocation.after))

    def _whereabouts(self, entry: bytes, *, kept: bool) -> str:
        if entry in self._unkept:
            return "the queue did not take it, so it is kept in memory"
        return "tried again later" if kept else "neither queue nor memory took it: it is lost"

    async def _next_attempt(self, entry: bytes) -> None:
        try:
            try:
                given_back = revocation_entries.unseal(self._ring, entry)
            except CannotOpen:
                await self._leave_or_drop(entry)
            else:
                await self._offer_again(given_back, entry)
        except Unavailable:
            return  # the store is away: the entry comes back when its lease is over

    async def _offer_again(self, given_back: GivenBack, entry: bytes) -> None:
        rest = self._offering.rest_of(given_back.provider)
        if rest:
            await self._queue.postpone(entry, due_in=rest)
            return
        revocation = await self._offering.offer(given_back)
        if revocation.verdict is not Verdict.LATER:
            self._offering.concluded(given_back, revocation, NOBODY)
            await self._forget(entry)
            return
        age = self._clock.now() - given_back.since
        pause = pause_before_next(age, revocation.after)
        if pause is None:
            self._offering.given_up(given_back, revocation)
            await self._forget(entry)
            return
        self.counts.by_outcome["failed"] += 1
        await self._queue.postpone(entry, due_in=pause)

    async def _leave_or_drop(self, entry: bytes) -> None:
        """Leave what we cannot open to a replica that may, for as long as it is of any use."""
        written_at = revocation_entries.written_at(entry)
        age = GIVE_UP_AFTER if written_at is None else self._clock.now() - written_at
        pause = pause_before_next(age, 0.0)
        if pause is not None and age > -_ROLLOUT_CLOCKS:
            await self._queue.postpone(entry, due_in=pause)
            return
        self.counts.by_outcome["given_up"] += 1
        _log.warning("an entry of the revocation queue does not open, and was dropped")
        await self._forget(entry)

    async def _forget(self, entry: bytes) -> None:
        self._unkept.pop(entry, None)
        with contextlib.suppress(Unavailable):  # then it is offered once more, which is harmless
            await self._queue.remove(entry)
