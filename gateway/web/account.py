"""`/bff/session`, `/bff/sessions` and `/bff/logout`: what people do with their sessions."""

from gateway.edge import cookies
from gateway.edge.cookies import read_cookie
from gateway.edge.headers import page_fields
from gateway.edge.messages import BrowserRequest, Field, Fields, Reply
from gateway.edge.return_to import check_return_to
from gateway.errors import Code, Refused, Unavailable
from gateway.session.indexes import Listed
from gateway.session.leftovers import Leftovers
from gateway.session.logout import Logout
from gateway.session.manager import Sessions
from gateway.session.model import Session
from gateway.session.refresh import Refresher
from gateway.web import pages
from gateway.web.asking import Asking, query_value
from gateway.web.problems import json_reply, wants_page
from gateway.web.site import BASE, Site

LOGIN_URL = f"{BASE}/login"


class Account:
    """The signed-in person's own view: who am I, where else am I, log me out."""

    def __init__(
        self,
        site: Site,
        sessions: Sessions,
        refresher: Refresher,
        logout: Logout,
        leftovers: Leftovers,
    ) -> None:
        self._site = site
        self._sessions = sessions
        self._refresher = refresher
        self._logout = logout
        self._leftovers = leftovers

    async def session(self, asking: Asking, _: str) -> Reply:
        """`GET /bff/session`: says who is logged in; never extends the session (A8)."""
        cookie = asking.session_cookie()
        session = await self._sessions.open(cookie, extend=False)
        if session is None:
            return self._json(_ANONYMOUS, *await self.forgetting(asking.request, cookie))
        facts = session.facts
        healthy = await self._refresher.is_healthy(session)
        now = self._sessions.clock.now()
        return self._json(
            {
                "authenticated": True,
                "user": {**facts.user, "sub": facts.subject},
                "provider": facts.provider,
                "session_id": facts.session_id,
                "expires_in": int(facts.absolute_deadline - now),
                "idle_expires_in": int(facts.idle_deadline - now),
                "tokens": "healthy" if healthy else "degraded",
                "login_url": LOGIN_URL,
            }
        )

    async def sessions(self, asking: Asking, _: str) -> Reply:
        """`GET /bff/sessions`: the person's live sessions, newest first."""
        current = await self._current(asking)
        facts = current.facts
        listed = await self._sessions.indexes.of_user(facts.issuer, facts.subject)
        listed.sort(key=lambda one: one.facts.created_at, reverse=True)
        return self._json({"sessions": [self._describe(one, current) for one in listed]})

    def _describe(self, listed: Listed, current: Session) -> dict[str, object]:
        facts = listed.facts
        now = self._sessions.clock.now()
        return {
            "session_id": facts.session_id,
            "current": listed.lookup == current.lookup,
            "provider": facts.provider,
            "created_at": int(facts.created_at),
            "last_seen": int(facts.last_seen),
            "expires_in": int(facts.absolute_deadline - now),
            "idle_expires_in": int(facts.idle_deadline - now),
            "address": facts.address,
            "user_agent": facts.user_agent,
        }

    async def end_one(self, asking: Asking, session_id: str) -> Reply:
        """`DELETE /bff/sessions/{session_id}`: end one of the person's own sessions."""
        current = await self._current(asking)
        if not await self._logout.another(current, session_id, asking.caller):
            raise Refused(Code.SESSION_NOT_FOUND)
        mine = session_id == current.facts.session_id
        expired = (cookies.expired_session_cookie(self._site.cookies),) if mine else ()
        return Reply(204, (*self._page_fields(), *expired))

    async def end_others(self, asking: Asking, _: str) -> Reply:
        """`DELETE /bff/sessions`: end all of the person's sessions but this one."""
        current = await self._current(asking)
        return self._json({"ended": await self._logout.all_others(current, asking.caller)})

    async def logout(self, asking: Asking, _: str) -> Reply:
        """`POST /bff/logout`: end the session, then say where to go; harmless when repeated."""
        wanted = query_value(asking.target, "return_to") or "/"
        return_to = str(check_return_to(wanted, self._site.origin))
        cookie = asking.session_cookie()
        browser = self._browser(asking.request) or ""
        session = await self._sessions.open(cookie, extend=False)
        if session is not None:
            return_to = await self._logout.user(session, browser, return_to, asking.caller)
        elif cookie:
            await self._logout.unread(cookie, browser, asking.caller)
            await self._leftovers.revoke(cookie)  # of a logout that was answered 503
        policy = self._site.cookies
        gone: Fields = (
            cookies.expired_session_cookie(policy),
            cookies.expired_login_cookie(policy),
            (b"clear-site-data", b'"cache", "storage"'),  # D13; cookies only by the two above
        )
        if wants_page(asking.request):
            location = (b"location", return_to.encode())
            return Reply(303, (location, *self._page_fields(), *gone))
        return self._json({"redirect_to": return_to}, *gone)

    async def logged_out(self, asking: Asking, _: str) -> Reply:
        """`GET /bff/logged-out`: back from the provider; a state of ours says where to (J3).

        A hop page, as after a login: a redirect would go on as the cross-site navigation it is,
        and the way into an app behind a session's route would end on a refusal (B5).
        """
        state = query_value(asking.target, "state")
        return_to = self._logout.returned(state) if state else None
        checked = check_return_to(return_to or "/", self._site.origin)
        fields: Fields = ((b"content-type", pages.HTML), *self._page_fields())
        return Reply(200, fields, pages.hop(str(checked)))

    async def forgetting(self, request: BrowserRequest, cookie: str | None) -> Fields:
        """Return the field that drops a dead cookie, if dropping it can do no harm.

        It is also what opens the tokens of a session that ended without it (see `leftovers`).
        """
        if not cookie:
            return ()
        await self._leftovers.revoke(cookie)
        if await self._leftovers.may_forget(cookie, self._browser(request)):
            return (cookies.expired_session_cookie(self._site.cookies),)
        return ()

    async def would_loop(self, request: BrowserRequest) -> bool:
        """Whether sending this page load to log in would bring it right back (B5, E19).

        A browser that has just logged in and still lacks what the page needs (it drops the
        cookie, or the token it got is dead on arrival) would log in for ever. A page load from
        another site is excepted: it never carries the Strict cookie.
        """
        if request.only(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            return False
        browser = self._browser(request)
        if browser is None:
            return False
        try:
            return await self._sessions.browsers.has_just_logged_in(browser)
        except Unavailable:
            return False

    def _browser(self, request: BrowserRequest) -> str | None:
        """Return the tag of the browser, by its login cookie; None without one, or with several.

        Which of several is ours nobody can say. That must not keep anybody from logging out.
        """
        ring = self._sessions.ring
        try:
            binding = ring.read_binding(read_cookie(request, self._site.cookies.login_name))
        except Refused:
            return None
        return None if binding is None else ring.browser_tag(binding)

    async def _current(self, asking: Asking) -> Session:
        cookie = asking.session_cookie()
        session = await self._sessions.open(cookie, extend=False)
        if session is None:
            raise Refused(Code.SESSION_ENDED if cookie else Code.SESSION_REQUIRED)
        return session

    def _json(self, members: dict[str, object], *more: Field) -> Reply:
        return json_reply(200, members, *more, secure=self._site.origin.is_secure)

    def _page_fields(self) -> Fields:
        return page_fields(secure=self._site.origin.is_secure)


_ANONYMOUS: dict[str, object] = {
    "authenticated": False,
    "user": None,
    "provider": None,
    "session_id": None,
    "expires_in": None,
    "idle_expires_in": None,
    "tokens": None,
    "login_url": LOGIN_URL,
}
