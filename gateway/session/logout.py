"""Logging out: the session dies first, then the provider is told.

Nothing that happens at the provider, or does not, can keep a session alive (J1): revocation runs
on its own task and the person waits for it only a moment (H16). Nor does it help to leave: a logout
that has begun goes on without its browser.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping

from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.oidc import end_session
from gateway.ports import Caller, LookupId
from gateway.session import codec
from gateway.session.attempts import CLOCK_SKEW
from gateway.session.departures import KEPT_FOR
from gateway.session.indexes import Listed
from gateway.session.manager import Sessions
from gateway.session.model import Session
from gateway.session.own_tasks import OwnTasks
from gateway.session.provider import Provider, provider_of
from gateway.session.revocation import Revocations
from gateway.session.sealing import CannotOpen

_KEPT_FOR = 600.0  # seconds the ended record is there for its last token to be read
_PATIENCE = 1.0  # seconds a person waits for the provider, once the session has ended
_RETURN_WITHIN = 3600.0  # seconds between leaving for the provider and coming back


class Logout:
    """Ends sessions at their user's wish."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        sessions: Sessions,
        revocations: Revocations,
        own_tasks: OwnTasks,
    ) -> None:
        """A browser that leaves must not leave half of a logout undone: hence `own_tasks`."""
        self._providers = providers
        self._sessions = sessions
        self._revocations = revocations
        self._own_tasks = own_tasks

    async def user(self, session: Session, browser: str, return_to: str, caller: Caller) -> str:
        """End this session, revoke its refresh token, and return where the browser should go.

        That is the provider's end-session URL when it has one, else `return_to`. `browser` is the
        tag of the login cookie, which the answer drops; empty without one.
        """
        return await self._own_tasks.run(self._leave(session, browser, return_to, caller))

    async def unread(self, cookie: str, browser: str, caller: Caller) -> bool:
        """End the session of a cookie that opens nothing here; True when there was one.

        Its record may be of a newer release, under a key that others know, or of a provider that
        others have: they would go on serving it (F33). Nobody here can read its tokens.
        """
        return await self._own_tasks.run(self._leave_unread(cookie, browser, caller))

    async def _leave(self, session: Session, browser: str, return_to: str, caller: Caller) -> str:
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        _, session, attempt = await self._end_own(session, "user", caller)
        # Another tab may have logged in at the same moment and left a session beside this one. And
        # a login under way carries the tag of the login cookie, which the browser may have lost.
        await self._leave_browsers({browser, session.facts.browser} - {""}, caller)
        url = await self._end_session_url(session, return_to, deadline)
        if attempt is not None:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({attempt}, timeout=max(0.0, left))
        return url or return_to

    async def _leave_unread(self, cookie: str, browser: str, caller: Caller) -> bool:
        handle = self._sessions.ring.read_handle(cookie)
        if handle is None:
            return False
        ended = await self._sessions.end_unread(cookie, by="user", caller=caller)
        if browser:
            # Also when it had ended: by a logout that was answered 503, and comes again, or by a
            # later login, whose cookie goes with this answer.
            await self._leave_browsers({browser}, caller, self._sessions.ring.lookup(handle))
        return ended

    async def _leave_browsers(
        self, browsers: set[str], caller: Caller, lookup: LookupId | None = None
    ) -> None:
        """End what these browsers (tags of one) have, and are about to have.

        The mark for logins under way is left before they are looked for among the sessions. A store
        that is full takes none: the sessions end all the same, and one can log out of what such a
        login makes. For a cookie that may be dead, of this `lookup`, there is one mark and no more:
        a login cookie can be made up, and nobody shall fill the store with them.
        """
        once = f"left:{lookup}"
        with contextlib.suppress(Unavailable):
            if lookup is None or not await self._sessions.store.claimed(once):
                await self._sessions.departures.put(*browsers)
            if lookup is not None:
                await self._sessions.store.claim(once, ttl=KEPT_FOR)
        for browser in browsers:
            await self._sessions.browsers.logged_out(browser, caller)

    async def _end_own(
        self, session: Session, by: str, caller: Caller
    ) -> tuple[bool, Session, asyncio.Task[None] | None]:
        """End a session by its cookie and give its refresh token back.

        Returns whether it was still there, how it ended, and the first attempt to revoke.
        """
        lookup = session.lookup
        try:
            ended = await self._sessions.end(
                lookup, session.facts, by=by, caller=caller, keep=_KEPT_FOR
            )
        except Unavailable:
            # It may have ended all the same. If it lives, it keeps its tokens; if nobody can
            # say, what is kept of it gives them back when this browser next comes (`leftovers`).
            if await self._is_gone_for_sure(lookup):
                await self._give_back(await self._as_it_ended(session), caller)
            raise
        session = await self._as_it_ended(session)
        return ended, session, await self._give_back(session, caller)

    async def _is_gone_for_sure(self, lookup: LookupId) -> bool:
        try:
            return await self._sessions.is_gone(lookup)
        except Unavailable:
            return False

    async def _as_it_ended(self, session: Session) -> Session:
        """Return the session as the store had it: a refresh may have been quicker than we were."""
        try:
            record = await self._sessions.store.take(session.lookup)
            if record is None:
                return session
            return codec.open_session(self._sessions.ring, session.handle, session.lookup, record)
        except (CannotOpen, Unavailable):
            return session

    async def _give_back(self, session: Session, caller: Caller) -> asyncio.Task[None] | None:
        token = session.tokens.refresh_token
        return await self._revocations.give_back(session.facts, token, caller)

    async def another(self, current: Session, session_id: str, caller: Caller) -> bool:
        """End one of this user's sessions by its public id; False when there is none such."""
        return await self._own_tasks.run(self._end_another(current, session_id, caller))

    async def _end_another(self, current: Session, session_id: str, caller: Caller) -> bool:
        by = "other_session"
        for listed in await self._of_user(current):
            if listed.facts.session_id != session_id:
                continue
            if listed.lookup == current.lookup:  # the only tokens that can be opened here
                ended, _, _ = await self._end_own(current, by, caller)
                return ended
            return await self._sessions.end(listed.lookup, listed.facts, by=by, caller=caller)
        return False

    async def all_others(self, current: Session, caller: Caller) -> int:
        """End all of this user's sessions but the current one; returns how many.

        Raises `Refused(SESSION_ENDED)` when the current one is not among them any more: if its
        browser has logged in again meanwhile, the newest session would be one of the others.
        """
        return await self._own_tasks.run(self._end_all_others(current, caller))

    async def _end_all_others(self, current: Session, caller: Caller) -> int:
        ended = 0
        found = await self._of_user(current)
        if all(listed.lookup != current.lookup for listed in found):
            raise Refused(Code.SESSION_ENDED)
        for listed in found:
            if listed.lookup != current.lookup:
                ended += await self._sessions.end(
                    listed.lookup, listed.facts, by="other_session", caller=caller
                )
        return ended

    async def _of_user(self, current: Session) -> list[Listed]:
        facts = current.facts
        return await self._sessions.indexes.of_user(facts.issuer, facts.subject)

    def returned(self, state: str) -> str | None:
        """Return the path a logout was to end at, when `state` is one we made lately (J3)."""
        try:
            _, plain = self._sessions.ring.open_envelope("logout", state)
        except CannotOpen:
            return None
        try:
            return_to, issued_at = json.loads(plain)
        except ValueError:  # of a newer release
            return None
        age = self._sessions.clock.now() - issued_at
        return str(return_to) if -CLOCK_SKEW <= age <= _RETURN_WITHIN else None

    async def _end_session_url(
        self, session: Session, return_to: str, deadline: float
    ) -> str | None:
        provider = provider_of(self._providers, session.facts)
        if provider is None:
            return None
        try:
            async with asyncio.timeout_at(deadline):
                published = await provider.metadata()
        except (GatewayError, TimeoutError):
            return None  # the provider is down: the local logout stands
        plain = json.dumps([return_to, self._sessions.clock.now()]).encode()
        return end_session.end_session_url(
            published,
            provider.client,
            id_token=session.tokens.id_token,
            state=self._sessions.ring.seal_envelope("logout", plain),
        )
