from dataclasses import replace

import pytest

from gateway.edge.forwarded import ForwardedPolicy
from gateway.edge.messages import BrowserRequest, Field, UpstreamRequest
from gateway.edge.outgoing import MAX_PASSES, outgoing, refuse_tokens, upstream_target
from gateway.edge.routes import Route, TokenKind, ToStatic
from gateway.edge.target import parse_target
from gateway.errors import Code, Refused, Unavailable
from gateway.secret import AccessToken
from tests.support.orders_route import ORDERS, ORIGIN, TO, route, values

BEARER = AccessToken("the-token")


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
        refuse_tokens(parse_target(raw, authority_expected=b""))
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
    refuse_tokens(target)
    assert target.wire == raw
