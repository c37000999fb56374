"""WebSocket handshakes against a whole implementation: what `websockets` refuses, we refuse."""

import re

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from gateway.edge.messages import BrowserRequest, Fields, UpstreamRequest
from gateway.edge.upstream_group import UpstreamGroup
from gateway.edge.websocket import (
    Handshake,
    asks_for_websocket,
    check_handshake,
    for_upstream,
    switching_fields,
)
from gateway.errors import Refused, Unavailable
from tests.support.corpus import read_corpus
from tests.support.examples import examples
from tests.support.parsers import fields_of
from tests.support.parsers.edge import HANDSHAKE

GROUP = UpstreamGroup(("http://orders:8080",))
RIGHT = read_corpus("websocket_request")[0]

NAMES = st.sampled_from(
    [
        *(b"upgrade", b"connection", b"sec-websocket-version", b"sec-websocket-key"),
        *(b"sec-websocket-protocol", b"sec-websocket-extensions", b"sec-websocket-accept"),
        *(b"content-length", b"x"),
    ]
)
VALUES = st.sampled_from(
    [
        *(b"websocket", b"WebSocket", b"h2c", b"websocket, h2c", b"Upgrade", b"upgrade, x"),
        *(b"keep-alive", b"13", b"8", b"13, 8", HANDSHAKE.key, HANDSHAKE.key[:-1], b""),
        *(HANDSHAKE.accept, HANDSHAKE.accept.lower(), b"chat", b"superchat", b"chat, superchat"),
        *(b"other", b"permessage-deflate", b"0", b","),
    ]
) | st.binary(max_size=12).map(lambda octets: re.sub(rb"[\x00-\x1f\x7f-\xff]", b"", octets))

_TOKENS = re.compile(rb"[A-Za-z0-9-]+(?:, [A-Za-z0-9-]+)*")


@st.composite
def changed(draw: st.DrawFn, base: Fields) -> Fields:
    """The fields with a few of them left out, put in or given another value."""
    fields = [field for field in base if draw(st.integers(0, 9))]
    for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=3)):
        at = draw(st.integers(0, len(fields)))
        if name in (b"upgrade", b"connection") and not _TOKENS.fullmatch(value):
            # RFC 9110 section 5.6.1.2 has us take empty members, which `websockets` does not.
            value = b"x"  # noqa: PLW2901
        if draw(st.booleans()):
            fields = [field for field in fields if field[0] != name]
        fields.insert(min(at, len(fields)), (name, value.strip(b" \t")))
    return tuple(fields)


def headers_of(fields: Fields) -> Headers:
    return Headers([(name.decode(), value.decode("latin-1")) for name, value in fields])


@examples(400)
@given(changed(fields_of(RIGHT)))
@example(fields_of(RIGHT))
def test_a_handshake_we_let_pass_is_one_for_a_whole_server_and_so_is_what_we_send_p5(
    fields: Fields,
) -> None:
    request = BrowserRequest("GET", b"/", fields)
    if not asks_for_websocket(request):
        return
    try:
        handshake = check_handshake(request)
    except Refused:
        return
    sent = for_upstream(UpstreamRequest("GET", GROUP, b"/", ()), handshake)
    written = (*sent.fields, (b"connection", b"Upgrade"))
    # A list that names websocket among others is right (RFC 9110 section 7.8); upstreams get one.
    one_upgrade = [value.lower() for value in request.values(b"upgrade")] == [b"websocket"]
    for asked in (fields, written) if one_upgrade else (written,):
        offered = [Subprotocol(one.decode()) for one in handshake.protocols]
        server = ServerProtocol(subprotocols=offered or None)
        answer = server.accept(Request("/", headers_of(asked)))
        assert answer.status_code == 101, server.handshake_exc
        said = tuple(
            (name.lower().encode(), value.encode()) for name, value in answer.headers.raw_items()
        )
        ours = dict(switching_fields(handshake, said))
        assert ours[b"sec-websocket-accept"] == handshake.accept
        assert ours.get(b"sec-websocket-protocol", b"") in (b"", *handshake.protocols)


ANSWER: Fields = (
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-accept", HANDSHAKE.accept),
)


@examples(400)
@given(changed(ANSWER))
@example(ANSWER)
@example((*ANSWER, (b"sec-websocket-protocol", b"chat")))
def test_a_101_we_let_pass_is_one_for_a_whole_client_and_so_is_what_we_make_of_it_p5(
    fields: Fields,
) -> None:
    try:
        ours = switching_fields(HANDSHAKE, fields)
    except Unavailable:
        return
    for answer in (fields, ours):
        client = client_that_asked(HANDSHAKE)
        client.process_response(Response(101, "Switching Protocols", headers_of(answer)))
        chosen = dict(ours).get(b"sec-websocket-protocol")
        assert client.subprotocol == (chosen.decode() if chosen else None)


def client_that_asked(handshake: Handshake) -> ClientProtocol:
    offered = [Subprotocol(one.decode()) for one in handshake.protocols]
    client = ClientProtocol(parse_uri("ws://gateway/"), subprotocols=offered)
    client.key = handshake.key.decode()
    return client


def test_the_other_implementation_does_refuse() -> None:
    """Both tests above would prove nothing if it took whatever comes."""
    server = ServerProtocol()
    assert server.accept(Request("/", headers_of(fields_of(RIGHT)[1:]))).status_code == 426
    client = client_that_asked(HANDSHAKE)
    wrong = (*ANSWER[:2], (b"sec-websocket-accept", b"x"))
    try:
        client.process_response(Response(101, "X", headers_of(wrong)))
    except InvalidHandshake:
        return
    raise AssertionError("taken")
