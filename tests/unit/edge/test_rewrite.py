from dataclasses import replace

import pytest

from gateway.edge.forwarded import ForwardedPolicy
from gateway.edge.host import PublicOrigin
from gateway.edge.messages import BrowserRequest, Field, Fields, UpstreamRequest
from gateway.edge.outgoing import MAX_PASSES, outgoing, refuse_tokens, upstream_target
from gateway.edge.rewrite import public_location, returning
from gateway.edge.routes import Access, Route, TokenKind, ToStatic, ToUpstream
from gateway.edge.target import parse_target
from gateway.edge.upstream_group import UpstreamGroup
from gateway.errors import Code, Refused, Unavailable
from gateway.secret import AccessToken

ORIGIN = PublicOrigin("https", "app.example.com", 443)
TO = ToUpstream(
    UpstreamGroup(("http://orders:8080",)),
    b"/v1/",
    TokenKind.USER,
    pass_cookies=frozenset({"a"}),
    pass_set_cookies=frozenset({"a"}),
)
ORDERS = Route("/api/orders/", Access.SESSION, frozenset({"GET"}), TO)
BEARER = AccessToken("the-token")


def route(path: str, base: bytes, origin: str = "http://orders:8080") -> Route:
    to = ToUpstream(UpstreamGroup((origin,)), base, TokenKind.USER)
    return Route(path, Access.SESSION, frozenset({"GET"}), to)


def send(
    *fields: Field,
    raw: bytes = b"/api/orders/7",
    method: str = "GET",
    bearer: AccessToken | None = BEARER,
    to: Route = ORDERS,
) -> UpstreamRequest:
    return outgoing(
        BrowserRequest(method, raw, fields, "203.0.113.9"),
        parse_target(raw, authority_expected=b""),
        to,
        address="203.0.113.9",
        policy=ForwardedPolicy(),
        origin=ORIGIN,
        bearer=bearer,
        request_id="id-1",
    )


def values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


@pytest.mark.parametrize(
    ("path", "base", "raw", "sent"),
    [
        ("/api/orders/", b"/v1/", b"/api/orders/7", b"/v1/7"),
        ("/api/orders/", b"/v1/", b"/api/orders/", b"/v1/"),
        ("/api/orders/", b"/v1/", b"/api/orders", b"/v1"),
        ("/api/orders/", b"/v1/", b"/api/orders?x=1", b"/v1?x=1"),
        ("/api/orders", b"/v1", b"/api/orders/7", b"/v1/7"),
        ("/api/orders", b"/v1", b"/api/orders/", b"/v1/"),
        ("/api/orders/", b"/", b"/api/orders/7", b"/7"),
        ("/api/orders/", b"/", b"/api/orders/", b"/"),
        ("/api/orders/", b"/", b"/api/orders", b"/"),
        ("/api/orders/", b"/", b"/api/orders?", b"/?"),
        ("/", b"/", b"/", b"/"),
        ("/", b"/", b"/a/b?c", b"/a/b?c"),
        ("/", b"/v1/", b"/a", b"/v1/a"),
        ("/", b"/v1/", b"/", b"/v1/"),
        ("/api/", b"/v1/", b"/api/a%2Fb+c%20d;e?&&f=&g=%zz+h", b"/v1/a%2Fb+c%20d;e?&&f=&g=%zz+h"),
        ("/api/", b"/v1/", b"/api//a", b"/v1//a"),
        ("/api/", b"/v1/", b"/api/api/api", b"/v1/api/api"),
        ("/a", b"/x/y/z/", b"/a/a", b"/x/y/z/a"),
    ],
)
def test_the_base_path_takes_the_place_of_the_routes_path_and_nothing_else_changes_k5(
    path: str, base: bytes, raw: bytes, sent: bytes
) -> None:
    target = parse_target(raw, authority_expected=b"")
    assert upstream_target(route(path, base), target) == sent


@pytest.mark.parametrize("raw", [b"/api//evil.example", b"/api///a", b"/api//"])
def test_no_upstream_target_begins_an_authority(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        upstream_target(route("/api/", b"/"), parse_target(raw, authority_expected=b""))
    assert refused.value.code is Code.TARGET_AMBIGUOUS


def test_the_upstream_gets_the_clean_fields_and_then_ours_l3() -> None:
    sent = send(
        (b"host", b"app.example.com"),
        (b"accept", b"*/*"),
        (b"authorization", b"Basic evil"),
        (b"authorization", b"Bearer evil"),
        (b"cookie", b"a=1; __Host-Http-session=secret"),
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"forwarded", b"for=1.2.3.4"),
        (b"x-request-id", b"evil"),
        (b"via", b"1.1 cdn"),
        (b"content-length", b"5"),
        (b"connection", b"authorization, host, x-forwarded-for, via2, content-length, cookie"),
    )
    assert (sent.method, sent.group.origin, sent.target) == ("GET", "http://orders:8080", b"/v1/7")
    assert sent.fields == (
        (b"host", b"orders:8080"),
        (b"accept", b"*/*"),
        (b"via", b"1.1 cdn"),
        (b"content-length", b"5"),
        (b"cookie", b"a=1"),
        (b"authorization", b"Bearer the-token"),
        (b"x-forwarded-for", b"203.0.113.9"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"app.example.com"),
        (b"forwarded", b"for=203.0.113.9;host=app.example.com;proto=https"),
        (b"via", b"1.1 gateway"),
        (b"x-request-id", b"id-1"),
    )


def test_without_a_bearer_no_authorization_leaves_h14() -> None:
    sent = send((b"authorization", b"Bearer evil"), bearer=None)
    assert values(sent.fields, b"authorization") == []


def test_a_route_that_asks_for_no_token_gets_none() -> None:
    public = replace(ORDERS, to=replace(TO, token=TokenKind.NONE))
    assert values(send(to=public).fields, b"authorization") == []


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "a\n", "\x7f", "é", "\udc80"])
def test_a_token_that_fits_into_no_field_is_not_sent(token: str) -> None:
    with pytest.raises(Unavailable) as unavailable:
        send(bearer=AccessToken(token))
    assert unavailable.value.code is Code.TOKEN_UNAVAILABLE


@pytest.mark.parametrize("size", [10, 8000])
def test_an_opaque_token_is_sent_as_it_is_h15(size: int) -> None:
    token = ("~a.b-c_d+e/f=:|" * size)[:size]
    sent = send(bearer=AccessToken(token))
    assert values(sent.fields, b"authorization") == [b"Bearer " + token.encode()]


@pytest.mark.parametrize(
    "lines",
    [
        (b"1.1 gateway, 1.1 gateway, 1.1 gateway, 1.1 gateway",),
        (b"1.1 gateway",) * (MAX_PASSES + 1),
        (b"1.1 cdn, 1.1 Gateway (x)", b"HTTP/1.1 GATEWAY,1.1 gateway", b"1.1 lb", b"2 gateway"),
    ],
)
def test_a_request_that_keeps_coming_back_is_stopped_k9(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused) as refused:
        send(*((b"via", line) for line in lines))
    assert refused.value.code is Code.LOOP_DETECTED


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"1.1 gateway",) * MAX_PASSES,
        (b"1.1 gateway2",) * 9,
        (b"1.1 my-gateway",) * 9,
        (b"gateway",) * 9,
        (b"", b",,,", b"1.1", b"\xff"),
    ],
)
def test_a_short_chain_of_gateways_is_no_loop_k9(lines: tuple[bytes, ...]) -> None:
    sent = send(*((b"via", line) for line in lines))
    assert values(sent.fields, b"via") == [*lines, b"1.1 gateway"]


def test_a_static_route_has_no_upstream() -> None:
    static = replace(ORDERS, to=ToStatic("dist", ""))
    with pytest.raises(TypeError):
        send(to=static)


@pytest.mark.parametrize(
    "query",
    [
        b"access_token=x",
        b"a=b&access_token=x",
        b"access_token",
        b"access_token=",
        b"a;access_token=x",
        b"acc%65ss_token=x",
        b"%61%63%63%65%73%73%5f%74%6f%6b%65%6e=x",
        b"ACCESS_TOKEN=x",
        b"access.token=x",
        b"access+token=x",
        b"access%20token=x",
        b"+access_token=x",
        b"access_token%20=x",
        b"access_token[]=x",
        b"access_token%5B0%5D=x",
    ],
)
def test_a_token_in_the_query_is_refused_in_every_spelling_h14_a2(query: bytes) -> None:
    raw = b"/api?" + query
    with pytest.raises(Refused) as refused:
        refuse_tokens(BrowserRequest("GET", raw, ()), parse_target(raw, authority_expected=b""))
    assert refused.value.code is Code.TOKEN_IN_REQUEST


@pytest.mark.parametrize(
    "raw",
    [
        b"/access_token=x",
        b"/a",
        b"/a?",
        b"/a?b=access_token",
        b"/a?my_access_token=x",
        b"/a?access_tokens=x",
        b"/a?access_token_id=x",
        b"/a?accesstoken=x",
        b"/a?%2561ccess_token=x",
        b"/a?b=%26access_token=x",
    ],
)
def test_other_queries_are_the_applications_own(raw: bytes) -> None:
    target = parse_target(raw, authority_expected=b"")
    refuse_tokens(BrowserRequest("GET", raw, ()), target)
    assert target.wire == raw


@pytest.mark.parametrize(
    ("value", "public"),
    [
        # the upstream's own origin and base path, absolute and path-absolute
        (b"http://orders:8080/v1/7", b"/api/orders/7"),
        (b"HTTP://Orders:8080/v1/7?a=b#c", b"/api/orders/7?a=b#c"),
        (b"http://orders:8080/v1/", b"/api/orders/"),
        (b"http://orders:8080/v1", b"/api/orders"),
        (b"http://orders:8080/v1?x", b"/api/orders?x"),
        (b"//orders:8080/v1/7", b"/api/orders/7"),
        (b"/v1/7", b"/api/orders/7"),
        (b"/v1/7/#/a\xc3\xa9", b"/api/orders/7/#/a%C3%A9"),
        (b"/v1/caf\xc3\xa9", b"/api/orders/caf%C3%A9"),
        (b"/v1", b"/api/orders"),
        (b"/v1/a%2Fb?c=d%20e", b"/api/orders/a%2Fb?c=d%20e"),
        # relative references hold on both sides
        (b"7", b"7"),
        (b"7/8?a", b"7/8?a"),
        (b"?page=2", b"?page=2"),
        (b"#x", b"#x"),
        (b"../x", b"../x"),
        (b"./a:b", b"./a:b"),
        # other hosts, our own included
        (b"https://id.example.com/login?x=y", b"https://id.example.com/login?x=y"),
        (b"http://other:8080/v1/7", b"http://other:8080/v1/7"),
        (b"https://app.example.com/home", b"https://app.example.com/home"),
        (b"//cdn.example.com/a", b"//cdn.example.com/a"),
        (b"https://[2001:db8::1]:8443/", b"https://[2001:db8::1]:8443/"),
        # internal, and outside the base path
        (b"http://orders:8080/", None),
        (b"http://orders:8080/admin", None),
        (b"http://orders:8080/v11", None),
        (b"http://orders:8080", None),
        (b"http://orders:8080/v1/../admin", None),
        (b"http://orders:8080/v1/%2e%2e/admin", None),
        (b"http://orders:9090/v1/7", None),
        (b"http://orders/v1/7", None),
        (b"https://orders:8080/v1/7", None),
        (b"http://orders.:8080/admin", None),
        (b"http://%6frders:8080/v1/7", None),
        (b"//%6frders:8080/", None),
        (b"/", None),
        (b"/login", None),
        (b"/v11", None),
        (b"/v1/../x", None),
        # in more than one way, or not at all
        (b"", None),
        (b" /v1/7", None),
        (b"/v1/ 7", None),
        (b"/v1/\t7", None),
        (b"/v1\\7", None),
        (b"/\\evil.example", None),
        (b"\\\\evil.example", None),
        (b"///evil.example", None),
        (b"http:///evil.example", None),
        (b"http:/evil.example", None),
        (b"http:evil.example", None),
        (b"https://", None),
        (b"https://user@evil.example/", None),
        (b"http://orders:8080@evil.example/", None),
        (b"http://x@orders:8080/v1/7", None),
        (b"https://evil.example:x/", None),
        (b"https://evil.example:443:443/", None),
        (b"https://[::1/", None),
        (b"javascript:alert(1)", None),
        (b"JavaScript://%0aalert(1)", None),
        (b"data:text/html,x", None),
        (b"ftp://evil.example/", None),
        (b"app://callback", None),
        (b"/v1/" + b"a" * 20_000, None),
        (b"/v1/7\x00", None),
    ],
)
def test_a_location_leads_to_a_public_place_or_nowhere_k7(
    value: bytes, public: bytes | None
) -> None:
    assert public_location(value, ORDERS, ORIGIN) == public


@pytest.mark.parametrize(
    ("path", "base", "value", "public"),
    [
        ("/", b"/", b"/a", b"/a"),
        ("/", b"/", b"/", b"/"),
        ("/", b"/v1/", b"/v1/a", b"/a"),
        ("/", b"/v1/", b"/v1", b"/"),
        ("/", b"/v1/", b"/v1?x", b"/?x"),
        ("/", b"/v1/", b"/v1//evil.example", None),
        ("/", b"/v1/", b"http://orders:8080/v1//evil.example", None),
        ("/", b"/v1/", b"/v1/%5cevil.example", None),
        ("/api/", b"/", b"/a", b"/api/a"),
        ("/api/", b"/", b"/", b"/api/"),
        ("/api/", b"/", b"http://orders:8080", b"/api/"),
        ("/api/", b"/", b"http://orders:8080//evil.example", None),
        ("/api/", b"/v1/", b"/v1//a", b"/api//a"),
    ],
)
def test_no_rewritten_location_leaves_the_public_origin_k7(
    path: str, base: bytes, value: bytes, public: bytes | None
) -> None:
    assert public_location(value, route(path, base), ORIGIN) == public


def test_default_ports_are_one_place() -> None:
    orders = route("/api/", b"/v1/", "http://orders")
    assert public_location(b"http://orders:80/v1/7", orders, ORIGIN) == b"/api/7"
    assert public_location(b"http://orders:/v1/7", orders, ORIGIN) == b"/api/7"
    assert public_location(b"http://orders:8080/v1/7", orders, ORIGIN) is None


def test_an_upstream_on_the_public_host_may_name_the_public_origin() -> None:
    here = PublicOrigin("http", "localhost", 8080)
    vite = route("/", b"/", "http://localhost:5173")
    assert public_location(b"http://localhost:5173/a", vite, here) == b"/a"
    assert public_location(b"http://localhost:8080/a", vite, here) == b"http://localhost:8080/a"


def answered(status: int, *fields: Field, session_used: bool = True) -> Fields:
    return returning(status, fields, ORDERS, ORIGIN, session_used=session_used)


def test_an_answer_comes_back_in_public_terms_k7() -> None:
    fields = answered(
        201,
        (b"location", b"http://orders:8080/v1/7"),
        (b"content-location", b"/v1/7"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"__Host-Http-session=evil"),
        (b"server", b"orders"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"0"),
    )
    assert values(fields, b"content-type") == [b"text/plain; charset=utf-8"]
    assert values(fields, b"location") == [b"/api/orders/7"]
    assert values(fields, b"content-location") == [b"/api/orders/7"]
    assert values(fields, b"set-cookie") == [b"a=1"]
    assert values(fields, b"content-length") == [b"0"]
    assert values(fields, b"cache-control") == [b"no-store"]
    assert values(fields, b"vary") == [b"Cookie, Origin, Sec-Fetch-Site, Sec-Fetch-Mode"]
    assert b"orders:8080" not in b" ".join(value for _, value in fields)


def test_an_internal_location_does_not_reach_the_browser_k7_l12() -> None:
    fields = answered(
        302,
        (b"location", b"http://orders:8080/admin"),
        (b"content-location", b"http://orders:8080/admin"),
    )
    assert b"orders" not in b" ".join(value for _, value in fields)


def test_two_equal_locations_are_one_and_two_others_are_a_split_answer() -> None:
    same = answered(302, (b"location", b"/v1/7"), (b"location", b"/v1/7"))
    assert set(values(same, b"location")) == {b"/api/orders/7"}
    with pytest.raises(Unavailable) as unavailable:
        answered(302, (b"location", b"/v1/7"), (b"location", b"/v1/8"))
    assert unavailable.value.code is Code.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(("status", "kept"), [(204, []), (200, [b"0"]), (304, [b"0"])])
def test_no_length_is_said_where_there_can_be_no_content_m9(status: int, kept: list[bytes]) -> None:
    fields = answered(status, (b"content-length", b"0"), (b"etag", b'"x"'))
    assert values(fields, b"content-length") == kept
    assert values(fields, b"etag") == [b'"x"']


def test_a_public_answer_may_be_stored() -> None:
    fields = answered(200, (b"cache-control", b"public"), session_used=False)
    assert values(fields, b"cache-control") == [b"public"]
    assert values(fields, b"vary") == []
