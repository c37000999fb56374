"""Looking at sessions and ending them on behalf of an operator, without anybody's cookie.

By user and by public id there is an index. All sessions of a provider, or all there are, are found
by going through the store, some at a time, so that whoever is served meanwhile hardly notices.

Tokens are sealed under the cookie as well, so nothing here can read or revoke them: what an
operator ends is over at this gateway, and its refresh token stays good at the provider.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.edge.administration import (
    Everybody,
    OneProvider,
    OneSession,
    Selector,
    Some,
)
from gateway.ports import AuditEvent, AuditLog, AuditName, Caller, LookupId, Outcome
from gateway.session.ending import end_each
from gateway.session.indexes import Listed, opened
from gateway.session.manager import Sessions

_PAGE = 200  # keys the store looks at in one of its steps
_OPENED_AT_ONCE = 25  # sessions opened in one step of ours: some milliseconds for the largest


@dataclass(frozen=True, slots=True)
class Ended:
    """How many sessions were ended, and how many records were met that do not open."""

    ended: int
    unreadable: int = 0


class Administration:
    """What an operator may do with sessions."""

    def __init__(self, sessions: Sessions, audit: AuditLog) -> None:
        self._sessions = sessions
        self._audit = audit

    async def find(self, some: Some) -> list[Listed]:
        """Return the live sessions of a person, newest first, or the one of this id."""
        indexes = self._sessions.indexes
        if isinstance(some, OneSession):
            found = await indexes.of_session(some.session_id)
        else:
            found = await indexes.of_user(some.issuer, some.subject)
        return sorted(found, key=lambda listed: listed.facts.created_at, reverse=True)

    async def end(self, whose: Selector, caller: Caller) -> Ended:
        """End these sessions, wherever they are open. What is not there any more is not counted.

        Raises `Unavailable` when the store fails; what was ended until then stays ended.
        """
        if isinstance(whose, OneProvider | Everybody):
            return await self._end_throughout(whose, caller)
        return Ended(await self._end_each(await self.find(whose), caller))

    async def _end_throughout(self, whose: OneProvider | Everybody, caller: Caller) -> Ended:
        """Go through the store.

        A record that does not open may be of a key or a release that other replicas know: it may
        be somebody's session. Whoever ends one provider's leaves it alone, for it may be another's;
        whoever ends everybody's (a key has leaked, say) has to be able to rely on that.
        """
        ended = unreadable = 0
        async for page in self._sessions.store.scan(_PAGE):
            for start in range(0, len(page), _OPENED_AT_ONCE):
                readable, closed = await self._open(page[start : start + _OPENED_AT_ONCE])
                if isinstance(whose, OneProvider):
                    readable = [one for one in readable if one.facts.provider == whose.name]
                else:
                    await self._delete(closed, caller)
                ended += await self._end_each(readable, caller)
                unreadable += len(closed)
        return Ended(ended, unreadable)

    async def _open(self, lookups: Sequence[LookupId]) -> tuple[list[Listed], list[LookupId]]:
        records = await self._sessions.store.read_many(lookups)
        found = list(opened(self._sessions.ring, lookups, records))
        readable = [one for one in found if isinstance(one, Listed)]
        return readable, [one for one in found if not isinstance(one, Listed)]

    async def _end_each(self, listed: Sequence[Listed], caller: Caller) -> int:
        return await end_each(self._sessions, listed, by="admin", caller=caller)

    async def _delete(self, lookups: Sequence[LookupId], caller: Caller) -> None:
        for lookup in lookups:
            # Whose it is nobody can read, nor in which indexes it stands; those forget by time.
            if await self._sessions.store.end(lookup, ()):
                note = "a stored session that does not open"
                self._audit.record(
                    AuditEvent(
                        AuditName.SESSION_ENDED,
                        Outcome.SUCCESS,
                        by="admin",
                        caller=caller,
                        note=note,
                    )
                )
