"""Channels stay open longer than a request; each ends when its session does (P4, P9, J16).

Whatever may have ended a session, here or in another process, is told to `changed`, and the session
is read again at once. The same happens in a sweep: at its deadline, when the token its channels
were opened with runs out, and once after a channel has been entered. While it is not proven that
the store tells of every change, it happens in every sweep. So nothing hangs on a message that may
be lost, and an open channel costs no task and no timer of its own.

Nobody waits for somebody else's provider: sessions are read many at a time, a record that is what
it was is not opened again, and what may take long has a task for each session.

As everywhere, an outage is no verdict (D11). Only the absolute deadline needs nobody's word.
"""

import asyncio
import math
from collections.abc import Coroutine, Sequence
from typing import Any

from gateway.errors import Code, Refused, Unavailable
from gateway.ports import NOBODY, LookupId, StoredRecord
from gateway.session.cache import Origin
from gateway.session.live_session import Channel, LiveSession
from gateway.session.manager import Sessions
from gateway.session.model import Session
from gateway.session.refresh import Refresher

SWEEP_EVERY = 0.8  # seconds; with the read that follows, less than one
_NEXT_SWEEP = SWEEP_EVERY / 2  # seconds; a sweep finds due what the one before has begun to read
_RETRY_AFTER = 15.0  # seconds, when the provider could not be asked, or was
_AT_ONCE = 64  # sessions read together, and tokens renewed at one provider
_BEING_LOOKED_AT = math.inf


class LiveChannels:
    """Every channel of this process that belongs to a session."""

    def __init__(self, sessions: Sessions, refresher: Refresher) -> None:
        self._sessions = sessions
        self._refresher = refresher
        self._clock = sessions.clock
        self._live: dict[LookupId, LiveSession] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._looks: set[asyncio.Task[None]] = set()
        self._renewals: dict[str, asyncio.Semaphore] = {}  # by provider
        self._swept_at = 0.0
        self._was_told = False  # whether the store told of every change at the last sweep
        sessions.on_change(self.changed)

    def enter(self, session: Session, channel: Channel, *, with_token: bool) -> LiveSession:
        """Tie a channel to its session.

        The session is read once more, within the second: it may have ended while the upstream was
        asked. `with_token` says that the upstream was given the session's access token.
        """
        live = self._live.get(session.lookup)
        if live is None:
            live = self._live[session.lookup] = LiveSession(session)
            live.slide_at = session.facts.last_seen + self._sessions.slide_every
        live.check_at = 0.0
        live.with_token |= with_token
        live.channels.add(channel)
        if self._timer is None:
            self._arm()
        return live

    def leave(self, live: LiveSession, channel: Channel) -> None:
        """Forget a channel that is closed; harmless when it was already."""
        live.channels.discard(channel)
        if not live.channels and self._live.get(live.lookup) is live:
            del self._live[live.lookup]

    def ended(self, lookup: LookupId) -> None:
        """The session is over, as somebody else knows for sure: end its channels now."""
        live = self._live.get(lookup)
        if live is not None:
            self._end(live, Code.SESSION_ENDED)

    def changed(self, lookup: LookupId | None) -> None:
        """Somebody wrote or ended this session, or any (None): find out what became of it."""
        if lookup is None:
            for live in self._live.values():
                live.check_at = 0.0
        elif (changed := self._live.get(lookup)) is not None:
            changed.check_at = 0.0
        else:
            return
        if self._live and self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self.sweep)

    def sweep(self) -> None:
        """End what is past its last deadline, and begin to look at what is due."""
        self._soon = None
        now, told = self._clock.now(), self._sessions.store.is_watched()
        if now < self._swept_at or (self._was_told and not told):
            self._plan_anew()
        self._swept_at, self._was_told = now, told
        due = []
        for live in tuple(self._live.values()):
            if now >= live.facts.absolute_deadline:
                self._end(live, Code.SESSION_ENDED)
            elif now >= live.check_at or (live.used and now >= live.slide_at):
                live.check_at = live.slide_at = _BEING_LOOKED_AT
                due.append(live)
        if due:
            self._begin(self._look_at(due))

    def _plan_anew(self) -> None:
        """Have everybody looked at: nothing is told any more, or the clock was set back.

        Then what was due soon is far away.
        """
        for live in self._live.values():
            live.check_at = live.slide_at = 0.0
            live.renew_at = 0.0 if live.renew_at < math.inf else math.inf

    async def settled(self) -> None:
        """Wait for what is being looked at now, and for tokens that are being renewed."""
        while self._looks:
            await asyncio.wait(self._looks)

    async def aclose(self) -> None:
        """Stop looking."""
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        for look in self._looks:
            look.cancel()
        await self.settled()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP_EVERY, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.sweep()
        if self._live:
            self._arm()

    def _end(self, live: LiveSession, code: Code) -> None:
        if self._live.get(live.lookup) is live:
            del self._live[live.lookup]
        for channel in tuple(live.channels):
            channel.end(code)

    def _begin(self, working: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(working)
        self._looks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._looks.discard)
        return task

    async def _look_at(self, due: Sequence[LiveSession]) -> None:
        try:
            for first in range(0, len(due), _AT_ONCE):
                await self._look_at_some(due[first : first + _AT_ONCE])
        finally:
            for live in due:
                if live.check_at == _BEING_LOOKED_AT:  # a bug kept us from it
                    self._again(live, self._clock.now() + _RETRY_AFTER)

    async def _look_at_some(self, some: Sequence[LiveSession]) -> None:
        """Read these sessions, and judge them; who ends is not kept waiting by the others."""
        try:
            records = await self._sessions.store.read_many([live.lookup for live in some])
        except Unavailable:
            for live in some:
                self._again(live, self._clock.now() + _NEXT_SWEEP)
            return
        judging = []
        for live, record in zip(some, records, strict=True):
            if record is None:
                self._end(live, Code.SESSION_ENDED)
            elif self._is_as_it_was(live, record):
                self._plan(live)
            else:
                judging.append(self._begin(self._judge(live, record)))
        if judging:
            await asyncio.wait(judging)

    def _is_as_it_was(self, live: LiveSession, record: StoredRecord) -> bool:
        """Whether nothing has changed and nothing is due: then there is nothing to open it for."""
        now = self._clock.now()
        is_due = live.facts.is_over(now) or now >= live.renewal_at()
        if live.used:
            is_due |= self._sessions.is_slide_due(live.facts, now)
        return not is_due and live.origin == Origin.of(record)

    async def _judge(self, live: LiveSession, record: StoredRecord) -> None:
        """Find out whether the session goes on; slide it if it was used."""
        used, live.used = live.used, False
        try:
            session = self._sessions.opened(live.handle, live.lookup, record)
            if session is not None and used:
                if self._sessions.is_slide_due(session.facts, self._clock.now()):
                    session = await self._sessions.slide(session)
                else:
                    live.used = True  # at most one write a minute
        except Unavailable:
            live.used |= used
            self._again(live, self._clock.now() + _NEXT_SWEEP)
            return
        if session is None:
            self._end(live, Code.SESSION_ENDED)
            return
        live.learn(session, Origin.of(record))
        if self._clock.now() >= live.renewal_at():
            live.renew_at = math.inf
            self._begin(self._renew(live, session))
        self._plan(live)

    async def _renew(self, live: LiveSession, session: Session) -> None:
        """Renew its token, for as long as the provider takes; the session is looked at meanwhile.

        Its record tells what came of it.
        """
        name = session.facts.provider
        turns = self._renewals.setdefault(name, asyncio.Semaphore(_AT_ONCE))
        try:
            async with turns:
                await self._refresher.tokens_for(session, NOBODY)
        except Refused as verdict:
            self._end(live, verdict.code)
        except Unavailable:
            pass
        finally:
            # A token that lives but seconds must not keep the sweep busy.
            live.renew_at = self._clock.now() + _RETRY_AFTER
            live.check_at = 0.0

    def _plan(self, live: LiveSession) -> None:
        at = min(live.facts.idle_deadline, live.renewal_at())
        if not self._sessions.store.is_watched():  # nobody tells us of its end
            at = min(at, self._clock.now() + _NEXT_SWEEP)
        self._again(live, at)
        live.slide_at = live.facts.last_seen + self._sessions.slide_every

    @staticmethod
    def _again(live: LiveSession, at: float) -> None:
        """Look again at this time; sooner, if something was told while we looked."""
        live.check_at = min(live.check_at, at)
        live.slide_at = at
