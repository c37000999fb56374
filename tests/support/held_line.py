"""The line from one process to the providers: requests and answers that get lost, or take long.

Only refreshes meet with mishaps; whatever else is asked gets through as long as the line is up.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl

from gateway.errors import Code, Effect, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.ports import BackChannel


class Mishap(StrEnum):
    """What becomes of one refresh."""

    LINGERS = "the request is held up on its way"
    HOLDS = "it is carried out, and the answer held up on its way"
    UNSENT = "the provider cannot be reached"
    BUSY = "the provider has no time (429)"
    UNKNOWN_CLIENT = "the provider does not know the client just now"
    LOST = "it is carried out, and the answer lost"
    BROKEN = "it is carried out, and the answer a 502"
    GARBAGE = "it is carried out, and the answer cannot be read"


class Outcome(StrEnum):
    """What the process that sent a refresh knows of it by now."""

    NOTHING = "no answer yet"
    ANSWERED = "the provider's answer"
    NOT_SPENT = "that the token was not spent"
    MISSED = "that nobody knows"


@dataclass(eq=False)
class Presented:
    """A refresh token that was sent to the provider."""

    token: str
    line: "Line"
    outcome: Outcome = Outcome.NOTHING


@dataclass(eq=False)
class Held:
    """A request or an answer under way; `lost` says that it will not arrive."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False

    def release(self, *, lost: bool) -> None:
        self.lost = lost
        self.gate.set()


@dataclass(eq=False)
class Line:
    """The `BackChannel` port. `plan` says what becomes of the next refreshes, in order.

    `reached` is called with every request that reaches the provider; of a refresh with more.
    """

    to: BackChannel
    reached: Callable[[BackChannelRequest, Presented | None], None]
    plan: deque[Mishap] = field(default_factory=deque)
    held: list[Held] = field(default_factory=list)
    down: bool = False
    dead: bool = False

    async def send(self, request: BackChannelRequest) -> BackChannelAnswer:
        if self.dead:
            await asyncio.Event().wait()
        token = _refresh_token(request)
        if token is None:
            if self.down:
                raise _unavailable(spent=False)
            self.reached(request, None)
            return await self.to.send(request)
        mine = Presented(token, self)
        try:
            mishap = Mishap.UNSENT if self.down else self.plan.popleft() if self.plan else None
            return await self._refreshed(request, mine, mishap)
        finally:
            if mine.outcome is Outcome.NOTHING:  # the process was killed, or the answer is there
                mine.outcome = Outcome.MISSED if self.dead else Outcome.ANSWERED

    async def _refreshed(
        self, request: BackChannelRequest, mine: Presented, mishap: Mishap | None
    ) -> BackChannelAnswer:
        match mishap:
            case Mishap.UNSENT:
                raise _unavailable(spent=False)
            case Mishap.BUSY:
                return BackChannelAnswer(429, "text/plain", b"later", retry_after=1)
            case Mishap.UNKNOWN_CLIENT:
                return BackChannelAnswer(401, "application/json", b'{"error":"invalid_client"}')
            case Mishap.LINGERS if await self._held_up():
                mine.outcome = Outcome.MISSED
                raise _unavailable(spent=True)
        self.reached(request, mine)
        answer = await self.to.send(request)
        if answer.status != 200:
            mine.outcome = Outcome.NOT_SPENT
        match mishap:
            case Mishap.HOLDS if await self._held_up():
                mine.outcome = Outcome.MISSED
                raise _unavailable(spent=True)
            case Mishap.LOST:
                mine.outcome = Outcome.MISSED
                raise _unavailable(spent=True)
            case Mishap.BROKEN:
                mine.outcome = Outcome.MISSED
                return BackChannelAnswer(502, "text/html", b"<h1>Bad Gateway</h1>")
            case Mishap.GARBAGE:
                mine.outcome = Outcome.MISSED
                return BackChannelAnswer(200, "application/json", b'{"access_tok')
        return answer

    async def _held_up(self) -> bool:
        """Return whether it got lost, when it is known what becomes of it."""
        held = Held()
        self.held.append(held)
        await held.gate.wait()
        if self.dead:
            await asyncio.Event().wait()
        return held.lost


def _refresh_token(request: BackChannelRequest) -> str | None:
    form = dict(parse_qsl(request.body.decode()))
    return form.get("refresh_token") if form.get("grant_type") == "refresh_token" else None


def _unavailable(*, spent: bool) -> Unavailable:
    note = "provider: no answer, by the test's wish" if spent else "provider: not reached"
    effect = Effect.LOST if spent else Effect.NOTHING
    return Unavailable(Code.PROVIDER_UNAVAILABLE, note=note, effect=effect)
