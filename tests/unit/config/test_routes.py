"""Routes: which requests go where, with nothing left to interpretation (A4, K4, K9)."""

from pathlib import Path
from socket import gethostname

import pytest

from gateway.config.route_section import CONTENT_SECURITY_POLICY
from gateway.edge.routes import Access, Route, RouteTable, TokenKind, ToStatic, ToUpstream
from gateway.edge.upstream_group import (
    HealthCheck,
    PoolLimits,
    Timeouts,
    UpstreamGroup,
    UpstreamTls,
)
from tests.unit.config.documents import ABSENT, check, errors, message, settings, warnings

FIRST = "routes.0."


def first(changes: dict[str, object] | None = None) -> Route:
    return settings({FIRST + key: value for key, value in (changes or {}).items()}).routes[0]


def upstream_of(changes: dict[str, object] | None = None) -> ToUpstream:
    to = first(changes).to
    assert isinstance(to, ToUpstream)
    return to


def first_error(key: str, value: object) -> bool:
    """Whether this value is refused at this key, or inside it, and nothing else is."""
    found = errors({FIRST + key: value})
    return bool(found) and all(path.startswith(f"routes[0].{key}") for path in found)


def test_a_route_to_an_api_asks_for_a_session_and_sends_the_token() -> None:
    route = first()
    assert (route.path, route.access) == ("/api/", Access.SESSION)
    assert route.methods == {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert route.to == ToUpstream(UpstreamGroup(("http://api:9000",)), b"/v1/", TokenKind.USER)


@pytest.mark.parametrize(
    ("access", "token"),
    [("session", TokenKind.USER), ("optional", TokenKind.USER), ("public", TokenKind.NONE)],
)
def test_the_token_follows_the_access(access: str, token: TokenKind) -> None:
    assert upstream_of({"access": access}).token is token
    assert upstream_of({"access": access, "token": "none"}).token is TokenKind.NONE


@pytest.mark.parametrize(
    ("upstream", "origin", "base_path"),
    [
        ("http://api", "http://api", b"/"),
        ("http://api/", "http://api", b"/"),
        ("http://api:80/v1", "http://api", b"/v1"),
        ("HTTP://API:9000/V1/", "http://api:9000", b"/V1/"),
        ("https://api.internal:443/", "https://api.internal", b"/"),
        ("https://api.internal:8443/a/b", "https://api.internal:8443", b"/a/b"),
        ("http://10.0.0.7:8000/", "http://10.0.0.7:8000", b"/"),
        ("http://[2001:DB8::1]:8000/", "http://[2001:db8::1]:8000", b"/"),
        ("http://[2001:db8::1]/", "http://[2001:db8::1]", b"/"),
        ("http://my_service:80/", "http://my_service", b"/"),
    ],
)
def test_an_upstream_is_an_origin_and_a_base_path(
    upstream: str, origin: str, base_path: bytes
) -> None:
    to = upstream_of({"upstream": upstream})
    assert (to.origin, to.base_path) == (origin, base_path)


@pytest.mark.parametrize(
    "upstream",
    [
        "api:9000",
        "//api/",
        "/api",
        "ws://api/",
        "ftp://api/",
        "unix:///run/api.sock",
        "http://",
        "http:///v1",
        "http://user@api/",
        "http://user:hunter2@api/",
        "http://api/?key=hunter2",
        "http://api/#x",
        "http://api:0/",
        "http://api:99999/",
        "http://api:port/",
        "http://api:/",
        "http://[::1",
        "http://a b/",
        "http://api/a%2fb",
        "http://api//v1",
        "http://api/../v1",
        "http://api/v1/.",
        "http://api/a;b",
        "http://api/{id}",
        "http://2130706433:8000/",
        "http://\uff4cocalhost/",
        "",
        9000,
        [],
        ["http://a", "http://b?x"],
        ["http://a", "http://a:80/"],
        ["http://a/v1/", "http://b/v2/"],
        ["http://a", "https://b"],
        ["http://a", 7],
        ["http://a", "http://localhost:8080/"],
    ],
)
def test_an_upstream_that_leaves_something_open_is_refused(upstream: object) -> None:
    assert first_error("upstream", upstream)
    _, findings = check({FIRST + "upstream": upstream})
    assert "hunter2" not in str(findings)


@pytest.mark.parametrize(
    "upstream",
    [
        "http://localhost:8080/",
        "http://127.0.0.1:8080/x",
        "http://127.0.0.2:8080/",
        "http://[::1]:8080/",
        "http://0.0.0.0:8080/",
        "http://[::]:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://gateway.localhost:8080/",
        "https://app.example.com/api/",
        "https://APP.example.com:443/",
        "http://127.0.0.1:9090/",
        "http://localhost:9090/metrics",
        "http://gw.internal:8080/",
        "http://app.example.com/",
        "http://app.example.com:80/x",
        f"http://{gethostname()}:8080/",
    ],
)
def test_an_upstream_that_is_the_gateway_itself_is_refused(upstream: str) -> None:
    """K9."""
    changes = {"listen.accepted_hosts": ["gw.internal:8080"], FIRST + "upstream": upstream}
    assert errors(changes) == ["routes[0].upstream"]


@pytest.mark.parametrize(
    "upstream", ["http://localhost:5173/", "http://other.example.com:8080/", "http://api:8080/"]
)
def test_a_neighbour_is_not_the_gateway_itself(upstream: str) -> None:
    assert errors({FIRST + "upstream": upstream}) == []


def test_a_listener_on_one_address_is_not_the_whole_machine() -> None:
    one_address = {"listen.host": "10.0.0.5", FIRST + "upstream": "http://127.0.0.1:8080/"}
    assert errors(one_address) == []
    assert errors({**one_address, FIRST + "upstream": "http://10.0.0.5:8080/"}) == [
        "routes[0].upstream"
    ]


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/a/b.c/~d/", "/bffx", "/b/bff", "/@me/+1"])
def test_a_plain_path_is_accepted_and_matches_itself(path: str) -> None:
    route = first({"path": path})
    assert route.path == path
    RouteTable([route])


@pytest.mark.parametrize(
    "path",
    [
        "api/",
        "",
        "//api",
        "/api//x",
        "/api/../x",
        "/./api",
        "/api/..",
        "/a%2fb",
        "/%61pi",
        "/api?x",
        "/api#x",
        "/api;x",
        "/api/*",
        "/api/{id}",
        "/a b",
        "/ä",
        "/a\\b",
        "http://api/",
        7,
        None,
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(path: object) -> None:
    assert first_error("path", path)


@pytest.mark.parametrize(
    "path",
    [
        "/bff",
        "/bff/",
        "/bff/login",
        "/bff%2f",
        "/bff%2flogin",
        "/%62ff/",
        "/BFF/x",
        "/bff/..",
        "//bff",
    ],
)
def test_a_path_that_shadows_our_own_endpoints_is_refused(path: str) -> None:
    assert first_error("path", path)


@pytest.mark.parametrize("again", ["/api/", "/api"])
def test_two_routes_have_two_paths(again: str) -> None:
    assert errors({"routes.1": {"path": again, "upstream": "http://b/"}}) == ["routes[1].path"]


def test_routes_stay_in_the_order_of_the_file() -> None:
    made = settings(
        {
            "routes.1": {"path": "/", "upstream": "http://b/"},
            "routes.2": {"path": "/api/x", "upstream": "http://c/"},
        }
    )
    assert [route.path for route in made.routes] == ["/api/", "/", "/api/x"]


@pytest.mark.parametrize("routes", [None, [], {}, "x", [None], ["x"]])
def test_there_is_no_gateway_without_a_route(routes: object) -> None:
    (found,) = errors({"routes": routes})
    assert found in ("routes", "routes[0]")


@pytest.mark.parametrize("access", ["private", "Session", "", None, True])
def test_who_may_use_a_route_is_one_of_three(access: object) -> None:
    if access is None:
        assert first({"access": None}).access is Access.SESSION  # a key without a value
    else:
        assert first_error("access", access)


@pytest.mark.parametrize("token", ["client", "exchange"])
def test_a_token_of_later_versions_is_told_from_a_misspelt_one(token: str) -> None:
    assert first_error("token", token)
    assert "not available in this version" in message({FIRST + "token": token})
    assert "not available" not in message({FIRST + "token": "uesr"})


def test_a_public_route_cannot_send_the_persons_token() -> None:
    changes = {FIRST + "access": "public", FIRST + "token": "user"}
    assert errors(changes) == ["routes[0].token"]


@pytest.mark.parametrize("access", ["public", "optional"])
def test_scopes_need_a_session(access: str) -> None:
    changes = {
        FIRST + "access": access,
        FIRST + "scopes": ["openid"],
    }
    assert errors(changes) == ["routes[0].scopes"]


@pytest.mark.parametrize("scopes", [["a b"], ['"'], [""], "a", [1]])
def test_scopes_are_a_list_of_single_words(scopes: object) -> None:
    assert first_error("scopes", scopes)


def test_a_scope_nobody_asks_for_is_a_warning() -> None:
    assert warnings({FIRST + "scopes": ["orders.read"]}) == ["routes[0].scopes[0]"]
    asked = {"providers.main.scopes": ["openid", "orders.read"], FIRST + "scopes": ["orders.read"]}
    assert warnings(asked) == []
    assert upstream_of({"scopes": ["openid"]}).scopes == {"openid"}


def test_methods_are_those_that_are_named() -> None:
    assert first({"methods": ["GET", "POST"]}).methods == {"GET", "POST"}


@pytest.mark.parametrize(
    "methods",
    [
        [],
        ["get"],
        ["TRACE"],
        ["CONNECT"],
        ["FOO"],
        ["OPTIONS"],
        ["GET", "OPTIONS"],
        "GET",
        ["GET", None],
        [1],
    ],
)
def test_other_methods_are_refused(methods: object) -> None:
    """A5, L6."""
    assert first_error("methods", methods)


def test_cookies_pass_by_name_only() -> None:
    to = upstream_of({"pass_cookies": ["theme"], "pass_set_cookies": ["theme", "lang"]})
    assert to.pass_cookies == {"theme"}
    assert to.pass_set_cookies == {"theme", "lang"}


@pytest.mark.parametrize("key", ["pass_cookies", "pass_set_cookies"])
@pytest.mark.parametrize(
    "name",
    [
        "__Host-Http-session",
        "__host-http-SESSION",
        "__Http-login",
        "gateway-session",
        "a;b",
        "a=b",
        "",
    ],
)
def test_our_own_cookies_never_pass(key: str, name: str) -> None:
    """A7, B16."""
    assert errors({FIRST + key: ["theme", name]}) == [f"routes[0].{key}[1]"]


# -- static routes ------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The directory of a configuration file with a built app beside it."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_text("<!doctype html>")
    return tmp_path


def static(**changes: object) -> dict[str, object]:
    return {"routes": [{"path": "/", "static": "./dist", **changes}]}


def test_a_built_app_lies_beside_the_configuration_file(app: Path) -> None:
    (route,) = settings(static(), directory=app).routes
    assert route.to == ToStatic(str(app / "dist"), CONTENT_SECURITY_POLICY)
    assert (route.access, route.methods) == (Access.PUBLIC, frozenset({"GET"}))


def test_an_app_that_is_not_built_is_an_error_with_its_absolute_path(tmp_path: Path) -> None:
    _, (finding,) = check(static(), directory=tmp_path)
    assert finding.path == "routes[0].static"
    assert str(tmp_path / "dist") in finding.message


def test_a_file_or_an_impossible_name_is_no_app(app: Path) -> None:
    for name in ("dist/index.html", "x" * 1000):
        assert errors(static(static=name), directory=app) == ["routes[0].static"]


def test_an_app_without_an_index_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    assert warnings(static(), directory=tmp_path) == ["routes[0].static"]


@pytest.mark.parametrize(
    "changes",
    [
        {"access": "session"},
        {"access": "optional"},
        {"methods": ["GET", "POST"]},
        {"token": "none"},
        {"scopes": ["openid"]},
        {"pass_cookies": ["theme"]},
        {"pass_set_cookies": ["theme"]},
        {"content_security_policy": "default-src \u2019self\u2019"},
        {"content_security_policy": "default-src\n'self'"},
    ],
)
def test_what_files_cannot_have_is_refused(app: Path, changes: dict[str, object]) -> None:
    (key,) = changes
    assert errors(static(**changes), directory=app) == [f"routes[0].{key}"]


def test_a_policy_of_ones_own_is_for_static_routes(app: Path) -> None:
    (route,) = settings(static(content_security_policy="default-src 'self'"), directory=app).routes
    assert isinstance(route.to, ToStatic)
    assert route.to.content_security_policy == "default-src 'self'"
    assert first_error("content_security_policy", "default-src 'self'")


def test_a_route_goes_to_one_place(app: Path) -> None:
    assert errors({FIRST + "static": "./dist"}, directory=app) == ["routes[0]"]
    assert errors({FIRST + "upstream": ABSENT}) == ["routes[0]"]


@pytest.mark.parametrize("key", ["strip_path", "prefix", "target", "auth"])
def test_keys_of_other_products_are_explained(key: str) -> None:
    assert message({FIRST + key: "x"}) != "unknown key"


def test_a_list_of_servers_is_one_group_whose_first_stands_for_it() -> None:
    made = settings({FIRST + "upstream": ["http://a:1/v1/", "http://b:2/v1/"]})
    to = made.routes[0].to
    assert isinstance(to, ToUpstream)
    assert to.group.origins == ("http://a:1", "http://b:2")
    assert to.origin == "http://a:1"
    assert to.base_path == b"/v1/"


def test_the_terms_of_an_upstream_are_its_routes_own() -> None:
    changes = {
        FIRST + "connect_timeout": "1s",
        FIRST + "header_timeout": "5s",
        FIRST + "idle_timeout": "7s",
        FIRST + "total_timeout": "9s",
        FIRST + "max_connections": 3,
        FIRST + "max_waiting": 4,
        FIRST + "wait_timeout": "500ms",
        FIRST + "keepalive": "4s",
        FIRST + "max_connection_age": "5m",
        FIRST + "health_path": "/up",
        FIRST + "health_interval": "2s",
        FIRST + "websocket": True,
    }
    to = settings(changes).routes[0].to
    assert isinstance(to, ToUpstream)
    assert to.group.timeouts == Timeouts(1.0, 5.0, 7.0, 9.0)
    assert to.group.limits == PoolLimits(3, 4, 0.5, 4.0, 300.0)
    assert to.group.health == HealthCheck(b"/up", 2.0)
    assert to.group.tls is None
    assert to.websocket


def test_certificates_for_an_upstream_are_files_that_exist(tmp_path: Path) -> None:
    names = ("ca_file", "client_certificate", "client_key")
    files: dict[str, object] = {FIRST + name: f"{name}.pem" for name in names}
    changes = {FIRST + "upstream": "https://api/", FIRST + "server_name": "API.internal", **files}
    assert len(errors(changes, directory=tmp_path)) == 3
    for name in names:
        (tmp_path / f"{name}.pem").write_text("")
    to = settings(changes, directory=tmp_path).routes[0].to
    assert isinstance(to, ToUpstream)
    ca_file, certificate, key = (str(tmp_path / f"{name}.pem") for name in names)
    assert to.group.tls == UpstreamTls(ca_file, certificate, key, "api.internal")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ca_file", "ca.pem"),
        ("client_certificate", "c.pem"),
        ("server_name", "api.internal"),
        ("health_path", "up"),
        ("health_path", "/up?x"),
        ("health_path", "/a//b"),
        ("connect_timeout", "0s"),
        ("max_connections", 0),
        ("max_waiting", -1),
        ("wait_timeout", "0s"),
        ("wait_timeout", "2m"),
        ("keepalive", "0s"),
        ("keepalive", "11m"),  # longer than a connection may live
        ("max_connection_age", "10s"),
        ("websocket", "yes"),
    ],
)
def test_a_term_that_makes_no_sense_is_named(key: str, value: object) -> None:
    named = "keepalive" if key == "max_connection_age" else key
    assert errors({FIRST + key: value}) == [f"routes[0].{named}"]


def test_unless_told_otherwise_a_pool_has_the_defaults_of_the_policy() -> None:
    to = settings({}).routes[0].to
    assert isinstance(to, ToUpstream)
    assert to.group.limits == PoolLimits()


def test_waiting_for_a_connection_must_fit_into_the_whole() -> None:
    short = {FIRST + "total_timeout": "1s"}
    assert errors(short) == []  # who says nothing about waiting is not bothered
    assert errors({**short, FIRST + "wait_timeout": "1s"}) == []
    assert errors({**short, FIRST + "wait_timeout": "1500ms"}) == ["routes[0].wait_timeout"]


def test_a_key_without_its_certificate_and_a_name_with_a_port_are_named(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text("")
    changes = {FIRST + "upstream": "https://api/", FIRST + "client_key": "k.pem"}
    assert errors(changes, directory=tmp_path) == ["routes[0].client_key"]
    changes = {FIRST + "upstream": "https://api/", FIRST + "server_name": "api:8443"}
    assert errors(changes) == ["routes[0].server_name"]


def test_a_built_app_has_no_terms_of_an_upstream(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_text("")
    changes = {FIRST + "upstream": ABSENT, FIRST + "static": "dist", FIRST + "websocket": True}
    assert errors(changes, directory=tmp_path) == ["routes[0].websocket"]
