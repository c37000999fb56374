"""One refresh, from the lock to the store.

The order is what makes it safe (H9, RFC 9700 section 4.14.2): the lock, which is also the note
that a refresh token is about to be spent; the record as it is then; the grant, at once; the write;
and only then does anybody get to see the new tokens. Whatever is raised, the lock is given back
with what is known of the refresh token.
"""

import asyncio
from dataclasses import dataclass, replace

from gateway.errors import (
    Code,
    Effect,
    GatewayError,
    NoTurn,
    Refused,
    Unavailable,
    in_whole_seconds,
)
from gateway.oidc import id_token
from gateway.oidc.metadata import Metadata
from gateway.oidc.token_endpoint import Grant, GrantRefused
from gateway.ports import AuditLog, AuditName, Caller, Doubt, Entropy, LookupId, Outcome
from gateway.secret import AccessToken, RefreshToken
from gateway.session.breaker import Breaker
from gateway.session.codec import SessionTooLarge
from gateway.session.establishing import tokens_of
from gateway.session.grant_turns import GrantTurns, Hold
from gateway.session.keeping import GiveBack, Keeping
from gateway.session.manager import Sessions
from gateway.session.model import Session
from gateway.session.provider import Provider
from gateway.session.timing import Timing
from gateway.session.token_life import good_until, is_due, is_good
from gateway.session.trail import about

_ANOTHER_PERSON = (Code.ID_TOKEN_SUBJECT, Code.ID_TOKEN_ISSUER)
_LONGEST_WISH = 60.0  # seconds a provider can keep a session waiting by Retry-After
_LOOK_AGAIN = 30.0  # seconds; nobody asks the provider then, but clocks may have moved
_MOST_FAILING = 10000  # sessions whose failures are counted at a time


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done: refresh this session at its provider, for a caller.

    `rejected` is an access token an upstream did not accept: it is replaced although it is not
    due. `stalled` is resolved when new tokens are there, and the store refuses them.
    """

    session: Session
    provider: Provider
    breaker: Breaker
    caller: Caller
    rejected: AccessToken | None
    stalled: asyncio.Future[None]


class Granting:
    """Carries refreshes out."""

    def __init__(
        self,
        sessions: Sessions,
        turns: GrantTurns,
        keeping: Keeping,
        give_back: GiveBack,
        audit: AuditLog,
        entropy: Entropy,
        timing: Timing,
    ) -> None:
        self._sessions = sessions
        self._clock = sessions.clock
        self._turns = turns
        self._keeping = keeping
        self._give_back = give_back
        self._audit = audit
        self._entropy = entropy
        self._timing = timing
        self._failures: dict[LookupId, int] = {}

    async def run(self, task: Task) -> Session:
        """Return the session with tokens that are not due, by our grant or somebody else's.

        Raises `Refused(SESSION_ENDED)`, and `Unavailable`.
        """
        current = task.session
        published = await _published(task.provider)

        async def is_settled() -> bool:
            nonlocal current
            current = await self._reread(task.session)
            return not self._is_wanted(current, task.rejected)

        owner = self._entropy.octets(16).hex()
        async with self._turns.turn(task.session, owner, is_settled) as hold:
            if hold is None:
                return current
            return await self._grant(current, published, hold, task)

    def is_failing(self, lookup: LookupId) -> bool:
        """Whether the latest refresh of this session here came to nothing."""
        return lookup in self._failures

    def _is_wanted(self, session: Session, rejected: AccessToken | None) -> bool:
        tokens = session.tokens
        if rejected is not None:
            return tokens.access_token == rejected
        margin = self._sessions.policy.refresh_margin
        return is_due(tokens, session.lookup, self._clock.now(), margin)

    async def _reread(self, stale: Session) -> Session:
        session = await self._sessions.reread(stale.handle)
        if session is None:
            raise Refused(Code.SESSION_ENDED)
        return session

    async def _grant(
        self, session: Session, published: Metadata | Unavailable, hold: Hold, task: Task
    ) -> Session:
        spent = session.tokens.refresh_token
        if spent is None:
            raise Refused(Code.TOKEN_EXPIRED)
        if hold.is_over():  # and somebody else may be spending the token now
            raise _unavailable("the lock was lost before the grant was begun", 1.0)
        self._require_that_it_is_worth_it(session, hold, task)
        if isinstance(published, Unavailable):
            raise self._weather(session, published, hold, task) from published
        hold.doubt = max(hold.before, Doubt.LOST)  # until we know better
        try:
            grant = await task.provider.refresh(published, spent, session.tokens.scopes)
        except GrantRefused as refusal:
            task.breaker.answered()
            return await self._after_refusal(session, refusal, hold, task)
        except GatewayError as failure:
            raise self._weather(session, failure, hold, task) from failure
        except BaseException:  # a bug, or the end of the loop: nobody else probes for it
            task.breaker.withdrawn()
            raise
        task.breaker.answered()
        renewed = await self._take(session, grant, hold, task)
        hold.doubt = Doubt.NONE
        self._failures.pop(session.lookup, None)
        return renewed

    def _require_that_it_is_worth_it(self, session: Session, hold: Hold, task: Task) -> None:
        """Raise `Unavailable` when the provider is better not asked now."""
        now = self._clock.now()
        if not self._keeping.has_room():
            raise Unavailable(Code.STORE_UNAVAILABLE, note="too many new tokens wait for the store")
        if hold.before is Doubt.UNCLEAR and task.rejected is None and is_good(session.tokens, now):
            # The refresh token may be spent, and asking may be taken for a theft of it. What we
            # have is good: the person works on with it to its end.
            hold.pause = min(good_until(session.tokens) - now, _LOOK_AGAIN)
            note = "the outcome of an earlier grant is unknown"
            raise _unavailable(note, hold.pause)
        try:
            task.breaker.admit(now)
        except Unavailable as failure:
            raise _unavailable(failure.note, failure.retry_after) from failure

    async def _take(self, session: Session, grant: Grant, hold: Hold, task: Task) -> Session:
        """Keep what was granted, and return the session with it."""
        caller = task.caller
        grant = await self._check_identity(session, grant, hold, task)
        tokens = tokens_of(grant, session.tokens)
        try:
            renewed = await self._keeping.keep(session, tokens, caller, task.stalled)
        except SessionTooLarge as failure:
            # What we hold is spent, what came cannot be kept: nothing is left to go on with.
            self._failed(session, caller, Outcome.REFUSED, failure.code, failure.note)
            await self._end(session, tokens.refresh_token, caller)
            raise Refused(Code.SESSION_ENDED) from failure
        if renewed.tokens == tokens:
            self._audit.record(about(session.facts, AuditName.TOKEN_REFRESHED, caller=caller))
        else:
            note = "another process had stored newer tokens meanwhile"
            self._failed(session, caller, Outcome.FAILURE, Code.TOKEN_UNAVAILABLE, note)
        return renewed

    async def _check_identity(
        self, session: Session, grant: Grant, hold: Hold, task: Task
    ) -> Grant:
        """Return the grant to keep: a refreshed ID token is optional, another person's is an end.

        An ID token that does not verify is left out and audited; the tokens beside it were rotated
        and are kept, for losing them would log the person out (G18).
        """
        if grant.id_token is None or session.tokens.id_token is None:
            return replace(grant, id_token=None)
        facts = session.facts
        try:
            id_token.check_refreshed_id_token(
                await task.provider.verify(grant.id_token),
                task.provider.client,
                issuer=facts.issuer,
                subject=facts.subject,
                nonce=facts.nonce,
                auth_time=facts.auth_time,
                access_token=grant.access_token,
                now=self._clock.now(),
            )
        except GatewayError as failure:
            self._failed(session, task.caller, Outcome.REFUSED, failure.code, failure.note)
            if failure.code not in _ANOTHER_PERSON:
                return replace(grant, id_token=None)
            hold.doubt = Doubt.NONE
            await self._end(session, grant.refresh_token, task.caller)
            raise Refused(Code.SESSION_ENDED) from failure
        return grant

    async def _after_refusal(
        self, session: Session, refusal: GrantRefused, hold: Hold, task: Task
    ) -> Session:
        """Find out whether the refused token was ours still, or one another process had spent."""
        current = await self._reread(session)
        if current.tokens != session.tokens:
            hold.doubt = Doubt.NONE
            return current  # the loser of a race reads again, and deletes nothing
        if not refusal.is_final:
            raise self._weather(session, refusal, hold, task) from refusal
        note = "invalid_grant: revoked, expired, or possibly reused"
        if hold.before is not Doubt.NONE:
            note += "; the outcome of an earlier grant was never known"
        self._failed(session, task.caller, Outcome.REFUSED, Code.TOKEN_GRANT_REFUSED, note)
        await self._end(session, None, task.caller)
        hold.doubt = Doubt.NONE
        raise Refused(Code.SESSION_ENDED) from refusal

    async def _end(self, session: Session, token: RefreshToken | None, caller: Caller) -> None:
        """End a session by what its provider sent, and give the refresh token back that came."""
        try:
            await self._sessions.end(session.lookup, session.facts, by="provider", caller=caller)
        finally:
            await self._give_back(session.facts, token, caller)

    def _weather(
        self, session: Session, failure: GatewayError, hold: Hold, task: Task
    ) -> Unavailable:
        """Note what is known of the refresh token now, and for how long to leave it alone."""
        self._failed(session, task.caller, Outcome.FAILURE, failure.code, failure.note)
        wish = 0.0
        match failure:
            case Unavailable(effect=effect, retry_after=seconds):
                wish = float(seconds) if seconds > 1 else 0.0  # one second is what nobody said
            case GrantRefused():
                effect = Effect.NOTHING
            case _:
                effect = Effect.UNCLEAR
        hold.doubt = _doubt(hold.before, effect)
        if isinstance(failure, NoTurn):
            task.breaker.withdrawn()  # it is we who have too many questions
        elif not isinstance(failure, GrantRefused):
            now, spread = self._clock.now(), self._spread()
            task.breaker.failed(session.lookup, now, wish=wish, spread=spread)
        hold.pause = max(self._next_pause(session.lookup), min(wish, _LONGEST_WISH))
        return _unavailable(failure.note, hold.pause)

    def _next_pause(self, lookup: LookupId) -> float:
        """Return a pause, twice as long each time, and for no two sessions quite the same."""
        if len(self._failures) >= _MOST_FAILING:
            self._failures.clear()
        times = self._failures[lookup] = self._failures.get(lookup, 0) + 1
        pause = min(
            self._timing.first_pause * 2.0 ** min(times - 1, 30), self._timing.longest_pause
        )
        return pause * (0.75 + self._spread() / 4)

    def _spread(self) -> float:
        return self._entropy.octets(1)[0] / 255

    def _failed(
        self, session: Session, caller: Caller, outcome: Outcome, code: Code, note: str
    ) -> None:
        name = AuditName.TOKEN_REFRESH_FAILED
        self._audit.record(about(session.facts, name, outcome, caller, code=code, note=note))


async def _published(provider: Provider) -> Metadata | Unavailable:
    """Return the provider's endpoints, or why they cannot be had, which has spent nothing.

    They are fetched before the lock is taken: that may take longer than a lease lasts, and between
    the last look at the lock and the grant nothing may be waited for.
    """
    try:
        return await provider.metadata()
    except GatewayError as failure:
        return Unavailable(failure.code, note=failure.note, effect=Effect.NOTHING)


def _doubt(before: Doubt, effect: Effect) -> Doubt:
    """Return what is known of a refresh token after a grant that came to nothing."""
    if effect is Effect.NOTHING:
        return before
    # One more try for a lost answer: providers that rotate often accept the old token for a while.
    return Doubt.LOST if effect is Effect.LOST and before is Doubt.NONE else Doubt.UNCLEAR


def _unavailable(note: str, seconds: float) -> Unavailable:
    retry_after = in_whole_seconds(seconds)
    return Unavailable(Code.TOKEN_UNAVAILABLE, note=note, retry_after=retry_after)
