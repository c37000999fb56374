"""A route to an API of orders, and what tests of one request on it need."""

from gateway.edge.host import PublicOrigin
from gateway.edge.messages import Fields
from gateway.edge.routes import Access, Route, TokenKind, ToUpstream
from gateway.edge.upstream_group import UpstreamGroup

ORIGIN = PublicOrigin("https", "app.example.com", 443)
TO = ToUpstream(
    UpstreamGroup(("http://orders:8080",)),
    b"/v1/",
    TokenKind.USER,
    pass_cookies=frozenset({"a"}),
    pass_set_cookies=frozenset({"a"}),
)
ORDERS = Route("/api/orders/", Access.SESSION, frozenset({"GET"}), TO)


def route(path: str, base: bytes, origin: str = "http://orders:8080") -> Route:
    to = ToUpstream(UpstreamGroup((origin,)), base, TokenKind.USER)
    return Route(path, Access.SESSION, frozenset({"GET"}), to)


def values(fields: Fields, name: bytes) -> list[bytes]:
    """The values of every line with this name."""
    return [value for key, value in fields if key == name]
