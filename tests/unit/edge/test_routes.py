import pytest

from gateway.edge.routes import (
    Access,
    Endpoint,
    Route,
    RouteTable,
    TokenKind,
    ToStatic,
    ToUpstream,
    allow_field,
    allowed_methods,
    check_method,
    check_scopes,
)
from gateway.edge.target import parse_target
from gateway.edge.upstream_group import UpstreamGroup
from gateway.errors import Code, Refused

UPSTREAM = ToUpstream(UpstreamGroup(("http://orders:8080",)), b"/v1/", TokenKind.USER)


def route(path: str, *methods: str) -> Route:
    return Route(path, Access.SESSION, frozenset(methods or ("GET",)), UPSTREAM)


SPA = Route("/", Access.PUBLIC, frozenset({"GET"}), ToStatic("dist", "default-src 'self'"))
ORDERS = route("/api/orders/")
BARE = route("/api/items")
DEEP = route("/api/orders/admin/")
API = route("/api/")
TABLE = RouteTable([SPA, ORDERS, BARE, DEEP, API])
NO_ROOT = RouteTable([ORDERS, BARE])


def match(raw: bytes, table: RouteTable = TABLE) -> Route | Endpoint:
    return table.match(parse_target(raw, authority_expected=b"app.example.com"))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/", SPA),
        (b"/index.html", SPA),
        (b"/ap", SPA),
        (b"/apix", SPA),
        (b"/?x=/api/orders", SPA),
        (b"/api", API),
        (b"/api/", API),
        (b"/api/x", API),
        (b"/api/ordersx", API),
        (b"/api/order", API),
        (b"/api/orders", ORDERS),
        (b"/api/orders/", ORDERS),
        (b"/api/orders?x", ORDERS),
        (b"/api/orders/7", ORDERS),
        (b"/api/orders/7/lines/", ORDERS),
        (b"/api/orders/adminx", ORDERS),
        (b"/api/orders/7%2F8", ORDERS),
        (b"/api/orders/a;v=1", ORDERS),
        (b"/api/orders/7//8", ORDERS),
        (b"/api/orders/admin", DEEP),
        (b"/api/orders/admin/x/y/z", DEEP),
        (b"/api/items", BARE),
        (b"/api/items/", BARE),
        (b"/api/items/1", BARE),
        (b"/api/itemsx", API),
        (b"/bffx", SPA),
        (b"/x/bff/login", SPA),
    ],
)
def test_the_longest_path_wins_and_ends_at_a_segment_border(raw: bytes, expected: Route) -> None:
    assert match(raw) is expected


@pytest.mark.parametrize("raw", [b"/", b"/api", b"/api/", b"/api/ordersx", b"/api/item", b"/x"])
def test_without_a_root_route_the_rest_is_not_found(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        match(raw, NO_ROOT)
    assert refused.value.code is Code.ROUTE_NOT_FOUND


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"/bff", ""),
        (b"/bff/", ""),
        (b"/bff?x", ""),
        (b"/bff/login", "login"),
        (b"/bff/login?return_to=/a", "login"),
        (b"/bff/login/", "login/"),
        (b"/bff/callback/main", "callback/main"),
        (b"/bff/sessions/abc", "sessions/abc"),
    ],
)
def test_the_gateways_endpoints_lie_under_its_base(raw: bytes, name: str) -> None:
    assert match(raw) == Endpoint(name)


def test_the_base_can_be_moved() -> None:
    table = RouteTable([SPA], base="/auth/bff/")
    assert match(b"/auth/bff/login", table) == Endpoint("login")
    assert match(b"/bff/login", table) is SPA


@pytest.mark.parametrize(
    "raw",
    [
        b"/api//orders",
        b"/api/%6frders",
        b"/%61pi/orders",
        b"/API/orders",
        b"/api/orders/ADMIN",
        b"/Bff/session",
        b"/api%2Forders",
        b"/api%2forders/admin",
        b"/api/orders//admin",
        b"/api/orders/%61dmin",
        b"/api/orders%2fadmin/x",
        b"/api;x/orders",
        b"/api/orders;x/admin",
        b"/api/orders;x",
        b"/%2fapi/orders",
        b"/;x/api/orders",
        b"/api/orders%3fx",
        b"/api/items%23x",
        b"/bff%2flogin",
        b"/bff//login",
        b"/%62ff/login",
        b"/bff;x/login",
        b"/bff/login;x",
        b"/bff/%6cogin",
        b"/bff/sessions/a%2Fb",
        b"/bff%3f",
        b"/%2fbff",
    ],
)
def test_a_path_that_can_be_read_under_two_rules_is_refused_k4(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        match(raw)
    assert refused.value.code is Code.TARGET_AMBIGUOUS


def test_another_reading_without_any_rule_is_ambiguous_too() -> None:
    with pytest.raises(Refused) as refused:
        match(b"/api//orders", NO_ROOT)
    assert refused.value.code is Code.TARGET_AMBIGUOUS


def test_a_public_path_in_the_query_or_fragment_opens_nothing_k6() -> None:
    table = RouteTable([route("/private"), Route("/health", Access.PUBLIC, frozenset(), UPSTREAM)])
    assert match(b"/private?x=/health", table) == route("/private")
    with pytest.raises(Refused):
        match(b"/private%23/health", table)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "api",
        "//api",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "/a?b",
        "/a?",
        "/a#b",
        "/a%20b",
        "/%61",
        "/a;b",
        "/a b",
        "/a\\b",
        "/é",
        "*",
        "https://app.example.com/",
        "/bff",
        "/bff/",
        "/bff/login",
    ],
)
def test_a_route_whose_path_is_not_plain_or_is_ours_is_refused_at_start(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|lies under"):
        RouteTable([route(path)])


def test_two_routes_with_one_path_are_refused_at_start() -> None:
    with pytest.raises(ValueError, match="two routes"):
        RouteTable([route("/api/"), route("/api")])


def test_the_base_cannot_be_the_root() -> None:
    with pytest.raises(ValueError, match="root"):
        RouteTable([], base="/")


def test_a_path_of_many_segments_is_matched_like_any_other() -> None:
    assert match(b"/api/orders/" + b"x/" * 5000) is ORDERS


def test_an_empty_table_has_only_endpoints() -> None:
    assert match(b"/bff/session", RouteTable([])) == Endpoint("session")
    with pytest.raises(Refused) as refused:
        match(b"/", RouteTable([]))
    assert refused.value.code is Code.ROUTE_NOT_FOUND


@pytest.mark.parametrize(
    ("declared", "method"),
    [
        (("GET",), "GET"),
        (("GET",), "HEAD"),
        (("POST",), "POST"),
        (("GET", "OPTIONS"), "OPTIONS"),
        (("PROPFIND",), "PROPFIND"),
    ],
)
def test_a_declared_method_is_allowed_and_head_comes_with_get(
    declared: tuple[str, ...], method: str
) -> None:
    check_method(route("/a", *declared), method)


@pytest.mark.parametrize(
    ("declared", "method", "code"),
    [
        (("GET",), "POST", Code.METHOD_NOT_ALLOWED),
        (("GET",), "DELETE", Code.METHOD_NOT_ALLOWED),
        (("GET",), "OPTIONS", Code.METHOD_NOT_ALLOWED),
        (("POST",), "HEAD", Code.METHOD_NOT_ALLOWED),
        (("GET",), "get", Code.METHOD_NOT_IMPLEMENTED),
        (("GET",), "TRACE", Code.METHOD_NOT_IMPLEMENTED),
        (("GET",), "CONNECT", Code.METHOD_NOT_IMPLEMENTED),
        (("GET",), "FOO", Code.METHOD_NOT_IMPLEMENTED),
        (("GET",), "", Code.METHOD_NOT_IMPLEMENTED),
        (("TRACE", "CONNECT"), "TRACE", Code.METHOD_NOT_IMPLEMENTED),
        (("TRACE", "CONNECT"), "CONNECT", Code.METHOD_NOT_IMPLEMENTED),
    ],
)
def test_other_methods_are_refused_a5(declared: tuple[str, ...], method: str, code: Code) -> None:
    with pytest.raises(Refused) as refused:
        check_method(route("/a", *declared), method)
    assert refused.value.code is code


def test_the_allow_field_lists_what_check_method_lets_through() -> None:
    allowed = allowed_methods(route("/a", "GET", "POST", "TRACE"))
    assert allow_field(allowed) == (b"allow", b"GET, HEAD, POST")
    assert allowed_methods(route("/a", "POST")) == ("POST",)


def test_a_missing_scope_is_refused() -> None:
    to = ToUpstream(
        UpstreamGroup(("http://o",)),
        b"/",
        TokenKind.USER,
        frozenset({"orders.read", "orders.write"}),
    )
    check_scopes(to, frozenset({"openid", "orders.read", "orders.write"}))
    for granted in (frozenset[str](), frozenset({"orders.read"}), frozenset({"orders"})):
        with pytest.raises(Refused) as refused:
            check_scopes(to, granted)
        assert refused.value.code is Code.SCOPE_INSUFFICIENT


def test_a_route_without_scopes_asks_for_none() -> None:
    check_scopes(UPSTREAM, frozenset())
