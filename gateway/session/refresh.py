"""The access token for a call: the one we hold, or a newer one, fetched once.

A refresh token that rotates must be spent once: parallel requests share one refresh, which runs on
its own task, so that a browser hanging up never aborts it half-way (H9); processes take turns
(`grant_turns`). Requests whose access token is still good do not wait for it. Only `invalid_grant`,
parsed, is a verdict on the session; everything else that can go wrong at a provider is weather
(H10).
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import Code, Refused, Unavailable, in_whole_seconds
from gateway.ports import AuditLog, Caller, Entropy, GrantLock, LookupId
from gateway.secret import AccessToken
from gateway.session.breaker import Breaker
from gateway.session.grant_turns import GrantTurns
from gateway.session.granting import Granting, Task
from gateway.session.keeping import GiveBack, Keeping
from gateway.session.manager import Sessions
from gateway.session.model import Session, Tokens
from gateway.session.provider import Provider, provider_of
from gateway.session.timing import Timing
from gateway.session.token_life import is_due, is_good

_LONGEST_NOTE = 60.0  # seconds; what lies further ahead was noted before the clock was set back
_MOST_NOTED = 10000  # sessions of which something is noted


@dataclass(frozen=True, slots=True)
class Purpose:
    """What tokens are for: no two of these may share a grant, or one's token goes to another."""

    lookup: LookupId
    audience: str  # "" for the token of the login itself
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Flight:
    """A refresh under way. From `late` on, by the event loop's clock, nobody waits for it."""

    task: asyncio.Task[Session]
    stalled: asyncio.Future[None]
    late: float


class Refresher:
    """Keeps sessions supplied with access tokens."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        sessions: Sessions,
        lock: GrantLock,
        give_back: GiveBack,
        audit: AuditLog,
        entropy: Entropy,
        timing: Timing | None = None,
    ) -> None:
        timing = timing or Timing()
        # A provider that is slower still is not given up, for its answer may be worth a session:
        # callers leave, the flight goes on. One that a dead process began is taken over meanwhile.
        self._callers_wait = timing.provider_takes + timing.lease + timing.last_word
        self._timing = timing
        self._providers = providers
        self._breakers = {name: Breaker() for name in providers}
        self._sessions = sessions
        self._clock = sessions.clock
        self._turns = GrantTurns(lock, sessions, timing)
        self._keeping = Keeping(sessions, give_back, timing)
        self._granting = Granting(
            sessions, self._turns, self._keeping, give_back, audit, entropy, timing
        )
        self._flights: dict[Purpose, Flight] = {}
        self._not_before: dict[LookupId, float] = {}
        self._forced_at: dict[LookupId, float] = {}

    async def tokens_for(self, session: Session, caller: Caller) -> Tokens:
        """Return tokens whose access token has life left in it.

        Raises `Refused(SESSION_ENDED)` when the provider declared the grant dead,
        `Refused(TOKEN_EXPIRED)` when there is nothing to refresh with, `Unavailable`:
        TOKEN_UNAVAILABLE when the provider cannot be asked just now, STORE_UNAVAILABLE when the
        store cannot.
        """
        provider = provider_of(self._providers, session.facts)
        if provider is None:
            raise Refused(Code.SESSION_ENDED, note="its provider is not configured any more")
        tokens = session.tokens
        now = self._clock.now()
        good = is_good(tokens, now)
        if tokens.refresh_token is None:
            if good:
                return tokens
            raise Refused(Code.TOKEN_EXPIRED)
        if not is_due(tokens, session.lookup, now, self._sessions.policy.refresh_margin):
            return tokens
        wait = self._wait(session.lookup, now)
        if good:
            if not wait:
                self._start(session, provider, caller)
            return tokens
        if wait:
            raise _not_yet(wait)
        for _ in range(2):
            renewed = (await self._outcome(self._start(session, provider, caller))).tokens
            if is_good(renewed, self._clock.now()):
                return renewed
            # We joined a refresh whose tokens waited for the store for longer than they live.
        raise _not_yet(1.0)

    async def another(self, session: Session, rejected: AccessToken, caller: Caller) -> Tokens:
        """Return other tokens than those an upstream called invalid; once in a while (H12).

        Raises as `tokens_for`. TOKEN_UNAVAILABLE also when this has just been done: an upstream
        that rejects every token must not cost a grant for every call.
        """
        provider = provider_of(self._providers, session.facts)
        if provider is None or session.tokens.refresh_token is None:
            raise Refused(Code.TOKEN_EXPIRED)
        current = await self._sessions.reread(session.handle)
        if current is None:
            raise Refused(Code.SESSION_ENDED)
        if current.tokens.access_token == rejected:
            flight = self._flights.get(_purpose(current)) or self._force(current, provider, caller)
            current = await self._outcome(flight)
        if current.tokens.access_token == rejected:  # we joined a refresh for another reason
            raise _not_yet(1.0)
        return await self.tokens_for(current, caller)  # they may have run out by now, too

    async def is_healthy(self, session: Session) -> bool:
        """Whether tokens are renewed as they should be: an API call can be expected to work."""
        tokens, now = session.tokens, self._clock.now()
        if not is_due(tokens, session.lookup, now, self._sessions.policy.refresh_margin):
            return True
        if tokens.refresh_token is None:
            return is_good(tokens, now)
        if self._granting.is_failing(session.lookup):
            return False
        try:  # another process may have failed
            return not await self._turns.pause(session.lookup)
        except Unavailable:
            return False

    def circuits(self) -> Mapping[str, bool]:
        """Return which providers have stopped answering, by name, for the metrics."""
        return {name: breaker.is_open() for name, breaker in self._breakers.items()}

    def unwritten(self) -> int:
        """Return how many sessions' new tokens wait for the store, for the metrics."""
        return self._keeping.waiting()

    async def aclose(self) -> None:
        """Wait for grants under way: a rotated token must reach the store."""
        self._turns.close()
        self._keeping.close()
        while self._flights:  # each ends by itself: a grant by its time-out, a write by patience
            await asyncio.wait([flight.task for flight in self._flights.values()])

    def _start(
        self,
        session: Session,
        provider: Provider,
        caller: Caller,
        rejected: AccessToken | None = None,
    ) -> Flight:
        purpose = _purpose(session)
        flight = self._flights.get(purpose)
        if flight is None:
            loop = asyncio.get_running_loop()
            stalled = loop.create_future()
            breaker = self._breakers[session.facts.provider]
            task = Task(session, provider, breaker, caller, rejected, stalled)
            running = asyncio.create_task(self._granting.run(task))
            flight = Flight(running, stalled, loop.time() + self._callers_wait)
            self._flights[purpose] = flight
            flight.task.add_done_callback(lambda done: self._landed(purpose, done))
        return flight

    async def _outcome(self, flight: Flight) -> Session:
        """Wait for the flight; whoever goes away meanwhile, the flight does not notice."""
        await asyncio.wait(
            (flight.task, flight.stalled),
            timeout=max(0.0, flight.late - asyncio.get_running_loop().time()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not flight.task.done():
            if flight.stalled.done():
                note = "new tokens wait for the store to take them"
                raise Unavailable(Code.STORE_UNAVAILABLE, note=note)
            raise Unavailable(Code.TOKEN_UNAVAILABLE, note="the provider has not answered yet")
        failure = flight.task.exception()
        if failure is not None:
            # Without the frames of those it was raised for before: they would all be kept alive.
            raise failure.with_traceback(None)
        return flight.task.result()

    def _landed(self, purpose: Purpose, task: asyncio.Task[Session]) -> None:
        flight = self._flights.pop(purpose)
        flight.stalled.cancel()
        # A refresh in the background has nobody waiting: look at it, or asyncio complains.
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, Unavailable) and failure.code is Code.TOKEN_UNAVAILABLE:
            # Callers are told whole seconds, rounded up; what is left of one the store knows.
            wait = min(failure.retry_after - 1, _LONGEST_NOTE)
            _note(self._not_before, purpose.lookup, self._clock.now() + wait)
        else:
            self._not_before.pop(purpose.lookup, None)

    def _wait(self, lookup: LookupId, now: float) -> float:
        """Return for how many seconds this session is to be left alone."""
        wait = self._not_before.get(lookup, 0.0) - now
        return wait if 0 < wait <= _LONGEST_NOTE else 0.0

    def _force(self, session: Session, provider: Provider, caller: Caller) -> Flight:
        """Begin a refresh that is not due; raises `Unavailable` when there was one just now."""
        lookup, now = session.lookup, self._clock.now()
        wait = self._wait(lookup, now)
        since = now - self._forced_at.get(lookup, -math.inf)
        if 0 <= since < self._timing.force_every:
            wait = max(wait, self._timing.force_every - since)
        if wait:
            raise _not_yet(wait)
        _note(self._forced_at, lookup, now)
        return self._start(session, provider, caller, session.tokens.access_token)


def _purpose(session: Session) -> Purpose:
    return Purpose(session.lookup, "", session.tokens.scopes)


def _note(notes: dict[LookupId, float], lookup: LookupId, at: float) -> None:
    if len(notes) >= _MOST_NOTED:
        notes.clear()
    notes[lookup] = at


def _not_yet(seconds: float) -> Unavailable:
    retry_after = in_whole_seconds(seconds)
    note = "a grant has just failed"
    return Unavailable(Code.TOKEN_UNAVAILABLE, note=note, retry_after=retry_after)
