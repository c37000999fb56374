"""The one place where a request line is read twice: here, and by the parser (K1, M2)."""

from typing import Any

import httptools
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.server.heads import Head, Heads, about_request

BLOCK = b"\r\nHost: x\r\nCookie: k=v\r\n\r\n"
FIELDS = [(b"host", b"x"), (b"cookie", b"k=v")]

method = st.sampled_from(
    [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"POST", b"get", b"G", b"PRI", b""]
)
octet = st.sampled_from([bytes([number]) for number in range(256)])
tame = st.sampled_from([b"/", b"a", b"?", b"%2F", b"..", b"=", b"&", b";", b":", b"@", b"//", b"~"])
target = st.lists(st.one_of(tame, octet), max_size=12).map(b"".join)
space = st.sampled_from([b" ", b" ", b" ", b"  ", b"\t", b""])
version = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.1 ", b"HTTP/2.0", b""])
line = st.tuples(method, space, target, space, version).map(b"".join)


class Parsed:
    """What the parser makes of a head; `times` says how many requests it saw begin."""

    def __init__(self, octets: bytes) -> None:
        self.url = b""
        self.whole = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(octets)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_message_complete(self) -> None:
        self.whole += 1


def remembering() -> Heads:
    heads = Heads()
    head = Head(about_request(b"GET", "1.1", b"/first", FIELDS, "3.0"))
    for _ in range(2):
        heads.keep(b"GET /first HTTP/1.1" + BLOCK, head)
    assert heads.blocks == 1
    return heads


def compared(scope: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scope.items() if not name.startswith("gateway.same_")}


@settings(max_examples=1500, deadline=None)
@given(line)
@example(b"GET /a?b=%2F HTTP/1.1")
@example(b"DELETE /a;b=c/@:!$&'()*+,~ HTTP/1.1")
@example(b"GET /a?b#c HTTP/1.1")
def test_a_line_that_is_read_here_is_read_in_the_same_way_by_the_parser_k1(line: bytes) -> None:
    octets = line + BLOCK
    found = remembering().find_beside(octets, 1000)
    if found is None:
        return  # the long way
    parsed = Parsed(octets)
    assert parsed.whole == 1
    assert (parsed.parser.get_http_version(), parsed.parser.should_upgrade()) == ("1.1", False)
    wanted = about_request(parsed.parser.get_method(), "1.1", parsed.url, FIELDS, "3.0")
    assert compared(found.scope) == compared(wanted)


@settings(max_examples=50, deadline=None)
@given(st.text("aZ09._~%!$&'()*+,;=:@?/-", max_size=300).map(str.encode))
def test_plain_lines_are_read_here_and_long_ones_are_not_k10(target: bytes) -> None:
    octets = b"GET /" + target + b" HTTP/1.1" + BLOCK
    assert remembering().find_beside(octets, len(target) + 1) is not None
    assert remembering().find_beside(octets, len(target)) is None
