"""The access token for a call: the one we hold, or a newer one, fetched once.

A refresh token that rotates must be spent once: parallel requests of this process share one grant,
which runs on its own task, so that a browser hanging up never aborts it half-way (H9). Requests
whose access token is still good do not wait for it. Only `invalid_grant`, parsed, is a verdict on
the session; everything else that can go wrong at a provider is weather (H10).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.oidc import id_token
from gateway.oidc.token_endpoint import Grant, GrantRefused
from gateway.ports import AuditLog, AuditName, Caller, LookupId, Outcome
from gateway.secret import RefreshToken
from gateway.session.codec import SessionTooLarge
from gateway.session.login import tokens_of
from gateway.session.manager import Sessions
from gateway.session.model import Session, Tokens
from gateway.session.provider import Provider, provider_of
from gateway.session.revocation import Revocations
from gateway.session.trail import about

SAFETY = 5.0  # seconds of life a token must have left to be sent to an upstream
_LIFETIME_SHARE = 0.1  # refresh when a tenth of the lifetime is left, if that is more
_WRITES = 5  # attempts to store new tokens against slides that get in between
_ANOTHER_PERSON = (Code.ID_TOKEN_SUBJECT, Code.ID_TOKEN_ISSUER)
_RETRY_EVERY = 5.0  # seconds between attempts while a provider does not answer


class Refresher:
    """Keeps sessions supplied with access tokens."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        sessions: Sessions,
        revocations: Revocations,
        audit: AuditLog,
    ) -> None:
        self._providers = providers
        self._sessions = sessions
        self._revocations = revocations
        self._clock = sessions.clock
        self._audit = audit
        self._running: dict[LookupId, asyncio.Task[Session]] = {}
        self._not_before: dict[LookupId, float] = {}

    async def tokens_for(self, session: Session, caller: Caller) -> Tokens:
        """Return tokens whose access token has life left in it.

        Raises `Refused(SESSION_ENDED)` when the provider declared the grant dead,
        `Refused(TOKEN_EXPIRED)` when there is nothing to refresh with, and
        `Unavailable(TOKEN_UNAVAILABLE)` when the provider cannot be asked just now.
        """
        if self._provider_of(session) is None:
            raise Refused(Code.SESSION_ENDED, note="its provider is not configured any more")
        tokens = session.tokens
        now = self._clock.now()
        usable = tokens.expires_at - now > SAFETY
        if tokens.refresh_token is None:
            if usable:
                return tokens
            raise Refused(Code.TOKEN_EXPIRED)
        if not self.is_due(tokens, now):
            return tokens
        if usable:
            if self._not_before.get(session.lookup, 0.0) <= now:
                self._start(session, caller)
            return tokens
        # `shield`: this caller may go away, the grant may not.
        renewed = await asyncio.shield(self._start(session, caller))
        return renewed.tokens

    def _provider_of(self, session: Session) -> Provider | None:
        """Return the provider that issued these tokens; never another under its name (E16)."""
        return provider_of(self._providers, session.facts)

    def is_due(self, tokens: Tokens, now: float) -> bool:
        """Whether it is time to refresh: a margin ahead, or a tenth of a long lifetime (H11)."""
        lifetime = tokens.expires_at - tokens.received_at
        margin = max(self._sessions.policy.refresh_margin, lifetime * _LIFETIME_SHARE)
        # A token that lives shorter than the margin would be due on arrival, on every call.
        return tokens.expires_at - now <= min(margin, lifetime / 2)

    def is_healthy(self, session: Session) -> bool:
        """Whether an API call made now can be expected to carry a token."""
        if session.tokens.expires_at - self._clock.now() > SAFETY:
            return True
        return session.tokens.refresh_token is not None and session.lookup not in self._not_before

    async def aclose(self) -> None:
        """Wait for grants under way: a rotated token must reach the store."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=10.0)

    def _start(self, session: Session, caller: Caller) -> asyncio.Task[Session]:
        running = self._running.get(session.lookup)
        if running is None:
            running = asyncio.create_task(self._refresh(session, caller))
            self._running[session.lookup] = running
            running.add_done_callback(lambda task: self._finished(session.lookup, task))
        return running

    def _finished(self, lookup: LookupId, task: asyncio.Task[Session]) -> None:
        del self._running[lookup]
        # A background refresh has nobody waiting: note the failure, or asyncio complains.
        if task.cancelled() or task.exception() is not None:
            self._not_before[lookup] = self._clock.now() + _RETRY_EVERY
            self._forget_old_delays()
        else:
            self._not_before.pop(lookup, None)

    def _forget_old_delays(self) -> None:
        now = self._clock.now()
        self._not_before = {key: at for key, at in self._not_before.items() if at > now}

    async def _refresh(self, stale: Session, caller: Caller) -> Session:
        session = await self._reread(stale)
        if not self.is_due(session.tokens, self._clock.now()):
            return session  # another process was quicker
        provider = self._provider_of(session)
        spent = session.tokens.refresh_token
        if provider is None or spent is None:
            raise Refused(Code.TOKEN_EXPIRED)
        try:
            grant = await provider.refresh(spent, session.tokens.scopes)
        except GrantRefused as refusal:
            return await self._after_refusal(session, refusal, caller)
        except GatewayError as failure:
            raise self._weather(session, failure, caller) from failure
        grant = await self._check_identity(provider, session, grant, caller)
        tokens = tokens_of(grant, session.tokens)
        try:
            renewed = await self._store(session, tokens, caller)
        except SessionTooLarge as failure:
            # What we hold is spent, what came cannot be kept: nothing is left to go on with.
            self._failed(session, caller, Outcome.REFUSED, failure.code, failure.note)
            await self._end(session, tokens.refresh_token, caller)
            raise Refused(Code.SESSION_ENDED) from failure
        self._audit.record(about(session.facts, AuditName.TOKEN_REFRESHED, caller=caller))
        return renewed

    async def _check_identity(
        self, provider: Provider, session: Session, grant: Grant, caller: Caller
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
                await provider.verify(grant.id_token),
                provider.client,
                issuer=facts.issuer,
                subject=facts.subject,
                nonce=facts.nonce,
                auth_time=facts.auth_time,
                access_token=grant.access_token,
                now=self._clock.now(),
            )
        except GatewayError as failure:
            self._failed(session, caller, Outcome.REFUSED, failure.code, failure.note)
            if failure.code not in _ANOTHER_PERSON:
                return replace(grant, id_token=None)
            await self._end(session, grant.refresh_token, caller)
            raise Refused(Code.SESSION_ENDED) from failure
        return grant

    async def _reread(self, stale: Session) -> Session:
        session = await self._sessions.reread(stale.handle)
        if session is None:
            raise Refused(Code.SESSION_ENDED)
        return session

    async def _after_refusal(
        self, session: Session, refusal: GrantRefused, caller: Caller
    ) -> Session:
        """Find out whether the refused token was ours still, or one another process had spent."""
        current = await self._reread(session)
        if current.tokens.refresh_token != session.tokens.refresh_token:
            return current  # the loser of a race reads again, and deletes nothing
        if not refusal.is_final:
            raise self._weather(session, refusal, caller) from refusal
        note = "invalid_grant: revoked, expired or used before"
        self._failed(session, caller, Outcome.REFUSED, Code.TOKEN_GRANT_REFUSED, note)
        await self._end(session, None, caller)
        raise Refused(Code.SESSION_ENDED) from refusal

    async def _store(self, session: Session, tokens: Tokens, caller: Caller) -> Session:
        """Write the new tokens, whoever slid the session meanwhile; revoke them if it ended."""
        current: Session | None = session
        for _ in range(_WRITES):
            if current is None:
                break
            written = await self._sessions.write(current, tokens=tokens)
            if written is not None:
                return written
            current = await self._sessions.reread(session.handle)
        if current is not None:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="lost every race to write new tokens")
        await self._revocations.give_back(session.facts, tokens.refresh_token, caller)
        raise Refused(Code.SESSION_ENDED)

    async def _end(self, session: Session, token: RefreshToken | None, caller: Caller) -> None:
        """End a session by what its provider sent, and give the refresh token back that came."""
        try:
            await self._sessions.end(session.lookup, session.facts, by="provider", caller=caller)
        finally:
            await self._revocations.give_back(session.facts, token, caller)

    def _weather(self, session: Session, failure: GatewayError, caller: Caller) -> Unavailable:
        self._failed(session, caller, Outcome.FAILURE, failure.code, failure.note)
        wait = failure.retry_after if isinstance(failure, Unavailable) else int(_RETRY_EVERY)
        return Unavailable(Code.TOKEN_UNAVAILABLE, note=failure.note, retry_after=wait)

    def _failed(
        self, session: Session, caller: Caller, outcome: Outcome, code: Code, note: str
    ) -> None:
        name = AuditName.TOKEN_REFRESH_FAILED
        self._audit.record(about(session.facts, name, outcome, caller, code=code, note=note))
