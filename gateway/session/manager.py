"""Opening, sliding, listing and ending sessions.

The rules a reader should carry away:

* A session is opened by its cookie or not at all; an unknown id never creates one (D2).
* Nothing but `create` makes a session and nothing but `replace` changes one, each only if the
  world is still as it was read. A slide or a refresh that ends after a logout changes nothing (D6).
* A store fault raises `Unavailable` and travels up: it is never read as "no session" (D11).
* An opened session is kept in memory while the store tells of every change (ADR 0007); what we
  write ourselves is forgotten at once, whatever becomes of the write.
"""

from collections.abc import Callable
from dataclasses import replace

from gateway.errors import Code, Refused, Unavailable
from gateway.ports import (
    NOBODY,
    AuditEvent,
    AuditLog,
    AuditName,
    Caller,
    Clock,
    Entropy,
    LookupId,
    Outcome,
    SessionStore,
    StoredRecord,
)
from gateway.secret import SessionHandle
from gateway.session import codec
from gateway.session.browsers import Browsers
from gateway.session.cache import Listener, Origin, SessionCache
from gateway.session.departures import Departures
from gateway.session.indexes import Indexes
from gateway.session.model import Facts, Session, SessionId, SessionPolicy, Tokens
from gateway.session.sealing import CannotOpen, KeyRing, b64
from gateway.session.tombstones import Tombstones
from gateway.session.trail import about

_SLIDE_AT_MOST_EVERY = 60.0  # seconds; a slide is a write, and one a minute is fine enough


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
        is_served: Callable[[Facts], bool] = lambda _: True,
    ) -> None:
        """`is_served` says whether a session's provider is one of ours (`provider_of`)."""
        self.store = store
        self.ring = ring
        self.policy = policy
        self.clock = clock
        self.indexes = Indexes(store, ring, clock)
        self.tombstones = Tombstones(store, ring)
        self.departures = Departures(store, ring, clock)
        self._entropy = entropy
        self._audit = audit
        self._is_served = is_served
        self.slide_every = min(_SLIDE_AT_MOST_EVERY, policy.idle_timeout / 10)  # seconds
        self.browsers = Browsers(store, self.indexes, clock, self.end)
        self._cache = SessionCache(store.is_watched, policy.cache_bytes)
        store.watch(self._cache)

    def on_change(self, listener: Listener) -> None:
        """Tell `listener` of sessions that may have changed or ended, here or elsewhere.

        Of what happens elsewhere only while the store is watched; of `end` here always.
        """
        self._cache.on_change(listener)

    def on_grant_change(self, listener: Listener) -> None:
        """Tell `listener` of locks on grants that were taken or given back, as far as is known."""
        self._cache.on_grant_change(listener)

    async def open(self, cookie: str | None, *, extend: bool) -> Session | None:
        """Return the live session of this cookie, or None; `extend` marks it as used (A8)."""
        if not cookie:
            return None
        now = self.clock.now()
        session = self._cache.find(cookie, now) or await self._read(cookie, now)
        if session is None or not extend or not self.is_slide_due(session.facts, now):
            return session
        return await self.slide(session)

    def is_slide_due(self, facts: Facts, now: float) -> bool:
        """Whether a use now is to be written down: the last one lies long enough ago.

        Or as far ahead, where our clock has been set back since: the store's goes on, and nobody
        who works all the while may be gone by it (F34).
        """
        return abs(now - facts.last_seen) >= self.slide_every

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
        lookup = self.ring.lookup(handle)
        return self._opened(handle, lookup, await self.store.read(lookup))

    def opened(
        self, handle: SessionHandle, lookup: LookupId, record: StoredRecord
    ) -> Session | None:
        """Return what a record that was just read under this id opens to, if it is not over."""
        return self._opened(handle, lookup, record)

    async def is_gone(self, lookup: LookupId) -> bool:
        """Whether there is no record: one that does not open may be another release's session."""
        return await self.store.read(lookup) is None

    async def _read(self, cookie: str, now: float) -> Session | None:
        """Ask the store, and open what it says, unless it says what it said before."""
        known = self._cache.recall(cookie)
        handle = known.session.handle if known else self.ring.read_handle(cookie)
        if handle is None:
            return None
        lookup = known.session.lookup if known else self.ring.lookup(handle)
        with self._cache.reading(lookup) as reading:
            record = await self.store.read(lookup)
            if record is None:
                self._cache.forget(lookup)
                return None
            origin = Origin.of(record)
            if known is not None and known.origin == origin:
                session = self._unless_over(known.session)
            else:
                session = self._opened(handle, lookup, record)
            if session is not None:
                self._cache.keep(reading, cookie, session, origin, now)
        return session

    def _opened(
        self, handle: SessionHandle, lookup: LookupId, record: StoredRecord | None
    ) -> Session | None:
        if record is None:
            return None
        try:
            session = codec.open_session(self.ring, handle, lookup, record)
        except CannotOpen:
            # Moved, corrupted, newer than us, or its key is gone: not ours to judge, but to tell.
            note = "a stored session does not open"
            self._audit.record(AuditEvent(AuditName.SESSION_UNREADABLE, Outcome.FAILURE, note=note))
            return None
        if not self._is_served(session.facts):
            # Gone from the configuration: nobody here can end it at its provider's word, so nobody
            # may use it. Or a new one that other replicas know already: it stays, for them.
            name, note = AuditName.SESSION_UNREADABLE, "its provider is not configured here"
            self._audit.record(about(session.facts, name, Outcome.FAILURE, note=note))
            return None
        return self._unless_over(session)

    def _unless_over(self, session: Session) -> Session | None:
        return None if session.facts.is_over(self.clock.now()) else session

    async def slide(self, session: Session) -> Session | None:
        """Mark the session as used; return it as it is then, None if it has ended meanwhile."""
        seen = session.facts.seen(self.clock.now(), self.policy)
        try:
            slid = await self.write(session, facts=seen)
        except Unavailable:
            return session  # it was there a moment ago; a missed slide loses at most a minute
        if slid is None:  # somebody else wrote first, or it has ended: our copy may be a moment old
            return await self.reread(session.handle)
        if session.facts.is_unused():
            await self.browsers.used(slid)
        return slid

    async def create(self, facts: Facts, tokens: Tokens) -> Session:
        """Store a new session under a new handle (D1); raises `SessionTooLarge`."""
        handle = self.ring.new_handle()
        session = Session(handle, self.ring.lookup(handle), 1, facts, tokens)
        now = self.clock.now()
        created = await self.store.create(
            session.lookup,
            codec.seal(self.ring, session),
            ttl=facts.deadline() - now,
            indexes=self.indexes.current(facts),
            index_ttl=facts.absolute_deadline - now,
        )
        if not created:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="a fresh lookup id was already taken")
        return session

    async def write(
        self, session: Session, *, facts: Facts | None = None, tokens: Tokens | None = None
    ) -> Session | None:
        """Replace facts or tokens at the generation read; None when the world has moved on.

        Raises `SessionTooLarge`; the session is then as it was.
        """
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
        try:
            replaced = await self.store.replace(
                session.lookup, record, expected=session.generation, ttl=ttl
            )
        finally:
            self._cache.forget(session.lookup)
        return newer if replaced else None

    async def end(
        self,
        lookup: LookupId,
        facts: Facts,
        *,
        by: str,
        caller: Caller = NOBODY,
        keep: float = 0.0,
    ) -> bool:
        """End a session; True when it was still there. `by` says whose verdict it was.

        For `keep` seconds its tokens stay, sealed: see `leftovers`.
        """
        try:
            ended = await self.store.end(lookup, self.indexes.every(facts), keep=keep)
        finally:
            self._cache.changed(lookup)
        if ended:
            event = about(facts, AuditName.SESSION_ENDED, caller=caller, by=by)
            self._audit.record(event)
        return ended

    async def end_unread(self, cookie: str, *, by: str, caller: Caller) -> bool:
        """End the session of this cookie without reading it; True when it was still there.

        It may be of a release or under a key that others know: its owner can end it all the same.
        """
        handle = self.ring.read_handle(cookie)
        if handle is None:
            return False
        lookup = self.ring.lookup(handle)
        try:
            ended = await self.store.end(lookup, ())  # in which indexes it stands nobody can read
        finally:
            self._cache.changed(lookup)
        if ended:
            event = AuditName.SESSION_ENDED, Outcome.SUCCESS
            note = "a stored session that does not open"
            self._audit.record(AuditEvent(*event, by=by, caller=caller, note=note))
        return ended

    def new_session_id(self) -> SessionId:
        """Return a fresh public name for a session."""
        return SessionId(b64(self._entropy.octets(16)))
