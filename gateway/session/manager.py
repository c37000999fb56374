"""Opening, sliding, listing and ending sessions.

The rules a reader should carry away:

* A session is opened by its cookie or not at all; an unknown id never creates one (D2).
* Nothing but `create` makes a session and nothing but `replace` changes one, each only if the
  world is still as it was read. A slide or a refresh that ends after a logout changes nothing (D6).
* A store fault raises `Unavailable` and travels up: it is never read as "no session" (D11).
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from gateway.errors import Code, Refused, Unavailable
from gateway.ports import (
    NOBODY,
    AuditEvent,
    AuditLog,
    AuditName,
    Caller,
    Clock,
    Entropy,
    IndexName,
    LookupId,
    Outcome,
    SessionStore,
)
from gateway.secret import SessionHandle
from gateway.session import codec
from gateway.session.model import Facts, Session, SessionId, SessionPolicy, Tokens
from gateway.session.sealing import CannotOpen, KeyRing, b64
from gateway.session.trail import about

_SLIDE_AT_MOST_EVERY = 60.0  # seconds; a slide is a write, and one a minute is fine enough
_PARALLEL_LOGINS = 5.0  # seconds between two logins of one browser that count as parallel
_JUST_NOW = 30.0  # seconds after a login in which another one would not help
_SUPERSEDED_FOR = 120.0  # seconds a request may be on its way while another tab logs in


@dataclass(frozen=True, slots=True)
class Listed:
    """One of a user's sessions, as an index and the ring open it: no token, no handle."""

    lookup: LookupId
    facts: Facts


class Sessions:
    """The gateway's sessions, whatever process asks."""

    def __init__(
        self,
        store: SessionStore,
        ring: KeyRing,
        policy: SessionPolicy,
        clock: Clock,
        entropy: Entropy,
        audit: AuditLog,
    ) -> None:
        self.store = store
        self.ring = ring
        self.policy = policy
        self.clock = clock
        self._entropy = entropy
        self._audit = audit
        self._slide_every = min(_SLIDE_AT_MOST_EVERY, policy.idle_timeout / 10)

    async def open(self, cookie: str | None, *, extend: bool) -> Session | None:
        """Return the live session of this cookie, or None; `extend` marks it as used (A8)."""
        handle = self.ring.read_handle(cookie) if cookie else None
        if handle is None:
            return None
        session = await self.reread(handle)
        if session is None or not extend:
            return session
        return await self._slide(session)

    async def require(self, cookie: str | None) -> Session:
        """Return the live session, marked as used.

        Raises `Refused`: SESSION_REQUIRED without a cookie, SESSION_ENDED with one that no longer
        opens anything.
        """
        if not cookie:
            raise Refused(Code.SESSION_REQUIRED)
        session = await self.open(cookie, extend=True)
        if session is None:
            raise Refused(Code.SESSION_ENDED)
        return session

    async def reread(self, handle: SessionHandle) -> Session | None:
        """Return what the store holds for this handle now, if it opens and is not over."""
        record = await self.store.read(self.ring.lookup(handle))
        if record is None:
            return None
        try:
            session = codec.open_session(self.ring, handle, record)
        except CannotOpen:
            # Moved, corrupted, newer than us, or its key is gone: not ours to judge, but to tell.
            note = "a stored session does not open"
            self._audit.record(AuditEvent(AuditName.SESSION_UNREADABLE, Outcome.FAILURE, note=note))
            return None
        return None if session.facts.is_over(self.clock.now()) else session

    async def _slide(self, session: Session) -> Session:
        now = self.clock.now()
        if now - session.facts.last_seen < self._slide_every:
            return session
        try:
            slid = await self.write(session, facts=session.facts.seen(now, self.policy))
        except Unavailable:
            return session  # it was read a moment ago; a missed slide loses at most a minute
        if slid is not None and session.facts.is_unused():
            await self._end_spared(slid)
        return slid or session  # somebody else wrote first; theirs is as good

    async def _end_spared(self, used: Session) -> None:
        """End what a parallel login left: the browser has shown which of the cookies it kept."""
        with contextlib.suppress(Unavailable):
            await self.end_others_in_browser(used.facts.browser, used, NOBODY, spare_parallel=False)

    async def create(self, facts: Facts, tokens: Tokens) -> Session:
        """Store a new session under a new handle (D1)."""
        handle = self.ring.new_handle()
        session = Session(handle, self.ring.lookup(handle), 1, facts, tokens)
        now = self.clock.now()
        created = await self.store.create(
            session.lookup,
            codec.seal(self.ring, session),
            ttl=facts.deadline() - now,
            indexes=self._current_indexes(facts),
            index_ttl=facts.absolute_deadline - now,
        )
        if not created:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="a fresh lookup id was already taken")
        return session

    async def write(
        self, session: Session, *, facts: Facts | None = None, tokens: Tokens | None = None
    ) -> Session | None:
        """Replace facts or tokens at the generation read; None when the world has moved on."""
        newer = replace(
            session,
            generation=session.generation + 1,
            facts=facts or session.facts,
            tokens=tokens or session.tokens,
        )
        ttl = newer.facts.deadline() - self.clock.now()
        if ttl <= 0:
            return None
        record = codec.seal(self.ring, newer)
        if await self.store.replace(session.lookup, record, expected=session.generation, ttl=ttl):
            return newer
        return None

    async def end(
        self, lookup: LookupId, facts: Facts, *, by: str, caller: Caller = NOBODY
    ) -> bool:
        """End a session; True when it was still there. `by` says whose verdict it was."""
        ended = await self.store.end(lookup, self._every_index(facts))
        if ended:
            event = about(facts, AuditName.SESSION_ENDED, caller=caller, by=by)
            self._audit.record(event)
        return ended

    async def of_user(self, issuer: str, subject: str) -> list[Listed]:
        """Return every live session of (iss, sub), never of a name or an e-mail (D9)."""
        names = self.ring.index_names("user", issuer, subject)
        return [
            listed
            async for listed in self._listed(names)
            # Believe the sealed facts, not the index: whoever can write to the store could
            # enter a stranger's session here.
            if (listed.facts.issuer, listed.facts.subject) == (issuer, subject)
        ]

    async def end_others_in_browser(
        self, browser: str, keep: Session, caller: Caller, *, spare_parallel: bool = True
    ) -> None:
        """End every older session of this browser: at a login the old id is dead at once (D1).

        Two tabs that log in at the same moment spare each other: nobody knows which of the two
        answers the browser will take last, and a dead cookie would be a logout by accident.
        """
        names = self.ring.index_names("browser", browser)
        async for listed in self._listed(names):
            if listed.lookup == keep.lookup or listed.facts.browser != browser:
                continue
            same_user = (listed.facts.issuer, listed.facts.subject) == (
                keep.facts.issuer,
                keep.facts.subject,
            )
            age = keep.facts.created_at - listed.facts.created_at
            is_parallel = spare_parallel and abs(age) <= _PARALLEL_LOGINS
            if not (is_parallel and same_user):  # replicas' clocks may differ
                await self.supersede(listed.lookup, listed.facts, caller)

    async def has_just_logged_in(self, browser: str) -> bool:
        """Whether a login in this browser made a session that is still there, moments ago."""
        now = self.clock.now()
        names = self.ring.index_names("browser", browser)
        return any(
            [
                abs(now - listed.facts.created_at) < _JUST_NOW
                async for listed in self._listed(names)
                if listed.facts.browser == browser
            ]
        )

    async def end_browser(self, browser: str, caller: Caller) -> None:
        """End every session of this browser, whoever's it is: its user logs out."""
        async for listed in self._listed(self.ring.index_names("browser", browser)):
            if listed.facts.browser == browser:
                await self.end(listed.lookup, listed.facts, by="user", caller=caller)

    async def supersede(self, lookup: LookupId, facts: Facts, caller: Caller) -> None:
        """End a session because the same browser has just logged in again."""
        await self.store.claim(_superseded(lookup), ttl=_SUPERSEDED_FOR)
        await self.end(lookup, facts, by="new_login", caller=caller)

    async def may_forget(self, cookie: str) -> bool:
        """Whether telling the browser to drop this dead cookie can do no harm.

        A request that left with the old cookie while another tab logged in must not delete the new
        one: the answer names a cookie, not its value. For a while after a new login it stays. So
        does a cookie we cannot judge: signed under a key, or for a record in a format, that only
        other replicas know while a new release or key is rolled out.
        """
        handle = self.ring.read_handle(cookie)
        if handle is None:
            return False
        lookup = self.ring.lookup(handle)
        try:
            if await self.store.read(lookup) is not None:
                return False
            return await self.store.claim(_superseded(lookup), ttl=1.0)
        except Unavailable:
            return False

    def new_session_id(self) -> SessionId:
        """Return a fresh public name for a session."""
        return SessionId(b64(self._entropy.octets(16)))

    async def _listed(self, names: Sequence[IndexName]) -> AsyncIterator[Listed]:
        now = self.clock.now()
        for name in names:
            lookups = await self.store.members(name)
            records = await self.store.read_many(lookups)
            for lookup, record in zip(lookups, records, strict=True):
                if record is None:
                    continue
                try:
                    facts = codec.open_facts(self.ring, lookup, record)
                except CannotOpen:
                    continue
                if not facts.is_over(now):
                    yield Listed(lookup, facts)

    def _current_indexes(self, facts: Facts) -> tuple[IndexName, ...]:
        return tuple(names[0] for names in self._index_names(facts))

    def _every_index(self, facts: Facts) -> tuple[IndexName, ...]:
        return tuple(name for names in self._index_names(facts) for name in names)

    def _index_names(self, facts: Facts) -> list[tuple[IndexName, ...]]:
        names = [self.ring.index_names("user", facts.issuer, facts.subject)]
        if facts.sid is not None:
            names.append(self.ring.index_names("sid", facts.issuer, facts.sid))
        if facts.browser:
            names.append(self.ring.index_names("browser", facts.browser))
        return names


def _superseded(lookup: LookupId) -> str:
    return f"superseded:{lookup}"
