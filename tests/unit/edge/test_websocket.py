"""WebSocket handshakes: the rules of RFC 6455 section 4, and ours on top (P1, P2, P5)."""

import pytest

from gateway.edge.messages import BrowserRequest, Fields, UpstreamRequest
from gateway.edge.upstream_group import UpstreamGroup
from gateway.edge.websocket import (
    Handshake,
    asks_for_websocket,
    check_handshake,
    for_upstream,
    switching_fields,
)
from gateway.errors import Code, Refused, Unavailable

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 section 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

ASKED: dict[bytes, bytes] = {
    b"connection": b"keep-alive, Upgrade",
    b"upgrade": b"websocket",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": KEY,
}


def request(
    changes: dict[bytes, bytes | None] | None = None,
    *more: tuple[bytes, bytes],
    method: str = "GET",
) -> BrowserRequest:
    fields = {**ASKED, **(changes or {})}
    kept = tuple((name, value) for name, value in fields.items() if value is not None)
    return BrowserRequest(method, b"/live", (*kept, *more))


def refusal(asked: BrowserRequest) -> Refused:
    with pytest.raises(Refused) as caught:
        check_handshake(asked)
    return caught.value


@pytest.mark.parametrize(
    ("upgrade", "asks"),
    [
        (b"websocket", True),
        (b"WebSocket", True),
        (b" websocket ", True),
        (b"h2c, websocket", True),
        (b"h2c", False),
        (b"websocket/13", False),
        (b"websockets", False),
        (b"web socket", False),
        (b"", False),
        (None, False),
    ],
)
def test_only_websocket_is_a_protocol_p2(upgrade: bytes | None, asks: bool) -> None:
    assert asks_for_websocket(request({b"upgrade": upgrade})) is asks


def test_a_right_handshake_is_accepted_and_answers_as_the_rfc_says() -> None:
    handshake = check_handshake(request())
    assert handshake == Handshake(KEY, ())
    assert handshake.accept == ACCEPT


@pytest.mark.parametrize(
    "changes",
    [
        {b"connection": None},
        {b"connection": b"keep-alive"},
        {b"connection": b"upgraded"},
        {b"sec-websocket-key": None},
        {b"sec-websocket-key": b""},
        {b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ"},
        {b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZSE="},
        {b"sec-websocket-key": b"dGhlIHNhbXBsZQ=="},
        {b"sec-websocket-key": b"dGhlIHNhbXBs\xc3\xa9IG5vbmNlCg=="},
        {b"sec-websocket-key": KEY + b" "},
        {b"content-length": b"0"},
        {b"content-length": b"5"},
        {b"transfer-encoding": b"chunked"},
        {b"sec-websocket-protocol": b""},
        {b"sec-websocket-protocol": b"a,,b"},
        {b"sec-websocket-protocol": b"a, a"},
        {b"sec-websocket-protocol": b"a b"},
        {b"sec-websocket-protocol": b"a;b"},
        {b"sec-websocket-protocol": b", ".join(b"p%d" % n for n in range(33))},
    ],
    ids=repr,
)
def test_a_handshake_that_is_not_well_formed_is_refused(changes: dict[bytes, bytes | None]) -> None:
    assert refusal(request(changes)).code is Code.WEBSOCKET_MALFORMED


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT"])
def test_only_get_opens_a_websocket(method: str) -> None:
    assert refusal(request(method=method)).code is Code.WEBSOCKET_MALFORMED


@pytest.mark.parametrize("name", [b"sec-websocket-key", b"sec-websocket-version"])
def test_a_field_that_occurs_twice_is_none(name: bytes) -> None:
    assert refusal(request(None, (name, ASKED[name]))).code in (
        Code.WEBSOCKET_MALFORMED,
        Code.WEBSOCKET_VERSION,
    )


@pytest.mark.parametrize("version", [None, b"8", b"12", b"14", b"13, 8", b"013", b""])
def test_another_version_is_told_which_one_is_spoken(version: bytes | None) -> None:
    refused = refusal(request({b"sec-websocket-version": version}))
    assert refused.code is Code.WEBSOCKET_VERSION
    assert (b"sec-websocket-version", b"13") in refused.fields
    assert (b"upgrade", b"websocket") in refused.fields  # RFC 9110 section 15.5.22


def test_subprotocols_keep_their_order_over_all_lines() -> None:
    asked = request(
        {b"sec-websocket-protocol": b"chat , v2.chat"}, (b"sec-websocket-protocol", b"x")
    )
    assert check_handshake(asked).protocols == (b"chat", b"v2.chat", b"x")


@pytest.mark.parametrize(
    "protocol",
    [
        b"graphql-transport-ws",
        b"graphql-ws",
        b"mqtt",
        b"v12.stomp",
        b"wamp.2.json",
        b"ocpp1.6",
        b"actioncable-v1-json",
        b"vite-hmr",
        b"v4.channel.k8s.io",
        b"base64.binary.k8s.io",
        b"soap",
        b"json",
        b"token-ring",
        b"forbearer",
        b"a.b.c",
        b"eyJ",
    ],
)
def test_a_subprotocol_is_not_mistaken_for_a_token(protocol: bytes) -> None:
    assert check_handshake(request({b"sec-websocket-protocol": protocol})).protocols == (protocol,)


@pytest.mark.parametrize(
    "offered",
    [
        b"access_token",
        b"access_token, opaque-token-value",
        b"chat, Access_Token",
        b"access-token",
        b"accesstoken.abc",
        b"id_token",
        b"bearer",
        b"Bearer",
        b"bearer.abcdef",
        b"bearer-abcdef",
        b"bearerabcdef",
        b"authorization.abc",
        b"authorization.bearer.abc",
        b"base64url.bearer.authorization.k8s.io.dG9rZW4",
        b"x-bearer-abc",
        b"jwt, abc",
        b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        b"chat, eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        b"auth-eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        b"eyJhbGciOiJkaXIifQ..aXY.Y3Q.dGFn",
    ],
)
def test_a_token_among_the_subprotocols_is_refused_p5(offered: bytes) -> None:
    assert refusal(request({b"sec-websocket-protocol": offered})).code is Code.TOKEN_IN_REQUEST


def test_a_huge_subprotocol_costs_no_more_than_reading_it() -> None:
    offered = b"eyJ" * 20000 + b"!" + b"bearer-" * 2000
    refusal(request({b"sec-websocket-protocol": offered}))  # within the test's own patience


# -- to the upstream and back


def upstream_request(*fields: tuple[bytes, bytes]) -> UpstreamRequest:
    return UpstreamRequest("GET", UpstreamGroup(("http://api:80",)), b"/live", fields)


def test_the_upstream_is_asked_with_fields_written_anew_and_no_extension() -> None:
    handshake = Handshake(KEY, (b"chat", b"v2.chat"))
    asked = for_upstream(
        upstream_request((b"host", b"api"), (b"authorization", b"Bearer t")), handshake
    )
    assert asked.fields == (
        (b"host", b"api"),
        (b"authorization", b"Bearer t"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", KEY),
        (b"sec-websocket-protocol", b"chat, v2.chat"),
    )
    bare = for_upstream(upstream_request(), Handshake(KEY, ()))
    assert [name for name, _ in bare.fields] == [
        b"upgrade",
        b"sec-websocket-version",
        b"sec-websocket-key",
    ]


SWITCHED: Fields = (
    (b"Upgrade", b"WebSocket"),
    (b"Connection", b"upgrade"),
    (b"Sec-WebSocket-Accept", ACCEPT),
    (b"Server", b"inner"),
)


def test_an_accepted_handshake_is_passed_on() -> None:
    assert switching_fields(Handshake(KEY, ()), SWITCHED) == (
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", ACCEPT),
    )


def test_the_chosen_subprotocol_is_echoed_as_it_was_chosen_p5() -> None:
    chosen = (*SWITCHED, (b"sec-websocket-protocol", b"v2.chat"))
    fields = switching_fields(Handshake(KEY, (b"chat", b"v2.chat")), chosen)
    assert fields[-1] == (b"sec-websocket-protocol", b"v2.chat")


@pytest.mark.parametrize(
    "fields",
    [
        (),
        SWITCHED[1:],
        (SWITCHED[0], *SWITCHED[2:]),
        SWITCHED[:2],
        ((b"upgrade", b"h2c"), *SWITCHED[1:]),
        ((b"upgrade", b"websocket, h2c"), *SWITCHED[1:]),
        (*SWITCHED[:2], (b"sec-websocket-accept", b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        (*SWITCHED, (b"sec-websocket-accept", ACCEPT)),
        (*SWITCHED, (b"sec-websocket-extensions", b"permessage-deflate")),
        (*SWITCHED, (b"sec-websocket-extensions", b"")),
        (*SWITCHED, (b"sec-websocket-protocol", b"other")),
        (*SWITCHED, (b"sec-websocket-protocol", b"Chat")),
        (*SWITCHED, (b"sec-websocket-protocol", b"chat, v2.chat")),
        (*SWITCHED, (b"sec-websocket-protocol", b"chat"), (b"sec-websocket-protocol", b"v2.chat")),
    ],
    ids=repr,
)
def test_a_101_that_a_browser_would_not_accept_is_a_502(fields: Fields) -> None:
    with pytest.raises(Unavailable) as caught:
        switching_fields(Handshake(KEY, (b"chat", b"v2.chat")), fields)
    assert caught.value.code is Code.UPSTREAM_PROTOCOL


def test_a_subprotocol_nobody_asked_for_is_a_502() -> None:
    with pytest.raises(Unavailable):
        switching_fields(Handshake(KEY, ()), (*SWITCHED, (b"sec-websocket-protocol", b"chat")))
