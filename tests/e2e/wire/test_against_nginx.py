"""The same octets through the gateway and through nginx: what arrives upstream is the same (F26).

nginx has been attacked for twenty years; where the gateway forwards something else, the table
below says so, and why. Both run as their users run them, in front of one recording upstream.
"""

from collections.abc import Iterator

import pytest

from tests.support.nginx_pair import Pair, essence, nginx_pair

pytestmark = pytest.mark.e2e

HOST = b"Host: localhost:PORT\r\n"

INPUTS = {
    "get": b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "query": b"GET /a?b=c&&d=%20+e;f=&g HTTP/1.1\r\n" + HOST + b"\r\n",
    "encoded path": b"GET /a%2Fb/%41/%7E/c+d;e=f HTTP/1.1\r\n" + HOST + b"\r\n",
    "double slash within": b"GET /a//b HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute-form": b"GET http://localhost:PORT/a?b HTTP/1.1\r\n" + HOST + b"\r\n",
    "fields": b"GET /a HTTP/1.1\r\n" + HOST
    + b"X-A: 1\r\nx-b:2\r\nX-A:  3 \t\r\nAccept: */*\r\nX-Empty:\r\n\r\n",
    "obs-text": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: \xc3\xa9\r\n\r\n",
    "head": b"HEAD /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "delete": b"DELETE /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "length": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    "length with zeros": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 005\r\n\r\nhello",
    "empty length": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    "body on GET": b"GET /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    "chunked": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "chunk extensions": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
    "trailers": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "pipeline": (b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n")
    + (b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi")
    + (b"GET /3 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "crlf first": b"\r\n\r\nGET /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "http 1.0": b"GET /a HTTP/1.0\r\n" + HOST + b"\r\n",
    "hop by hop": b"GET /a HTTP/1.1\r\n" + HOST
    + b"Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-A: 1\r\n\r\n",
    "te trailers": b"GET /a HTTP/1.1\r\n" + HOST + b"Connection: TE\r\nTE: trailers\r\n\r\n",
    "h2c": b"GET /a HTTP/1.1\r\n" + HOST
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "expect": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "other expectation": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Expect: wonders\r\nContent-Length: 5\r\n\r\nhello",
    "underscore": b"GET /a HTTP/1.1\r\n" + HOST + b"X_A: 1\r\nX-B: 2\r\n\r\n",
    "proxy": b"GET /a HTTP/1.1\r\n" + HOST + b"Proxy: evil\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\nX: 1\r\n\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "bad host": b"GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "another host": b"GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "length and coding": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "list of lengths": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 5\r\n\r\nhello",
    "signed length": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nhello",
    "spaced length": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5 \r\n\r\nhello",
    "identity, chunked": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "gzip coding": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "coding in 1.0": b"POST /a HTTP/1.0\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "fold": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n 2\r\n\r\n",
    "space before colon": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A : 1\r\n\r\n",
    "space in a name": b"GET /a HTTP/1.1\r\n" + HOST + b"X A: 1\r\n\r\n",
    "bare cr": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: 1\r2\r\n\r\n",
    "nul": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: 1\x002\r\n\r\n",
    "lone lf": b"GET /a HTTP/1.1\n" + HOST.replace(b"\r", b"") + b"\n",
    "bad chunk size": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size with a space": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    "chunk ended by lf": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "chunk without its end": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
    "huge chunk": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n",
    "dot segments": b"GET /a/../b HTTP/1.1\r\n" + HOST + b"\r\n",
    "encoded dot segments": b"GET /a/%2e%2e/b HTTP/1.1\r\n" + HOST + b"\r\n",
    "backslash": b"GET /a\\b HTTP/1.1\r\n" + HOST + b"\r\n",
    "encoded nul": b"GET /a%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "utf-8": b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "two leading slashes": b"GET //a HTTP/1.1\r\n" + HOST + b"\r\n",
    "no slash": b"GET a HTTP/1.1\r\n" + HOST + b"\r\n",
    "options asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "trace": b"TRACE /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "connect": b"CONNECT a:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "unknown method": b"FOO /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "small method": b"get /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "http 0.9": b"GET /a\r\n",
    "http 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http 1.2": b"GET /a HTTP/1.2\r\n" + HOST + b"\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "garbage": b"garbage\r\n\r\n",
}  # fmt: skip

# nginx forwards these; the gateway forwards nothing. (Which of them, depends on nginx's version.)
REFUSED = {
    "another host": "K3: the gateway answers for its own origin only",
    "other expectation": "M11: 417; nginx takes any Expect for 100-continue or ignores it",
    "spaced length": "M2: digits and nothing else",
    "lone lf": "M7: a line ends with CRLF; a reader who disagrees about it can be desynchronised",
    "chunk size with a space": "M8: a size ends with CRLF or an extension",
    "chunk ended by lf": "M8, M7",
    "fragment": "K1: no client sends one; readers differ on whether it belongs to the path",
    "dot segments": "K4: what can be read in two ways is refused instead of repaired",
    "encoded dot segments": "K4",
    "backslash": "K4",
    "two leading slashes": "K4: reads as an authority",
    "unknown method": "A5: 501",
    "http 1.2": "a version nobody has defined",
}

# Both forward these, and the gateway leaves fields out, or passes on what nginx leaves out.
FIELDS: dict[str, tuple[str, list[tuple[bytes, bytes]]]] = {
    "hop by hop": ("L1: what Connection names stays on this hop", [(b"x-a", b"1")]),
    "h2c": ("P2: nothing of an upgrade passes", []),
    "proxy": ("the upstream's libraries may take it for HTTP_PROXY", []),
    "underscore": (
        "only names that could be taken for ours are dropped (L4); nginx drops every underscore",
        [(b"x_a", b"1"), (b"x-b", b"2")],
    ),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with nginx_pair(tmp_path_factory.mktemp("pair")) as both:
        yield both


@pytest.mark.parametrize("name", INPUTS)
def test_what_arrives_is_what_nginx_would_have_forwarded_f26(pair: Pair, name: str) -> None:
    through_gateway = essence(pair.forwarded(pair.gateway, INPUTS[name]))
    through_nginx = essence(pair.forwarded(pair.nginx, INPUTS[name]))
    if name in REFUSED:
        assert through_gateway == []
    elif name in FIELDS:
        [(*gateway, fields)], [(*nginx, _)] = through_gateway, through_nginx
        assert gateway == nginx
        assert fields == FIELDS[name][1]
    else:
        assert through_gateway == through_nginx


def test_every_difference_is_about_an_input() -> None:
    assert {*REFUSED, *FIELDS} <= INPUTS.keys()
    assert not REFUSED.keys() & FIELDS.keys()


def test_neither_leaves_half_a_request_at_the_upstream_that_looks_whole_f26(pair: Pair) -> None:
    """What was cut off there is what both had begun to forward."""
    for name in ("chunk without its end", "bad chunk size", "huge chunk"):
        assert pair.forwarded(pair.gateway, INPUTS[name]) == []
        assert pair.forwarded(pair.nginx, INPUTS[name]) == []
