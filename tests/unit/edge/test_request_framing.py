"""How a request is written: framing is ours, and nothing adds a line (M15, L7)."""

import pytest

from gateway.edge.messages import Fields, UpstreamRequest
from gateway.edge.request_framing import (
    chunk,
    head_before_body,
    head_of_check,
    head_of_upgrade,
    head_without_body,
    last_chunk,
)
from gateway.edge.upstream_group import UpstreamGroup

HOST: Fields = ((b"host", b"a:1"),)


def request(method: str = "GET", target: bytes = b"/x?y", fields: Fields = HOST) -> UpstreamRequest:
    return UpstreamRequest(method, UpstreamGroup(("http://a:1",)), target, fields)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_request_without_a_body_says_nothing_of_one(method: str) -> None:
    head = head_without_body(request(method))
    assert head == method.encode() + b" /x?y HTTP/1.1\r\nhost: a:1\r\n\r\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_where_a_body_is_expected_its_absence_is_said(method: str) -> None:
    assert head_without_body(request(method)).endswith(b"\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_length_without_a_body_never_goes_out_m15(method: str) -> None:
    head = head_without_body(request(method, fields=(*HOST, (b"content-length", b"5"))))
    assert b"content-length: 5" not in head


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "HEAD"])
def test_a_body_is_framed_whatever_the_method_m15(method: str) -> None:
    known = head_before_body(request(method, fields=(*HOST, (b"content-length", b"5"))), 5)
    assert known.count(b"content-length: 5\r\n") == known.lower().count(b"content-length") == 1
    assert b"transfer-encoding" not in known
    unknown = head_before_body(request(method), None)
    assert unknown.endswith(b"\r\ntransfer-encoding: chunked\r\n\r\n")
    assert b"content-length" not in unknown


def test_an_upgrade_is_asked_for_with_the_field_that_names_it() -> None:
    head = head_of_upgrade(request(fields=(*HOST, (b"upgrade", b"websocket"))))
    assert head == (
        b"GET /x?y HTTP/1.1\r\nhost: a:1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n"
    )


def test_a_check_carries_nothing_of_anybody() -> None:
    assert head_of_check("a:1", b"/health") == (
        b"GET /health HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    "what",
    [
        request(fields=((b"x", b"a\r\nevil: 1"),)),
        request(fields=((b"x", b"a\nevil: 1"),)),
        request(fields=((b"x", b"a\revil: 1"),)),
        request(fields=((b"x\r\nevil", b"a"),)),
        request(target=b"/x HTTP/1.1\r\nevil: 1\r\n\r\n"),
        request(target=b"/x y"),
        request(target=b"/x\n"),
        request(target=b"/x\x00"),
    ],
)
def test_no_field_and_no_target_can_add_a_line_l7(what: UpstreamRequest) -> None:
    for write in (head_without_body, head_of_upgrade, lambda that: head_before_body(that, 1)):
        with pytest.raises(ValueError, match="line break"):
            write(what)


def test_chunks() -> None:
    assert chunk(b"0123456789abcdefg") == b"11\r\n0123456789abcdefg\r\n"
    assert chunk(b"") == b""  # would end the body
    assert last_chunk() == b"0\r\n\r\n"
