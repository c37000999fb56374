"""Logouts that outlast what they ended, so that one which overtakes a login still wins (J13).

A provider may say "logged out" while the login it speaks of is under way: the session is not in
the store yet, and there is nothing to end. So each logout order leaves a mark with its `iat`, and
each login looks for marks that are not older than its ID token. Why no interleaving lets such a
session live: the logout writes its mark BEFORE it lists sessions, the login writes its session
BEFORE it reads the marks. If the list misses the session, the session was written after the list
was read, thus after the mark was written, and the login's own read, later still, finds the mark.
If the login misses the mark, then by the same reasoning the list finds the session.
"""

import math
from collections.abc import Sequence

from gateway.oidc.id_token import OLDEST
from gateway.oidc.logout_token import LogoutOrder
from gateway.ports import IndexName, SessionStore
from gateway.session.model import Facts
from gateway.session.sealing import KeyRing

KEPT_FOR = OLDEST + 300.0
"""Seconds. No login accepts an ID token issued more than `OLDEST` (and a minute's leeway) ago, so
after this long no login can begin to exist that a mark should have stopped."""


class Tombstones:
    """The marks that logout orders leave in the store."""

    def __init__(self, store: SessionStore, ring: KeyRing) -> None:
        self._store = store
        self._ring = ring

    async def put(self, providers: Sequence[str], order: LogoutOrder) -> None:
        """Leave the order's mark for logins at each of these, which are names of one client.

        Under every key of the ring: others may know but one of them. Raises `Unavailable`.
        """
        marks = [mark for name in providers for mark in self._of_order(name, order)]
        await self._store.mark(marks, order.issued_at, ttl=KEPT_FOR)

    async def overtook(self, facts: Facts, issued_at: float | None) -> bool:
        """Whether an order as young as this login's ID token, or younger, was about its session.

        `issued_at` is the ID token's `iat`: both are readings of the provider's one clock. Many
        providers write whole seconds; within the same one the logout wins. Raises `Unavailable`.
        """
        if issued_at is None:  # plain OAuth 2.0 has no logout tokens
            return False
        marks = await self._store.marks(self._of_session(facts))
        return any(mark is not None and math.floor(mark) >= math.floor(issued_at) for mark in marks)

    def _of_order(self, provider: str, order: LogoutOrder) -> tuple[IndexName, ...]:
        match order:
            case LogoutOrder(sid=None, subject=str(subject)):
                return self._names("sub", provider, order.issuer, subject)
            case LogoutOrder(sid=str(sid), subject=None):
                return self._names("sid", provider, order.issuer, sid)
            case _:  # of the session alone, and only if it is this person's (J12)
                whose = (order.sid or "", order.subject or "")
                return self._names("sid-sub", provider, order.issuer, *whose)

    def _of_session(self, facts: Facts) -> tuple[IndexName, ...]:
        place = (facts.provider, facts.issuer)
        names = self._names("sub", *place, facts.subject)
        if facts.sid is not None:
            names += self._names("sid", *place, facts.sid)
            names += self._names("sid-sub", *place, facts.sid, facts.subject)
        return names

    def _names(self, kind: str, *values: str) -> tuple[IndexName, ...]:
        return self._ring.index_names(f"logged-out-{kind}", *values)
