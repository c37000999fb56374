"""One request, top to bottom. Read this file first.

Each line either narrows a value or raises, and the order is the security argument: the target is
parsed once; the same bytes are routed and forwarded; a cross-site request is refused before any
cookie is read; the session before the token; the token before the upstream.
"""

from collections.abc import Callable
from urllib.parse import urlencode

from gateway.edge import rewrite
from gateway.edge.cookies import read_cookie
from gateway.edge.csrf import Guard, refuse_cross_site
from gateway.edge.forwarded import client_address
from gateway.edge.headers import page_fields
from gateway.edge.host import require_our_host
from gateway.edge.messages import Body, BrowserRequest, Fields, Reply
from gateway.edge.return_to import check_return_to
from gateway.edge.routes import (
    Access,
    Endpoint,
    Route,
    RouteTable,
    TokenKind,
    ToUpstream,
    allow_field,
    allowed_methods,
    check_method,
    check_scopes,
)
from gateway.edge.target import Target, parse_target
from gateway.edge.trace import request_id
from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.ports import AuditEvent, AuditLog, AuditName, Caller, Outcome, Upstream
from gateway.secret import AccessToken
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session
from gateway.session.refresh import Refresher
from gateway.session.trail import about
from gateway.web.account import LOGIN_URL, Account
from gateway.web.asking import Asking
from gateway.web.endpoints import Endpoints
from gateway.web.incidents import Incidents
from gateway.web.problems import LoginAgain, describe, wants_page
from gateway.web.site import Site
from gateway.web.static import StaticAnswer, StaticFiles


class Pipeline:
    """Answers browsers' requests."""

    def __init__(  # noqa: PLR0913  the composition root hands over each part once
        self,
        *,
        site: Site,
        routes: RouteTable,
        sessions: Sessions,
        refresher: Refresher,
        upstream: Upstream,
        endpoints: Endpoints,
        account: Account,
        static: StaticFiles,
        audit: AuditLog,
        incidents: Incidents,
        fresh_id: Callable[[], str],
    ) -> None:
        self._site = site
        self._routes = routes
        self._sessions = sessions
        self._refresher = refresher
        self._upstream = upstream
        self._endpoints = endpoints
        self._account = account
        self._static = static
        self._audit = audit
        self._incidents = incidents
        self._fresh_id = fresh_id
        self._internal_hosts = rewrite.upstream_hosts(routes.routes)
        self._page_fields = page_fields(secure=site.origin.is_secure)

    async def handle(self, request: BrowserRequest, body: Body | None) -> Reply | StaticAnswer:
        """Answer a request, whatever happens to it short of a bug."""
        caller = self.caller(request)
        try:
            return await self.answer(request, body, caller)
        except GatewayError as failure:
            if isinstance(failure, Refused):
                self._record_refusal(failure, caller)
            elif isinstance(failure, Unavailable):
                self._incidents.note(failure, caller)
            return await self._explain(failure, request, caller)

    async def answer(
        self, request: BrowserRequest, body: Body | None, caller: Caller
    ) -> Reply | StaticAnswer:
        """Answer a request; raises `Refused` and `Unavailable`."""
        require_our_host(request, self._site.origin, self._site.accepted_hosts)
        if request.raw_target == b"*" and request.method == "OPTIONS":
            return Reply(204, self._page_fields)  # about the server as a whole (K1, L6)
        target = parse_target(request.raw_target, authority_expected=self._site.authority)
        match self._routes.match(target):
            case Endpoint(name=name):
                asking = Asking(request, target, body, caller, self._site)
                return await self._endpoints.dispatch(name, asking)
            case Route() as route:
                if request.method == "OPTIONS":
                    # Never passed on (L6), never a CORS permission (C9): there is one origin.
                    allow = allow_field(allowed_methods(route))
                    return Reply(204, (allow, *self._page_fields))
                check_method(route, request.method)
                if isinstance(route.to, ToUpstream):
                    return await self.pass_on(request, target, route, route.to, body, caller)
                return await self._static.answer(request, target, route, route.to)

    async def pass_on(
        self,
        request: BrowserRequest,
        target: Target,
        route: Route,
        to: ToUpstream,
        body: Body | None,
        caller: Caller,
    ) -> Reply:
        """Forward to an API, with the session's token where the route says so."""
        rewrite.refuse_tokens(request, target)
        session = await self._session(request, route)
        bearer = await self._bearer(session, route, to, caller)
        outgoing = rewrite.outgoing(
            request,
            target,
            route,
            address=caller.address,
            policy=self._site.forwarded,
            origin=self._site.origin,
            bearer=bearer,
            request_id=caller.request_id,
        )
        answer = await self._upstream.send(outgoing, body)
        try:
            if not _FINAL.start <= answer.status < _FINAL.stop:
                raise Unavailable(Code.UPSTREAM_PROTOCOL, note="no final status")
            fields = rewrite.returning(
                answer.status,
                answer.fields,
                route,
                self._site.origin,
                session_used=route.access is not Access.PUBLIC,
                internal_hosts=self._internal_hosts,
            )
        except GatewayError:
            if not isinstance(answer.body, bytes):
                await answer.body.aclose()  # or its connection would be lost to the pool
            raise
        mine = (b"x-request-id", caller.request_id.encode())
        return Reply(answer.status, (*fields, mine), answer.body)

    async def _session(self, request: BrowserRequest, route: Route) -> Session | None:
        if route.access is Access.PUBLIC:
            return None
        refuse_cross_site(request, self._site.origin, Guard.COOKIE)
        cookie = read_cookie(request, self._site.cookies.session_name)
        if route.access is Access.OPTIONAL:
            return await self._sessions.open(cookie, extend=True)
        return await self._sessions.require(cookie)

    async def _bearer(
        self, session: Session | None, route: Route, to: ToUpstream, caller: Caller
    ) -> AccessToken | None:
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

    def caller(self, request: BrowserRequest) -> Caller:
        """Say who is asking: address by the trusted proxies' word only (N1), id by L14."""
        agent = request.only(b"user-agent") or b""
        trusted = self._site.forwarded.trusts(request.peer)
        return Caller(
            request_id=request_id(request, trusted, self._fresh_id()),
            address=client_address(request, self._site.forwarded),
            user_agent=agent[:256].decode("ascii", "replace"),
        )

    async def _explain(
        self, failure: GatewayError, request: BrowserRequest, caller: Caller
    ) -> Reply:
        login_url = LOGIN_URL if failure.code in _LOGIN_HELPS else None
        if isinstance(failure, LoginAgain):
            login_url = failure.login_url
        more: Fields = failure.fields if isinstance(failure, Refused) else ()
        if failure.code is Code.SESSION_ENDED:
            cookie = read_cookie(request, self._site.cookies.session_name)
            more = (*more, *await self._account.forgetting(cookie))
        at_once = login_url and failure.code in _LOGIN_AT_ONCE and self._is_page_load(request)
        if at_once and not await self._account.would_loop(request):
            location = (b"location", self._login_and_back(request).encode())
            return Reply(303, (location, *self._page_fields, *more))
        return describe(
            failure,
            request,
            request_id=caller.request_id,
            secure=self._site.origin.is_secure,
            login_url=login_url,
            more=more,
        )

    def _login_and_back(self, request: BrowserRequest) -> str:
        """Return where a login for this page begins; what no login may return to is left out."""
        wanted = request.raw_target.decode("ascii", "replace")
        try:
            check_return_to(wanted, self._site.origin)
        except Refused:
            return LOGIN_URL
        return f"{LOGIN_URL}?{urlencode({'return_to': wanted})}"

    @staticmethod
    def _is_page_load(request: BrowserRequest) -> bool:
        """Only a person opening a page is sent to log in; a fetch is told, never moved (A10)."""
        return request.method == "GET" and wants_page(request)

    def _record_refusal(self, refusal: Refused, caller: Caller) -> None:
        name, outcome = AuditName.REQUEST_REFUSED, Outcome.REFUSED
        code, note = refusal.code, refusal.note
        if isinstance(refusal, SessionRefused):
            event = about(refusal.facts, name, outcome, caller, code=code, note=note)
        else:
            event = AuditEvent(name, outcome, code, caller=caller, note=note)
        self._audit.record(event)


class SessionRefused(Refused):
    """A refusal after the session was opened: the audit log can say whose request it was."""

    def __init__(self, refusal: Refused, facts: Facts) -> None:
        super().__init__(refusal.code, refusal.detail, note=refusal.note)
        self.facts = facts


_FINAL = range(200, 600)  # statuses a browser can be given as an answer
_LOGIN_AT_ONCE = frozenset({Code.SESSION_REQUIRED, Code.SESSION_ENDED, Code.TOKEN_EXPIRED})
_LOGIN_HELPS = _LOGIN_AT_ONCE | {
    Code.SESSION_AMBIGUOUS,
    Code.STATE_UNKNOWN,
    Code.STATE_EXPIRED,
    Code.STATE_REPLAYED,
    Code.PROVIDER_ERROR,
    Code.PROVIDER_UNAVAILABLE,
    Code.CALLBACK_MALFORMED,
}
