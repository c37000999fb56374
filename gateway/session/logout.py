"""Logging out: the session dies first, then the provider is told.

Nothing that happens at the provider, or does not, can keep a session alive (J1): revocation runs
on its own task and the person waits for it only a moment (H16). Nor does it help to leave: a logout
that has begun goes on without its browser.
"""

import asyncio
import json
from collections.abc import Mapping

from gateway.errors import GatewayError, Unavailable
from gateway.oidc import end_session
from gateway.ports import Caller
from gateway.session import codec
from gateway.session.attempts import CLOCK_SKEW
from gateway.session.manager import Sessions
from gateway.session.model import Session
from gateway.session.provider import Provider, provider_of
from gateway.session.revocation import Revocations
from gateway.session.sealing import CannotOpen

_KEPT_FOR = 60.0  # seconds the ended record is there for its last token to be read
_PATIENCE = 1.0  # seconds a person waits for the provider, once the session has ended
_LASTS = 2.0  # seconds logouts under way have when the gateway stops
_RETURN_WITHIN = 3600.0  # seconds between leaving for the provider and coming back


class Logout:
    """Ends sessions at their user's wish."""

    def __init__(
        self, providers: Mapping[str, Provider], sessions: Sessions, revocations: Revocations
    ) -> None:
        self._providers = providers
        self._sessions = sessions
        self._revocations = revocations
        self._running: set[asyncio.Task[str]] = set()

    async def user(self, session: Session, browser: str, return_to: str, caller: Caller) -> str:
        """End this session, revoke its refresh token, and return where the browser should go.

        That is the provider's end-session URL when it has one, else `return_to`. `browser` is the
        tag of the login cookie, which the answer drops; empty without one.
        """
        # On a task of its own: a browser that leaves must not leave a living token behind.
        task = asyncio.create_task(self._leave(session, browser, return_to, caller))
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    async def _leave(self, session: Session, browser: str, return_to: str, caller: Caller) -> str:
        await self._sessions.departures.put(browser, session.facts.browser)
        try:
            await self._sessions.end(
                session.lookup, session.facts, by="user", caller=caller, keep=_KEPT_FOR
            )
            session = await self._as_it_ended(session)
        finally:
            # Also when the store did not answer: it may have ended the session all the same, and
            # then nobody could come back for the token. Its owner wants it dead either way.
            deadline = asyncio.get_running_loop().time() + _PATIENCE
            attempt = await self._give_back(session, caller)
        # Another tab may have logged in at the same moment and left a session beside this one.
        await self._sessions.end_browser(session.facts.browser, caller)
        url = await self._end_session_url(session, return_to, deadline)
        if attempt is not None:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({attempt}, timeout=max(0.0, left))
        return url or return_to

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

    def _finished(self, task: asyncio.Task[str]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, even when the browser has left

    async def another(self, current: Session, session_id: str, caller: Caller) -> bool:
        """End one of this user's sessions by its public id; False when there is none such."""
        facts = current.facts
        for listed in await self._sessions.indexes.of_user(facts.issuer, facts.subject):
            if listed.facts.session_id == session_id:
                ended = await self._sessions.end(
                    listed.lookup, listed.facts, by="other_session", caller=caller
                )
                if listed.lookup == current.lookup:  # the only tokens that can be opened here
                    await self._give_back(current, caller)
                return ended
        return False

    async def all_others(self, current: Session, caller: Caller) -> int:
        """End all of this user's sessions but the current one; returns how many."""
        ended = 0
        for listed in await self._sessions.indexes.of_user(
            current.facts.issuer, current.facts.subject
        ):
            if listed.lookup != current.lookup:
                ended += await self._sessions.end(
                    listed.lookup, listed.facts, by="other_session", caller=caller
                )
        return ended

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

    async def aclose(self) -> None:
        """Wait a little for logouts under way."""
        if self._running:
            await asyncio.wait(self._running, timeout=_LASTS)

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
