"""The steps between a route and its upstream that every request takes, HTTP or WebSocket.

`Pipeline` says in which order; each step narrows a value or raises.
"""

from dataclasses import dataclass, field
from typing import Any

from gateway.edge import outgoing, rewrite
from gateway.edge.challenge import rejects_token
from gateway.edge.cookies import read_cookie
from gateway.edge.csrf import Guard, refuse_cross_site
from gateway.edge.messages import BrowserRequest, Fields, Reply
from gateway.edge.outgoing import Prepared, PreparedFields
from gateway.edge.routes import Access, Route, RouteTable, TokenKind, check_scopes
from gateway.edge.target import Target
from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.ports import Caller, UpstreamAnswer
from gateway.secret import AccessToken
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session
from gateway.session.refresh import Refresher
from gateway.web.site import Site

_FINAL = range(200, 600)  # statuses a browser can be given as an answer
_MOST_KNOWN = 8  # facts about the same octets, a few kilobytes each


class SessionRefused(Refused):
    """A refusal after the session was opened: the audit log can say whose request it was.

    `is_late` when the session ended while an API was asked: the browser sent its cookie any time
    ago, and which one it has by now nobody knows.
    """

    def __init__(self, refusal: Refused, facts: Facts, *, is_late: bool = False) -> None:
        super().__init__(refusal.code, refusal.detail, note=refusal.note)
        self.facts = facts
        self.is_late = is_late


@dataclass(frozen=True, slots=True)
class _Entry:
    """What of a passage follows without the request's target."""

    cookie: str | None = field(repr=False)
    fields: PreparedFields


@dataclass(frozen=True, slots=True)
class Passage:
    """What is known of a request before its session is: pure, and the same for the same octets."""

    route: Route
    cookie: str | None = field(repr=False)
    prepared: Prepared


class PassingOn:
    """Session, token, and the fields on the way there and back."""

    def __init__(
        self, site: Site, routes: RouteTable, sessions: Sessions, refresher: Refresher
    ) -> None:
        self._site = site
        self._sessions = sessions
        self._refresher = refresher
        self._internal_hosts = rewrite.upstream_hosts(routes.routes)

    def judge(
        self, request: BrowserRequest, target: Target, route: Route, guard: Guard, caller: Caller
    ) -> Passage:
        """Return what follows from the request and the configuration alone.

        A cross-site request is refused before any cookie is read. Raises what `refuse_tokens`,
        `refuse_cross_site`, `read_cookie`, `prepare_fields` and `upstream_target` raise.
        """
        outgoing.refuse_tokens(target)
        entry: _Entry | None = request.known_of_fields.get((route.path, guard))
        if entry is None:
            entry = self._enter(request, route, guard, caller)
            _remember(request.known_of_fields, (route.path, guard), entry)
        prepared = entry.fields.to(outgoing.upstream_target(route, target))
        return Passage(route, entry.cookie, prepared)

    def _enter(self, request: BrowserRequest, route: Route, guard: Guard, caller: Caller) -> _Entry:
        cookie = None
        if route.access is not Access.PUBLIC:
            refuse_cross_site(request, self._site.origin, guard)
            cookie = read_cookie(request, self._site.cookies.session_name)
        fields = outgoing.prepare_fields(
            request,
            route,
            address=caller.address,
            policy=self._site.forwarded,
            origin=self._site.origin,
        )
        return _Entry(cookie, fields)

    async def session(self, passage: Passage) -> Session | None:
        """Return the request's session, as far as the route wants one.

        Raises what `Sessions.require` raises.
        """
        match passage.route.access:
            case Access.PUBLIC:
                return None
            case Access.OPTIONAL:
                return await self._sessions.open(passage.cookie, extend=True)
            case Access.SESSION:
                return await self._sessions.require(passage.cookie)

    async def bearer(
        self, session: Session | None, passage: Passage, caller: Caller
    ) -> AccessToken | None:
        """Return the token for the upstream, with life left in it; None where none goes along.

        Raises SessionRefused: SCOPE_INSUFFICIENT, and what `Refresher.tokens_for` refuses.
        """
        if session is None:
            return None
        to = passage.prepared.fields.leads_to
        try:
            check_scopes(to, session.tokens.scopes)
            if to.token is TokenKind.NONE:
                return None
            tokens = await self._refresher.tokens_for(session, caller)
            if tokens is not session.tokens:
                check_scopes(to, tokens.scopes)  # a refresh may have brought fewer
        except Refused as refusal:
            if passage.route.access is Access.OPTIONAL:
                return None  # with a session or without, and so with a token or without
            raise SessionRefused(refusal, session.facts) from None
        return tokens.access_token

    async def other_bearer(
        self,
        session: Session | None,
        rejected: AccessToken | None,
        answer: UpstreamAnswer,
        passage: Passage,
        caller: Caller,
    ) -> AccessToken | None:
        """Return another token when the upstream calls this one invalid; None to pass that on.

        The answer is given up if there is one. Raises SessionRefused when the provider ends the
        session, or grants less than the route asks for.
        """
        if session is None or rejected is None or not rejects_token(answer.status, answer.fields):
            return None
        is_late = True
        try:
            is_late = await self._sessions.is_gone(session.lookup)
            tokens = await self._refresher.another(session, rejected, caller)
            check_scopes(passage.prepared.fields.leads_to, tokens.scopes)
        except Unavailable:
            return None
        except Refused as refusal:
            if refusal.code is Code.TOKEN_EXPIRED:
                return None  # there is nothing to get another one with
            await _give_up(answer)
            raise SessionRefused(refusal, session.facts, is_late=is_late) from None
        except BaseException:  # the browser has left, and nobody will read it
            await _give_up(answer)
            raise
        await _give_up(answer)
        return tokens.access_token

    async def returned(self, answer: UpstreamAnswer, route: Route, caller: Caller) -> Reply:
        """Return the upstream's answer for the browser; Unavailable when it is none."""
        try:
            if not _FINAL.start <= answer.status < _FINAL.stop:
                raise Unavailable(Code.UPSTREAM_PROTOCOL, note="no final status")
            known: tuple[Fields, bytes | None] | None = answer.known.get(route.path)
            if known is None:
                passed = self.returning(answer.status, answer.fields, route)
                known = passed, _complete_lines(passed)
                _remember(answer.known, route.path, known)
        except GatewayError:
            await _give_up(answer)
            raise
        fields, lines = known
        number = caller.request_id.encode("ascii")
        if lines is not None:
            lines = b"%bx-request-id: %b\r\n" % (lines, number)
        return Reply(answer.status, (*fields, (b"x-request-id", number)), answer.body, lines)

    def returning(self, status: int, fields: Fields, route: Route) -> Fields:
        """Return what of an upstream's fields the browser may see."""
        return rewrite.returning(
            status,
            fields,
            route,
            self._site.origin,
            session_used=route.access is not Access.PUBLIC,
            internal_hosts=self._internal_hosts,
        )


async def _give_up(answer: UpstreamAnswer) -> None:
    """End an answer that nobody will read, or its connection would be lost to the pool."""
    if not isinstance(answer.body, bytes):
        await answer.body.aclose()


def _remember(known: dict[Any, Any], key: object, value: object) -> None:
    """Add to what is known, which strangers make us keep: of a few routes, not of all there are."""
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[key] = value


def _complete_lines(fields: Fields) -> bytes | None:
    """Return the fields as lines, if the server has nothing to add to them."""
    names = [name for name, _ in fields]
    if names.count(b"date") > 1 or names.count(b"content-length") != 1:
        return None
    return outgoing.lines_of(fields)
