"""One request, top to bottom. Read this file first.

Each line either narrows a value or raises, and the order is the security argument: the target is
parsed once; the same bytes are routed and forwarded; a cross-site request is refused before any
cookie is read; the session before the token; the token before the upstream.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode

from gateway.edge.cookies import read_cookie
from gateway.edge.csrf import Guard, refuse_cross_site
from gateway.edge.event_stream import UNBUFFERED, is_event_stream
from gateway.edge.forwarded import client_address
from gateway.edge.grpc import refuse_native_grpc
from gateway.edge.headers import page_fields
from gateway.edge.host import require_our_host
from gateway.edge.messages import Body, BrowserRequest, Fields, Reply
from gateway.edge.return_to import check_return_to
from gateway.edge.routes import (
    Endpoint,
    Route,
    RouteTable,
    ToUpstream,
    allow_field,
    allowed_methods,
    check_method,
)
from gateway.edge.target import Target, parse_target
from gateway.edge.trace import request_id
from gateway.edge.websocket import (
    asks_for_websocket,
    check_handshake,
    for_upstream,
    switching_fields,
)
from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.ports import (
    AuditEvent,
    AuditLog,
    AuditName,
    Caller,
    Outcome,
    Upstream,
    UpstreamAnswer,
)
from gateway.secret import AccessToken
from gateway.session.model import Session
from gateway.session.trail import about
from gateway.web.account import LOGIN_URL, Account
from gateway.web.asking import Asking
from gateway.web.endpoints import Endpoints
from gateway.web.event_stream import EventStreams
from gateway.web.incidents import Incidents
from gateway.web.passing_on import Passage, PassingOn, SessionRefused
from gateway.web.problems import LoginAgain, describe, wants_page
from gateway.web.replay import ReplayableBody
from gateway.web.site import Site
from gateway.web.static import StaticAnswer, StaticFiles
from gateway.web.websocket import Switching, WebSockets

_log = logging.getLogger("gateway.web")


class Pipeline:
    """Answers browsers' requests."""

    def __init__(  # noqa: PLR0913  the composition root hands over each part once
        self,
        *,
        site: Site,
        routes: RouteTable,
        passing_on: PassingOn,
        upstream: Upstream,
        endpoints: Endpoints,
        account: Account,
        static: StaticFiles,
        websockets: WebSockets,
        event_streams: EventStreams,
        audit: AuditLog,
        incidents: Incidents,
        fresh_id: Callable[[], str],
    ) -> None:
        self._site = site
        self._routes = routes
        self._passing_on = passing_on
        self._upstream = upstream
        self._endpoints = endpoints
        self._account = account
        self._static = static
        self._websockets = websockets
        self._event_streams = event_streams
        self._audit = audit
        self._incidents = incidents
        self._fresh_id = fresh_id
        self._page_fields = page_fields(secure=site.origin.is_secure)

    async def handle(
        self, request: BrowserRequest, body: Body | None, *, may_switch: bool = False
    ) -> Reply | StaticAnswer | Switching:
        """Answer a request, whatever happens to it short of a bug.

        `may_switch` says that its connection can leave HTTP, which takes HTTP/1.1.
        """
        caller = self.caller(request)
        try:
            return await self.answer(request, body, caller, may_switch=may_switch)
        except GatewayError as failure:
            if isinstance(failure, Refused):
                self._record_refusal(failure, caller)
            elif isinstance(failure, Unavailable):
                self._incidents.note(failure, caller)
            return await self._explain(failure, request, caller)

    def broken_off(self, failure: GatewayError, request: BrowserRequest, reply: Reply) -> None:
        """Note what became of an answer that had begun: nobody can be told by a status (F20)."""
        caller = self.caller(request)
        for name, value in reply.fields:
            if name == b"x-request-id":  # what was given to this request, here and at the API
                caller = replace(caller, request_id=value.decode("ascii"))
        if isinstance(failure, Refused):
            self._record_refusal(failure, caller)
        elif isinstance(failure, Unavailable):
            note = f"{failure.note or 'broken off'}, after the answer had begun"
            self._incidents.note(Unavailable(failure.code, note=note), caller)
        else:
            _log.info("answer ended: %s (request %s)", failure.code.value, caller.request_id)

    async def answer(
        self, request: BrowserRequest, body: Body | None, caller: Caller, *, may_switch: bool
    ) -> Reply | StaticAnswer | Switching:
        """Answer a request; raises `Refused` and `Unavailable`."""
        known: Passage | None = request.known.get(_PASSAGE)
        if known is not None:  # these very octets have come all the way down here before
            return await self.pass_on(known, body, caller)
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
                if not isinstance(route.to, ToUpstream):
                    return await self._static.answer(request, target, route, route.to)
                if may_switch and route.to.websocket and asks_for_websocket(request):
                    return await self.connect(request, target, route, caller)
                refuse_native_grpc(request)
                passage = self._passing_on.judge(request, target, route, Guard.COOKIE, caller)
                request.known[_PASSAGE] = passage
                return await self.pass_on(passage, body, caller)

    async def pass_on(self, passage: Passage, body: Body | None, caller: Caller) -> Reply:
        """Forward to an API, with the session's token where the route says so."""
        session = await self._passing_on.session(passage)
        bearer = await self._passing_on.bearer(session, passage, caller)
        answer = await self._send(session, bearer, passage, body, caller)
        reply = await self._passing_on.returned(answer, passage.route, caller)
        if isinstance(reply.body, bytes) or not is_event_stream(reply.fields):
            return reply
        with_token = bearer is not None
        stream = self._event_streams.watch(reply.body, reply.fields, session, with_token=with_token)
        return Reply(reply.status, (*reply.fields, UNBUFFERED), stream)

    async def _send(
        self,
        session: Session | None,
        bearer: AccessToken | None,
        passage: Passage,
        body: Body | None,
        caller: Caller,
    ) -> UpstreamAnswer:
        """Send, and once more with another token if this one is called invalid (H12)."""
        replayable = ReplayableBody(body) if body is not None and bearer is not None else None
        outgoing = passage.prepared.completed(bearer, caller.request_id)
        answer = await self._upstream.send(outgoing, replayable.first() if replayable else body)
        if answer.status != _UNAUTHORIZED or (replayable and not replayable.can_be_repeated()):
            return answer
        other = await self._passing_on.other_bearer(session, bearer, answer, passage, caller)
        if other is None:
            return answer
        outgoing = passage.prepared.completed(other, caller.request_id)
        return await self._upstream.send(outgoing, replayable.again() if replayable else None)

    async def connect(
        self,
        request: BrowserRequest,
        target: Target,
        route: Route,
        caller: Caller,
    ) -> Reply | Switching:
        """Open a WebSocket to an API, or pass on what it answers instead (P1 to P5)."""
        handshake = check_handshake(request)
        # On every route: who may speak for our origin is not only a matter of cookies (P1).
        refuse_cross_site(request, self._site.origin, Guard.WEBSOCKET)
        passage = self._passing_on.judge(request, target, route, Guard.WEBSOCKET, caller)
        session = await self._passing_on.session(passage)
        bearer = await self._passing_on.bearer(session, passage, caller)
        outgoing = passage.prepared.completed(bearer, caller.request_id)
        answer = await self._upstream.upgrade(for_upstream(outgoing, handshake))
        if isinstance(answer, UpstreamAnswer):
            other = await self._passing_on.other_bearer(session, bearer, answer, passage, caller)
            if other is not None:
                outgoing = passage.prepared.completed(other, caller.request_id)
                answer = await self._upstream.upgrade(for_upstream(outgoing, handshake))
        if isinstance(answer, UpstreamAnswer):
            return await self._passing_on.returned(answer, route, caller)
        try:
            fields = switching_fields(handshake, answer.fields)
            fields += self._passing_on.returning(101, answer.fields, route)
            fields += ((b"x-request-id", caller.request_id.encode("ascii")),)
        except GatewayError:
            answer.wire.abort()
            raise
        with_token = bearer is not None
        return self._websockets.switching(fields, answer.wire, session, with_token=with_token)

    def caller(self, request: BrowserRequest) -> Caller:
        """Say who is asking: address by the trusted proxies' word only (N1), id by L14."""
        known: tuple[str, str, str] | None = request.known_of_fields.get(_CLIENT)
        if known is None:
            agent = request.only(b"user-agent") or b""
            trusted = self._site.forwarded.trusts(request.peer)
            known = request.known_of_fields[_CLIENT] = (
                request_id(request, trusted, ""),
                client_address(request, self._site.forwarded),
                agent[:256].decode("ascii", "replace"),
            )
        given_id, address, user_agent = known
        return Caller(given_id or self._fresh_id(), address, user_agent)

    async def _explain(
        self, failure: GatewayError, request: BrowserRequest, caller: Caller
    ) -> Reply:
        login_url = LOGIN_URL if failure.code in _LOGIN_HELPS else None
        if isinstance(failure, LoginAgain):
            login_url = failure.login_url
        more: Fields = failure.fields if isinstance(failure, Refused) else ()
        is_late = isinstance(failure, SessionRefused) and failure.is_late
        if failure.code is Code.SESSION_ENDED and not is_late:
            cookie = read_cookie(request, self._site.cookies.session_name)
            more = (*more, *await self._account.forgetting(request, cookie))
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


_UNAUTHORIZED = 401
_PASSAGE, _CLIENT = "passage", "client"  # what is kept with a request
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
