"""From the public side to an upstream's and back (K4, K5, K7, K9; sections L and N).

Paths are cut and joined as octets; no URL is ever built from text and parsed again.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from gateway.edge.forwarded import ForwardedPolicy, forwarded_fields
from gateway.edge.headers import content_length, request_fields, response_fields
from gateway.edge.host import PublicOrigin
from gateway.edge.messages import BrowserRequest, Field, Fields, UpstreamRequest
from gateway.edge.routes import Route, TokenKind, ToUpstream
from gateway.edge.target import Target, parse_target
from gateway.edge.upstream_group import UpstreamGroup
from gateway.errors import Code, Refused, Unavailable
from gateway.secret import AccessToken

PSEUDONYM = b"gateway"
"""Our name in Via: no host name, nothing internal (RFC 9110 section 7.6.3)."""

MAX_PASSES = 3
"""How often one request may already have come through a gateway (K9)."""

_NO_CONTENT = 204
_LEADS_ELSEWHERE = frozenset({b"location", b"content-location", b"link"})
_LONGEST_LOCATION = 16384  # octets; browsers read no longer ones reliably


# A Location as a browser would read it. Backslashes and white space are read in too many ways.
_UNREADABLE = re.compile(rb"[\x00-\x20\x7f\\]")
_NETWORK_PATH = re.compile(rb"(?:([A-Za-z][A-Za-z0-9+.-]*):)?//([^/?#]*)(.*)", re.DOTALL)
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:")
# Browsers decode a host: `inter%6eal` is `internal`. Nobody writes one so.
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^:@%\[\]]+)(?::([0-9]{0,5}))?")
_ABOVE_ASCII = re.compile(rb"[\x80-\xff]")
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
_Place = tuple[bytes, bytes, bytes]  # scheme, host, port; the default port is filled in

# `access_token` in the spellings that upstream frameworks fold to it: PHP folds dots and spaces.
_TOKEN_KEY = re.compile(rb" *access[_. ]token *(?:\[.*)?", re.DOTALL)


def refuse_tokens(request: BrowserRequest, target: Target) -> None:  # noqa: ARG001 - see below
    """Refuse with TOKEN_IN_REQUEST an `access_token` query key (H14, A2, RFC 6750 section 2.3).

    The fields of the request are not looked at: a browser's Authorization is never forwarded.
    """
    query = target.query
    if not query or (b"%" not in query and b"token" not in query.lower()):
        return
    for pair in re.split(rb"[&;]", query):
        key = unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")).lower()
        if _TOKEN_KEY.fullmatch(key):
            raise Refused(Code.TOKEN_IN_REQUEST, "Tokens are not accepted in a URL.")


def upstream_target(route: Route, target: Target) -> bytes:
    """Return the origin-form for the upstream: the base path takes the place of the route's path.

    With `/api/orders/` to `/v1/`: `/api/orders/7?x` is `/v1/7?x`, `/api/orders/` is `/v1/` and
    `/api/orders` is `/v1`; nothing left is `/`. Every other octet is as it came (K5).

    Raises Refused(TARGET_AMBIGUOUS) when the result would begin with two slashes.
    """
    result = _upstream_of(route).base + target.wire[len(route.prefix) :]
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
    prepared = prepare(request, target, route, address=address, policy=policy, origin=origin)
    return prepared.completed(bearer, request_id)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request for an upstream, but for the bearer token and the request's id.

    It follows from what the browser sent and the configuration, and serves for every request with
    the same octets. `before` and `after` are the fields around the token, `lines` the same as
    octets, unless there is a Content-Length, which is the adapter's to write.
    """

    method: str
    to: ToUpstream
    target: bytes
    before: Fields = field(repr=False)
    after: Fields = field(repr=False)
    lines: tuple[bytes, bytes] | None = field(repr=False)

    def completed(self, bearer: AccessToken | None, request_id: str) -> UpstreamRequest:
        """Return the request; raises Unavailable(TOKEN_UNAVAILABLE) as `outgoing` does."""
        with_token = bearer is not None and self.to.token is not TokenKind.NONE
        number = (b"x-request-id", request_id.encode("ascii"))
        token: Fields = ()
        line = b""
        if bearer is not None and with_token:
            token = (_authorization(bearer),)
            line = b"authorization: %b\r\n" % token[0][1]
        lines = None
        if self.lines is not None:
            before, after = self.lines
            lines = b"%b%b%bx-request-id: %b\r\n" % (before, line, after, number[1])
        fields = (*self.before, *token, *self.after, number)
        return UpstreamRequest(self.method, self.to.group, self.target, fields, lines)


def prepare(
    request: BrowserRequest,
    target: Target,
    route: Route,
    *,
    address: str,
    policy: ForwardedPolicy,
    origin: PublicOrigin,
) -> Prepared:
    """Return what of `outgoing` follows from request and configuration; raises as it does."""
    to = _upstream_of(route)
    _refuse_loop(request)
    before = (to.group.host, *request_fields(request, pass_cookies=to.pass_cookies))
    after = (
        *forwarded_fields(address, request, policy, origin),
        (b"via", b"1.1 " + PSEUDONYM),
    )
    has_length = content_length(before) is not None
    lines = None if has_length else (lines_of(before), lines_of(after))
    return Prepared(request.method, to, upstream_target(route, target), before, after, lines)


def lines_of(fields: Fields) -> bytes:
    """Return fields as lines of a head."""
    return b"".join([b"%b: %b\r\n" % line for line in fields])


def returning(
    status: int,
    fields: Fields,
    route: Route,
    origin: PublicOrigin,
    *,
    session_used: bool,
    internal_hosts: frozenset[bytes] = frozenset(),
) -> Fields:
    """Return the fields for the browser, with Location and Content-Location in public terms (K7).

    No answer names one of `internal_hosts` (L12).

    Raises Unavailable(UPSTREAM_PROTOCOL) as `response_fields` does, and for two differing
    Locations.
    """
    to = _upstream_of(route)
    clean = response_fields(fields, pass_set_cookies=to.pass_set_cookies, session_used=session_used)
    if status != _NO_CONTENT and _LEADS_ELSEWHERE.isdisjoint(dict(clean)):
        return clean
    kept: list[Field] = []
    locations = set()
    for name, value in clean:
        if name == b"content-length" and status == _NO_CONTENT:
            continue  # RFC 9110 section 8.6 (M9)
        if name == b"location":
            locations.add(value)
        if name == b"link" and any(host in value.lower() for host in internal_hosts):
            continue  # paging links of an API that does not know its public address
        if name not in (b"location", b"content-location"):
            kept.append((name, value))
        elif (public := public_location(value, route, origin, internal_hosts)) is not None:
            kept.append((name, public))
    if len(locations) > 1:
        raise Unavailable(
            Code.UPSTREAM_PROTOCOL, "The service behind answered badly.", note="two Locations"
        )
    return tuple(kept)


def upstream_hosts(routes: Iterable[Route]) -> frozenset[bytes]:
    """Return the hosts that no answer may name: those of every route's upstream."""
    groups = [route.to.group for route in routes if isinstance(route.to, ToUpstream)]
    return frozenset(host for group in groups for _, host, _ in _places(group))


def public_location(
    value: bytes,
    route: Route,
    origin: PublicOrigin,
    internal_hosts: frozenset[bytes] = frozenset(),
) -> bytes | None:
    """Return where a Location of the upstream leads in public terms; None when it must not pass.

    A place under the upstream's own origin and base path becomes the public path. A relative
    reference passes, for the public path ends as the upstream's does. So does an http(s) URL of
    another host, our public origin included. What lies on the upstream's host but outside the
    base path, or on a host of `internal_hosts`, is internal, and what cannot be read in one way
    only is refused: both give None.
    """
    to = _upstream_of(route)
    if not value or len(value) > _LONGEST_LOCATION or _UNREADABLE.search(value):
        return None
    url = _NETWORK_PATH.fullmatch(value)
    if url is None:
        if value.startswith(b"/"):
            return _public_path(value, route, to)
        return None if _SCHEME.match(value) else value
    places = _places(to.group)
    place = _place((url[1] or to.origin.partition(":")[0].encode()).lower(), url[2])
    if place is None:
        return None
    if place in places:
        return _public_path(url[3], route, to)
    is_internal = place[1] in internal_hosts | {inner[1] for inner in places}
    return None if is_internal and place[1] != origin.host.encode("ascii") else value


def _public_path(value: bytes, route: Route, to: ToUpstream) -> bytes | None:
    # Upstreams send raw UTF-8; a browser would percent-encode it just so.
    escaped = _ABOVE_ASCII.sub(lambda octet: b"%%%02X" % octet[0][0], value)
    reference, hash_mark, fragment = escaped.partition(b"#")
    if not reference.startswith(b"/"):
        reference = b"/" + reference
    try:
        target = parse_target(reference, authority_expected=b"")
    except Refused:
        return None
    if target.path != to.base and not target.path.startswith(to.base + b"/"):
        return None
    public = route.prefix.encode("ascii") + target.wire[len(to.base) :]
    if public.startswith(b"//"):
        return None  # it would name another authority (an open redirect)
    return (public if public.startswith(b"/") else b"/" + public) + hash_mark + fragment


def _places(group: UpstreamGroup) -> frozenset[_Place]:
    parts = [origin.encode("ascii").split(b"://") for origin in group.origins]
    found = [_place(scheme, authority) for scheme, authority in parts]
    return frozenset(place for place in found if place is not None)


def _place(scheme: bytes, authority: bytes) -> _Place | None:
    found = _AUTHORITY.fullmatch(authority)
    if found is None or scheme not in _DEFAULT_PORTS:
        return None
    # `internal.` is `internal`, said with the root of all names.
    return scheme, found[1].lower().rstrip(b"."), found[2] or _DEFAULT_PORTS[scheme]


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


def _upstream_of(route: Route) -> ToUpstream:
    if not isinstance(route.to, ToUpstream):
        raise TypeError(f"the route {route.path} leads to no upstream")
    return route.to
