"""Channels stay open longer than a request; each ends when its session does (P4, P9, J16).

Whatever may have ended a session, here or in another process, is told to `changed`, and the session
is read again at once. The same happens in a sweep: at its deadline, when the token its channels
were opened with runs out, and once after a channel has been entered. So nothing hangs on a message
that may be lost, and an open channel costs no task and no timer of its own.

As everywhere, an outage is no verdict (D11). Only the absolute deadline needs nobody's word.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

from gateway.errors import Code, Refused, Unavailable
from gateway.ports import NOBODY, LookupId
from gateway.session.manager import Sessions
from gateway.session.model import Session
from gateway.session.refresh import Refresher
from gateway.session.token_life import good_until

SWEEP_EVERY = 1.0  # seconds
_RETRY_AFTER = 15.0  # seconds, when the store or the provider could not be asked
_AT_ONCE = 64  # sessions read together
_BEING_LOOKED_AT = math.inf


class Channel(Protocol):
    """A WebSocket or an event stream, as its session sees it."""

    def end(self, code: Code) -> None:
        """Say that the session is over (or its token, by the code), and close. Quick, no raise."""
        ...


class LiveSession:
    """A session with open channels.

    `used` is set by whoever sees the person do something through one of them, and then counts as
    activity (P7).
    """

    __slots__ = (
        "channels",
        "check_at",
        "end_at",
        "handle",
        "lookup",
        "slide_at",
        "used",
        "with_token",
    )

    def __init__(self, session: Session) -> None:
        self.handle = session.handle
        self.lookup = session.lookup
        self.channels: set[Channel] = set()
        self.used = False
        self.with_token = False  # a channel carries an access token, which runs out
        self.check_at = 0.0
        self.slide_at = 0.0
        self.end_at = session.facts.absolute_deadline


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
        now = self._clock.now()
        due = []
        for live in tuple(self._live.values()):
            if now >= live.end_at:
                self._end(live, Code.SESSION_ENDED)
            elif now >= live.check_at or (live.used and now >= live.slide_at):
                live.check_at = live.slide_at = _BEING_LOOKED_AT
                due.append(live)
        if due:
            look = asyncio.create_task(self._look_at(due))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)

    async def settled(self) -> None:
        """Wait for what is being looked at now."""
        if self._looks:
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

    async def _look_at(self, due: Sequence[LiveSession]) -> None:
        for first in range(0, len(due), _AT_ONCE):
            await asyncio.gather(*map(self._check, due[first : first + _AT_ONCE]))

    async def _check(self, live: LiveSession) -> None:
        used, live.used = live.used, False
        try:
            session = await self._judged(live, used=used)
        except Refused as verdict:
            self._end(live, verdict.code)
        except BaseException as failure:
            live.used |= used
            self._again(live, self._clock.now() + _RETRY_AFTER)
            if not isinstance(failure, Unavailable):
                raise
        else:
            if session is None:
                self._end(live, Code.SESSION_ENDED)
            else:
                self._plan(live, session)

    async def _judged(self, live: LiveSession, *, used: bool) -> Session | None:
        """Return the session as it is now, slid if it was used and renewed if its token is due."""
        session = await self._sessions.reread(live.handle)
        if session is not None and used:
            if session.facts.last_seen + self._sessions.slide_every <= self._clock.now():
                session = await self._sessions.slide(session)
            else:
                live.used = True  # at most one write a minute
        if (
            session is not None
            and live.with_token
            and self._token_end(session) <= self._clock.now()
        ):
            await self._refresher.tokens_for(session, NOBODY)
            session = await self._sessions.reread(live.handle)
        return session

    def _plan(self, live: LiveSession, session: Session) -> None:
        live.end_at = session.facts.absolute_deadline
        at = session.facts.idle_deadline
        if live.with_token:
            # A token that lives but seconds must not keep the sweep busy.
            soonest = self._clock.now() + _RETRY_AFTER
            at = min(at, max(self._token_end(session), soonest))
        self._again(live, at)
        live.slide_at = session.facts.last_seen + self._sessions.slide_every

    @staticmethod
    def _again(live: LiveSession, at: float) -> None:
        """Look again at this time; sooner, if something was told while we looked."""
        live.check_at = min(live.check_at, at)
        live.slide_at = at

    @staticmethod
    def _token_end(session: Session) -> float:
        return good_until(session.tokens)
