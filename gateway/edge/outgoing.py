"""From the public side to an upstream's (K4, K5, K9, H14; sections L and N).

Paths are cut and joined as octets; no URL is ever built from text and parsed again.
"""

import re
from dataclasses import dataclass, field

from gateway.edge.forwarded import ForwardedPolicy, forwarded_fields
from gateway.edge.headers import content_length, request_fields
from gateway.edge.host import PublicOrigin
from gateway.edge.messages import BrowserRequest, Field, Fields, UpstreamRequest
from gateway.edge.routes import Route, TokenKind, ToUpstream, upstream_of
from gateway.edge.target import Target
from gateway.errors import Code, Refused, Unavailable
from gateway.secret import AccessToken

PSEUDONYM = b"gateway"
"""Our name in Via: no host name, nothing internal (RFC 9110 section 7.6.3)."""

MAX_PASSES = 3
"""How often one request may already have come through a gateway (K9)."""


def _spelled(word: bytes) -> bytes:
    """Return an expression for a word of small letters, each as it is or percent-encoded."""
    # In ASCII a letter and its capital differ in the first of their two digits.
    return b"".join(
        b"(?:%c|%%[%d%d]%x)" % (letter, letter >> 4, (letter >> 4) - 2, letter & 15)
        for letter in word
    )


# `access_token` in the spellings that upstream frameworks fold to it: PHP folds dots, spaces and a
# bracket that is not closed. Over the raw query, in one go: to split and decode sixteen thousand
# octets takes ten milliseconds.
_SPACES = rb"(?:[ +]|%20)*"
_BORDER = rb"(?:[_. +\[]|%5f|%2e|%20|%5b)"
_TOKEN_KEY = re.compile(
    rb"(?:^|[&;])"
    + _SPACES
    + _spelled(b"access")
    + _BORDER
    + _spelled(b"token")
    + _SPACES
    + rb"(?:$|[=&;\[]|%5b)",
    re.IGNORECASE,
)


def refuse_tokens(target: Target) -> None:
    """Refuse with TOKEN_IN_REQUEST an `access_token` query key (H14, A2, RFC 6750 section 2.3).

    The request's fields need no look: a browser's Authorization is never forwarded.
    """
    if target.query and _TOKEN_KEY.search(target.query):
        raise Refused(Code.TOKEN_IN_REQUEST, "Tokens are not accepted in a URL.")


def upstream_target(route: Route, target: Target) -> bytes:
    """Return the origin-form for the upstream: the base path takes the place of the route's path.

    With `/api/orders/` to `/v1/`: `/api/orders/7?x` is `/v1/7?x`, `/api/orders/` is `/v1/` and
    `/api/orders` is `/v1`; nothing left is `/`. Every other octet is as it came (K5).

    Raises Refused(TARGET_AMBIGUOUS) when the result would begin with two slashes.
    """
    result = upstream_of(route).base + target.wire[len(route.prefix) :]
    if result.startswith(b"//"):
        raise Refused(Code.TARGET_AMBIGUOUS, "The path can be read in more than one way.")
    return result if result.startswith(b"/") else b"/" + result


def outgoing(  # noqa: PLR0913 - each is a separate fact, and bundling them would hide one
    request: BrowserRequest,
    target: Target,
    route: Route,
    *,
    address: str,
    policy: ForwardedPolicy,
    origin: PublicOrigin,
    bearer: AccessToken | None,
    request_id: str,
) -> UpstreamRequest:
    """Return the request for the upstream: hygiene first, then what is ours (L3).

    `address` is what `client_address` said. The bearer is left out where the route asks for none.

    Raises Refused: LOOP_DETECTED, and what `request_fields` and `upstream_target` raise;
    Unavailable(TOKEN_UNAVAILABLE) for a token that fits into no field.
    """
    fields = prepare_fields(request, route, address=address, policy=policy, origin=origin)
    return fields.to(upstream_target(route, target)).completed(bearer, request_id)


@dataclass(frozen=True, slots=True)
class PreparedFields:
    """A request for an upstream, but for its target, the bearer token and the request's id.

    It follows from what the browser sent and the configuration, and serves for every request with
    the same fields. `before` and `after` are the fields around the token, `lines` the same as
    octets, unless there is a Content-Length, which is the adapter's to write.
    """

    method: str
    leads_to: ToUpstream
    before: Fields = field(repr=False)
    after: Fields = field(repr=False)
    lines: tuple[bytes, bytes] | None = field(repr=False)

    def to(self, target: bytes) -> "Prepared":
        """Return the request for this origin-form."""
        return Prepared(self, target)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request for an upstream, but for the bearer token and the request's id."""

    fields: PreparedFields
    target: bytes

    def completed(self, bearer: AccessToken | None, request_id: str) -> UpstreamRequest:
        """Return the request; raises Unavailable(TOKEN_UNAVAILABLE) as `outgoing` does."""
        own, to = self.fields, self.fields.leads_to
        number = request_id.encode("ascii")
        token: Fields = ()
        line = b""
        if bearer is not None and to.token is not TokenKind.NONE:
            token = (_authorization(bearer),)
            line = b"authorization: %b\r\n" % token[0][1]
        lines = None
        if own.lines is not None:
            before, after = own.lines
            lines = b"%b%b%bx-request-id: %b\r\n" % (before, line, after, number)
        fields = (*own.before, *token, *own.after, (b"x-request-id", number))
        return UpstreamRequest(own.method, to.group, self.target, fields, lines)


def prepare_fields(
    request: BrowserRequest,
    route: Route,
    *,
    address: str,
    policy: ForwardedPolicy,
    origin: PublicOrigin,
) -> PreparedFields:
    """Return what of `outgoing` follows without the target; raises as it does."""
    to = upstream_of(route)
    _refuse_loop(request)
    before = (to.group.host, *request_fields(request, pass_cookies=to.pass_cookies))
    after = (
        *forwarded_fields(address, request, policy, origin),
        (b"via", b"1.1 " + PSEUDONYM),
    )
    has_length = content_length(before) is not None
    lines = None if has_length else (lines_of(before), lines_of(after))
    return PreparedFields(request.method, to, before, after, lines)


def lines_of(fields: Fields) -> bytes:
    """Return fields as lines of a head."""
    return b"\r\n".join([*map(b": ".join, fields), b""])


def _authorization(bearer: AccessToken) -> Field:
    credentials = bearer.credentials
    if credentials is None:
        raise Unavailable(Code.TOKEN_UNAVAILABLE, note="the access token fits into no field")
    return (b"authorization", credentials)


def _refuse_loop(request: BrowserRequest) -> None:
    via = request.values(b"via")
    if not via:
        return
    passes = sum(
        hop.split()[1:2] == [PSEUDONYM] for value in via for hop in value.lower().split(b",")
    )
    if passes > MAX_PASSES:
        raise Refused(Code.LOOP_DETECTED, "The request has come through this gateway before.")
