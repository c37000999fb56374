"""New tokens, from the provider's hand into the store; nothing else on the way gets to see them.

The old refresh token is spent: what is lost here is the whole session. So a store that refuses is
asked again until it takes them, while they wait in memory, sealed as they will be in the store.
And what is written goes over the tokens that were spent, or nowhere: a process that was suspended
while another refreshed overwrites nothing (fencing), and a session that has ended stays ended (D6).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.errors import Code, Refused, Unavailable
from gateway.ports import Caller, StoredRecord
from gateway.secret import RefreshToken
from gateway.session import codec
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session, Tokens
from gateway.session.timing import Timing

_log = logging.getLogger("gateway.session")

MOST = 1000
"""Sessions whose new tokens may wait in memory at a time; with more, no further grant is begun."""

_WRITES = 5  # attempts against slides that get in between

GiveBack = Callable[[Facts, RefreshToken | None, Caller], Awaitable[object]]
"""Revokes a refresh token that came for a session which is over."""


class Keeping:
    """Writes renewed tokens, however long the store takes."""

    def __init__(self, sessions: Sessions, give_back: GiveBack, timing: Timing) -> None:
        self._sessions = sessions
        self._give_back = give_back
        self._timing = timing
        self._waiting = 0
        self._closing = asyncio.Event()

    def waiting(self) -> int:
        """Return how many sessions' tokens wait for the store."""
        return self._waiting

    def has_room(self) -> bool:
        """Whether one more may have to wait."""
        return self._waiting < MOST

    async def keep(
        self, session: Session, tokens: Tokens, caller: Caller, stalled: asyncio.Future[None]
    ) -> Session:
        """Write `tokens` in the place of the session's; return it as the store has it then.

        That may be with somebody else's tokens. `stalled` is resolved when the store has refused
        for so long that nobody should wait any more.

        Raises `SessionTooLarge`, `Refused(SESSION_ENDED)` when the session is over (the refresh
        token is given back then), and `Unavailable` when the process ends before the store took it.
        """
        try:
            return await self._write(session, session.tokens, tokens, caller)
        except Unavailable:
            newer = replace(session, generation=session.generation + 1, tokens=tokens)
            sealed = codec.seal(self._sessions.ring, newer)
        del tokens, newer
        self._waiting += 1
        try:
            return await self._retry(session, sealed, caller, stalled)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Try for a little while longer, and then give up."""
        self._closing.set()

    async def _retry(
        self,
        session: Session,
        sealed: StoredRecord,
        caller: Caller,
        stalled: asyncio.Future[None],
    ) -> Session:
        clock = asyncio.get_running_loop().time
        begun = clock()
        give_up: float | None = None
        pause = self._timing.retry_write_first
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._timing.retry_write_longest)
            try:
                current = await self._sessions.reread(session.handle)  # it may have been written
                tokens = self._opened(session, sealed)
                return await self._write(current, session.tokens, tokens, caller, last=session)
            except Unavailable:
                if clock() - begun >= self._timing.patience and not stalled.done():
                    stalled.set_result(None)
                if self._closing.is_set():
                    give_up = give_up or clock() + self._timing.last_tries
                    if clock() >= give_up:
                        _log.error("the store did not take a session's new tokens: they are lost")
                        raise

    def _opened(self, session: Session, sealed: StoredRecord) -> Tokens:
        return codec.open_session(
            self._sessions.ring, session.handle, session.lookup, sealed
        ).tokens

    async def _write(
        self,
        current: Session | None,
        spent: Tokens,
        tokens: Tokens,
        caller: Caller,
        *,
        last: Session | None = None,
    ) -> Session:
        """Write over the spent tokens, whoever slid the session meanwhile."""
        for _ in range(_WRITES):
            if current is None:
                break
            if current.tokens != spent:  # ours, by a write nobody confirmed, or somebody else's
                return current
            last = current
            written = await self._sessions.write(current, tokens=tokens)
            if written is not None:
                return written
            current = await self._sessions.reread(current.handle)
        if current is not None or last is None:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="lost every race to write new tokens")
        is_over = last.facts.is_over(self._sessions.clock.now())
        if is_over or await self._sessions.is_gone(last.lookup):
            await self._give_back(last.facts, tokens.refresh_token, caller)
        # Else it is there and does not open: another release's, and its tokens with it.
        raise Refused(Code.SESSION_ENDED)
