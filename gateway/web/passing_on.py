"""The steps between a route and its upstream that every request takes, HTTP or WebSocket.

`Pipeline` says in which order; each step narrows a value or raises.
"""

from gateway.edge import rewrite
from gateway.edge.cookies import read_cookie
from gateway.edge.csrf import Guard, refuse_cross_site
from gateway.edge.messages import BrowserRequest, Fields, Reply, UpstreamRequest
from gateway.edge.routes import Access, Route, RouteTable, TokenKind, ToUpstream, check_scopes
from gateway.edge.target import Target
from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.ports import Caller, UpstreamAnswer
from gateway.secret import AccessToken
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session
from gateway.session.refresh import Refresher
from gateway.web.site import Site

_FINAL = range(200, 600)  # statuses a browser can be given as an answer


class SessionRefused(Refused):
    """A refusal after the session was opened: the audit log can say whose request it was."""

    def __init__(self, refusal: Refused, facts: Facts) -> None:
        super().__init__(refusal.code, refusal.detail, note=refusal.note)
        self.facts = facts


class PassingOn:
    """Session, token, and the fields on the way there and back."""

    def __init__(
        self, site: Site, routes: RouteTable, sessions: Sessions, refresher: Refresher
    ) -> None:
        self._site = site
        self._sessions = sessions
        self._refresher = refresher
        self._internal_hosts = rewrite.upstream_hosts(routes.routes)

    async def session(self, request: BrowserRequest, route: Route, guard: Guard) -> Session | None:
        """Return the request's session, as far as the route wants one.

        A cross-site request is refused before any cookie is read. Raises what
        `refuse_cross_site` and `Sessions.require` raise.
        """
        if route.access is Access.PUBLIC:
            return None
        refuse_cross_site(request, self._site.origin, guard)
        cookie = read_cookie(request, self._site.cookies.session_name)
        if route.access is Access.OPTIONAL:
            return await self._sessions.open(cookie, extend=True)
        return await self._sessions.require(cookie)

    async def bearer(
        self, session: Session | None, route: Route, to: ToUpstream, caller: Caller
    ) -> AccessToken | None:
        """Return the token for the upstream, with life left in it; None where none goes along.

        Raises SessionRefused for a session that lacks a scope or cannot be given a token any more,
        unless the route serves those without a session as well.
        """
        if session is None:
            return None
        try:
            check_scopes(to, session.tokens.scopes)
            if to.token is TokenKind.NONE:
                return None
            tokens = await self._refresher.tokens_for(session, caller)
            if tokens is not session.tokens:
                check_scopes(to, tokens.scopes)  # a refresh may have brought fewer
        except Refused as refusal:
            if route.access is Access.OPTIONAL:
                return None  # with a session or without, and so with a token or without
            raise SessionRefused(refusal, session.facts) from None
        return tokens.access_token

    def outgoing(
        self,
        request: BrowserRequest,
        target: Target,
        route: Route,
        bearer: AccessToken | None,
        caller: Caller,
    ) -> UpstreamRequest:
        """Return the request for the upstream; raises what `rewrite.outgoing` raises."""
        return rewrite.outgoing(
            request,
            target,
            route,
            address=caller.address,
            policy=self._site.forwarded,
            origin=self._site.origin,
            bearer=bearer,
            request_id=caller.request_id,
        )

    async def returned(self, answer: UpstreamAnswer, route: Route, caller: Caller) -> Reply:
        """Return the upstream's answer for the browser; Unavailable when it is none."""
        try:
            if not _FINAL.start <= answer.status < _FINAL.stop:
                raise Unavailable(Code.UPSTREAM_PROTOCOL, note="no final status")
            fields = self.returning(answer.status, answer.fields, route, caller)
        except GatewayError:
            if not isinstance(answer.body, bytes):
                await answer.body.aclose()  # or its connection would be lost to the pool
            raise
        return Reply(answer.status, fields, answer.body)

    def returning(self, status: int, fields: Fields, route: Route, caller: Caller) -> Fields:
        """Return what of an upstream's fields the browser may see, and the request's id."""
        passed = rewrite.returning(
            status,
            fields,
            route,
            self._site.origin,
            session_used=route.access is not Access.PUBLIC,
            internal_hosts=self._internal_hosts,
        )
        return (*passed, (b"x-request-id", caller.request_id.encode()))
