"""Which rule a path falls under, decided on its octets and never on a repaired spelling.

A path is matched as it came and once more as a careless upstream may read it. When the two fall
under different rules the request is refused: `/api//admin` or `/%61pi/admin` must not slip under
the rule of another route (A4, K4, K6).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.edge.messages import Field
from gateway.edge.target import Target, parse_target
from gateway.edge.upstream_group import UpstreamGroup
from gateway.errors import Code, Refused


class Access(StrEnum):
    """Who may use a route."""

    SESSION = "session"
    OPTIONAL = "optional"
    PUBLIC = "public"


class TokenKind(StrEnum):
    """Which token goes to the upstream."""

    USER = "user"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ToUpstream:
    """The fixed place requests of a route go to (RFC 10017 section 6.1.3.6).

    `base_path` takes the place of the route's own path. The two sets name the cookies allowed
    towards and from the upstream. `websocket` lets WebSocket handshakes pass.
    """

    group: UpstreamGroup
    base_path: bytes
    token: TokenKind
    scopes: frozenset[str] = frozenset()
    pass_cookies: frozenset[str] = frozenset()
    pass_set_cookies: frozenset[str] = frozenset()
    websocket: bool = False
    base: bytes = field(init=False, repr=False, compare=False)  # without its last slash

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", self.base_path.rstrip(b"/"))

    @property
    def origin(self) -> str:
        """`scheme://host[:port]`, lower case, of the group's first server."""
        return self.group.origin


@dataclass(frozen=True, slots=True)
class ToStatic:
    """A directory with a built single-page app."""

    directory: str
    content_security_policy: str


@dataclass(frozen=True, slots=True)
class Route:
    """One rule. `path` is plain: no percent signs, no dot segments, with or without a last `/`."""

    path: str
    access: Access
    methods: frozenset[str]
    to: ToUpstream | ToStatic
    prefix: str = field(init=False, repr=False, compare=False)  # without its last slash

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", self.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A gateway endpoint; `name` is what follows `/bff/`, such as `login` or `callback/main`."""

    name: str


class RouteTable:
    """All routes of a gateway; the longest path wins, and a path ends at a segment border."""

    def __init__(self, routes: Iterable[Route], *, base: str = "/bff") -> None:
        """Index the routes. Raises ValueError for a path that no request could match by rule."""
        self._base = _plain(base).rstrip("/")
        if not self._base:
            raise ValueError("the base path of the gateway's endpoints cannot be the root")
        self._under_base = self._base + "/"
        self._by_prefix: dict[str, Route] = {}
        self._by_folded: dict[str, Route] = {}
        for route in routes:
            prefix = _plain(route.path).rstrip("/")
            if prefix == self._base or prefix.startswith(self._under_base):
                raise ValueError(f"the route {route.path} lies under the gateway's own {base}")
            if prefix in self._by_prefix:
                raise ValueError(f"two routes have the path {route.path}")
            self._by_prefix[prefix] = route
            if self._by_folded.setdefault(prefix.lower(), route) is not route:
                raise ValueError(f"two routes have the path {route.path}, but for upper case")
        self.routes = tuple(self._by_prefix.values())
        # No prefix has more segments than this, so a path of 8000 slashes costs no more than one.
        self._depth = max((prefix.count("/") for prefix in self._by_prefix), default=0)

    def match(self, target: Target) -> Route | Endpoint:
        """Return the rule the target falls under.

        Raises Refused: TARGET_AMBIGUOUS when another reading of the path falls under another
        rule, ROUTE_NOT_FOUND when there is none.
        """
        raw, careless = target.path.decode("ascii"), target.canonical
        found = self._longest(raw, self._by_prefix)
        if careless != raw and self._longest(careless, self._by_prefix) != found:
            raise _ambiguous()
        # Many upstreams read paths without case; `/api/ADMIN` must not pass under `/api` there.
        if (folded := careless.lower()) != careless:
            other = self._longest(folded, self._by_folded)
            if other != found and not (isinstance(other, Endpoint) and isinstance(found, Endpoint)):
                raise _ambiguous()
        if found is None:
            raise Refused(Code.ROUTE_NOT_FOUND, "There is nothing at this path.")
        return found

    def _longest(self, path: str, routes: Mapping[str, Route]) -> Route | Endpoint | None:
        if path == self._base:
            return Endpoint("")
        if path.startswith(self._under_base):
            return Endpoint(path[len(self._under_base) :])
        best = routes.get("")
        end = 0
        for _ in range(self._depth):
            end = path.find("/", end + 1)
            found = routes.get(path if end < 0 else path[:end])
            best = best if found is None else found
            if end < 0:
                break
        return best


def upstream_of(route: Route) -> ToUpstream:
    """Return where the route leads; raises TypeError for one that leads to no upstream."""
    if not isinstance(route.to, ToUpstream):
        raise TypeError(f"the route {route.path} leads to no upstream")
    return route.to


def _ambiguous() -> Refused:
    return Refused(Code.TARGET_AMBIGUOUS, "The path can be read in more than one way.")


def _plain(path: str) -> str:
    # A path whose canonical reading is another one could only ever match ambiguously.
    try:
        target = parse_target(path.encode(), authority_expected=b"")
    except Refused as refused:
        raise ValueError(f"{path!r} is not a path: {refused.note or refused.code}") from None
    if target.query is not None or target.canonical != path:
        raise ValueError(f"{path!r} must be a plain path: no query, no %, no ;, no double slash")
    return path


_IMPLEMENTED = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NEVER = frozenset({"TRACE", "CONNECT"})  # A5, L6: they would echo fields or open a tunnel


def check_method(route: Route, method: str) -> None:
    """Refuse what the route does not declare (A5); methods are case-sensitive (RFC 9110 9.1).

    Raises Refused: METHOD_NOT_ALLOWED for a method we know, METHOD_NOT_IMPLEMENTED otherwise.
    """
    if method in _NEVER:
        raise Refused(Code.METHOD_NOT_IMPLEMENTED, "This method is not supported.")
    if method in route.methods or (method == "HEAD" and "GET" in route.methods):
        return
    if method in _IMPLEMENTED:
        raise method_not_allowed(allowed_methods(route))
    raise Refused(Code.METHOD_NOT_IMPLEMENTED, "This method is not supported.")


def allowed_methods(route: Route) -> tuple[str, ...]:
    """Return what the route answers to, for the Allow field (RFC 9110 section 10.2.1)."""
    allowed = route.methods | {"HEAD"} if "GET" in route.methods else route.methods
    return tuple(sorted(allowed - _NEVER))


def allow_field(allowed: Iterable[str]) -> Field:
    """Return the Allow field, which a 405 must carry (RFC 9110 section 15.5.6)."""
    return (b"allow", ", ".join(allowed).encode())


def method_not_allowed(allowed: Iterable[str]) -> Refused:
    """Return the refusal of a method that something here does not answer to."""
    detail = "This method is not allowed here."
    return Refused(Code.METHOD_NOT_ALLOWED, detail, fields=(allow_field(allowed),))


def check_scopes(route_to: ToUpstream, granted: frozenset[str]) -> None:
    """Refuse with SCOPE_INSUFFICIENT when the session's token lacks a scope the route asks for."""
    if not route_to.scopes <= granted:
        raise Refused(Code.SCOPE_INSUFFICIENT, "The session lacks a permission this needs.")
