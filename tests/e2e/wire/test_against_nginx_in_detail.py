"""What arrives upstream is what nginx would have forwarded, except the documented changes (F26).

Targets, fields, methods and bodies, one request each. `tests/e2e/wire/test_against_nginx.py` holds
what is malformed, and what one of the two refuses.
"""

from collections.abc import Iterator

import pytest

from tests.support.nginx_pair import Pair, essence, nginx_pair
from tests.support.target_cases import PASSED, REFUSED, STATUS

pytestmark = pytest.mark.e2e

HOST = b"Host: localhost:PORT\r\n"

FIELDS: dict[str, bytes] = {
    "none": b"",
    "of a browser": b"User-Agent: Mozilla/5.0 (X11)\r\nAccept: text/html,*/*;q=0.8\r\n"
    b"Accept-Language: de,en;q=0.5\r\nAccept-Encoding: gzip, br\r\nReferer: http://localhost/x\r\n"
    b"Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\nDNT: 1\r\nPragma: no-cache\r\n",
    "conditional": b'If-None-Match: "a", W/"b"\r\nIf-Modified-Since: x\r\nIf-Match: *\r\n',
    "ranges": b'Range: bytes=0-1,5-\r\nIf-Range: "a"\r\n',
    "repeated": b"X-A: 1\r\nX-A: 2\r\nX-A: 1\r\n",
    "repeated, others between": b"X-A: 1\r\nX-B: 2\r\nX-A: 3\r\nX-C: 4\r\nX-B: 5\r\n",
    "in this order": b"Z: 1\r\nY: 2\r\nX: 3\r\nA: 4\r\nB: 5\r\n",
    "case of names": b"x-A: 1\r\nX-a: 2\r\nx-a: 3\r\nX-A: 4\r\n",
    "no space before the value": b"X-A:1\r\nX-B:  2\r\n",
    "white space around values": b"X-A: \t 1 \t \r\nX-B:\t2\t\r\n",
    "white space within values": b"X-A: a  b\tc\r\n",
    "empty values": b"X-A:\r\nX-B: \r\nX-C: \t\r\nX-A: 1\r\n",
    "colons and commas": b'X-A: a: b, "c, d";e=f,,\r\nX-B: :\r\n',
    "quotes that do not close": b'X-A: "\\\r\n',
    "obs-text": b"X-A: \xc3\xa9\xff\x80\r\n",
    "every visible octet": b"X-A: " + bytes(range(0x21, 0x7F)) + b"\r\n",
    "looks like a request": b"X-A: GET / HTTP/1.1\r\nX-B: Host: evil\r\n",
    "a digit first": b"1: 2\r\n3-X: 4\r\n",
    "one letter": b"A: 1\r\n",
    "hyphens": b"--: 1\r\nX--A: 2\r\n-X-: 3\r\n",
    "long names": b"X-" + b"A" * 120 + b": 1\r\n",
    "long values": b"X-A: " + b"v" * 8000 + b"\r\n",
    "many": b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(90)),
    "content fields": b"Content-Type: text/x; charset=utf-8\r\nContent-Language: de\r\n"
    b"Content-Encoding: gzip\r\nContent-Location: /x\r\n",
    "Connection: close": b"Connection: close\r\nX-A: 1\r\n",
    "Connection: keep-alive": b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nX-A: 1\r\n",
    "X-Forwarded-For and its family": b"X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n"
    b"X-Forwarded-Proto: x\r\nX-Forwarded-Host: y\r\nVia: 1.1 z\r\nX-Request-Id: 1\r\nX-A: 1\r\n",
}  # fmt: skip

# Why the gateway's is another, and what it forwards of the fields then.
DOCUMENTED: dict[str, tuple[str, bytes, list[tuple[bytes, bytes]]]] = {
    "cookies": (
        "A7: none passes that is not listed",
        b"Cookie: a=1\r\nX-A: 1\r\n",
        [(b"x-a", b"1")],
    ),
    "credentials": (
        "H14, L3: the upstream gets the gateway's, never a browser's",
        b"Authorization: Bearer x\r\nProxy-Authorization: Basic y\r\nDPoP: z\r\nX-A: 1\r\n",
        [(b"x-a", b"1")],
    ),
    "identity": (
        "L4: only the gateway says who somebody is, in every spelling",
        b"X-Forwarded-User: a\r\nX-Auth-Request-Email: b\r\nX_Forwarded_User: c\r\nX-A: 1\r\n",
        [(b"x-a", b"1")],
    ),
    "method override": (
        "C8: the method is the one that was judged",
        b"X-HTTP-Method-Override: DELETE\r\nX-Method-Override: PUT\r\nX-A: 1\r\n",
        [(b"x-a", b"1")],
    ),
    "address rewriting": (
        "K4: the target is the one that was judged",
        b"X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-A: 1\r\n",
        [(b"x-a", b"1")],
    ),
    "the proof against cross-site requests": (
        "C1: it is for the gateway",
        b"X-CSRF: 1\r\nX-A: 1\r\n",
        [(b"x-a", b"1")],
    ),
    "Max-Forwards": ("L6: it counts for TRACE and OPTIONS", b"Max-Forwards: 3\r\n", []),
    "named by Connection": (
        "L1: what Connection names stays on this hop",
        b"Connection: x-a, close\r\nX-A: 1\r\nX-B: 2\r\n",
        [(b"x-b", b"2")],
    ),
    "odd names": (
        "every token is a name (RFC 9110 section 5.1); nginx knows letters, digits, hyphens",
        b"X.A: 1\r\nX!#$%&'*+^`|~: 2\r\nX-B: 3\r\n",
        [(b"x.a", b"1"), (b"x!#$%&'*+^`|~", b"2"), (b"x-b", b"3")],
    ),
    "trace context": (
        "L14: checked, and put behind the other fields (RFC 9110 section 5.3 lets it)",
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX-A: 1\r\n",
        [
            (b"x-a", b"1"),
            (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ],
    ),
    "trace context that is none": ("L14", b"traceparent: x\r\nX-A: 1\r\n", [(b"x-a", b"1")]),
}

BODIES: dict[str, bytes] = {
    "none": b"\r\n",
    "an empty one": b"Content-Length: 0\r\n\r\n",
    "of a length": b"Content-Length: 5\r\n\r\nhello",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "in many chunks": b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200 + b"0\r\n\r\n",
    "chunked and empty": b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "with extensions and trailers": b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\n"
    b"X-T: 1\r\n\r\n",
    "in capitals": b"TRANSFER-ENCODING: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "large": b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
    "large and chunked": b"Transfer-Encoding: chunked\r\n\r\n"
    + (b"10000\r\n" + b"y" * 65536 + b"\r\n") * 4 + b"0\r\n\r\n",
    "every octet": b"Content-Length: 256\r\n\r\n" + bytes(range(256)),
    "that looks like a request": b"Content-Length: 27\r\n\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "that looks like chunks": b"Content-Length: 10\r\n\r\n0\r\n\r\n0\r\n\r\n",
}  # fmt: skip

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with nginx_pair(tmp_path_factory.mktemp("pair")) as both:
        yield both


def request(fields: bytes, target: bytes = b"/a", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + fields


def alike(pair: Pair, octets: bytes) -> None:
    """Both forward it, once, and the same."""
    ours, through_gateway = pair.answered(pair.gateway, octets)
    theirs, through_nginx = pair.answered(pair.nginx, octets)
    assert essence(through_gateway) == essence(through_nginx)
    assert len(through_gateway) == 1
    assert (ours.status, ours.body) == (theirs.status, theirs.body)


@pytest.mark.parametrize("case", PASSED)
def test_targets_arrive_as_through_nginx_f26_k5(pair: Pair, case: str) -> None:
    alike(pair, request(b"\r\n", PASSED[case]))
    _, (arrived,) = pair.answered(pair.gateway, request(b"\r\n", PASSED[case]))
    assert arrived.target == PASSED[case]


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_arrives_through_nginx_at_most_f26_k4(pair: Pair, case: str) -> None:
    answer, arrived = pair.answered(pair.gateway, request(b"\r\n", REFUSED[case]))
    assert (answer.status, arrived) == (STATUS.get(case, 400), [])


@pytest.mark.parametrize("case", FIELDS)
def test_fields_arrive_as_through_nginx_f26_l8(pair: Pair, case: str) -> None:
    alike(pair, request(FIELDS[case] + b"\r\n"))


@pytest.mark.parametrize("case", DOCUMENTED)
def test_fields_that_do_not_are_documented_f26(pair: Pair, case: str) -> None:
    _, fields, expected = DOCUMENTED[case]
    _, (arrived,) = pair.answered(pair.gateway, request(fields + b"\r\n"))
    _, (compared,) = pair.answered(pair.nginx, request(fields + b"\r\n"))
    (*ours, left), (*theirs, other) = essence([arrived])[0], essence([compared])[0]
    assert ours == theirs
    assert left == expected
    assert left != other  # else it belongs into the table above


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("method", METHODS)
def test_bodies_arrive_as_through_nginx_f26_m15(pair: Pair, method: str, body: str) -> None:
    alike(pair, request(b"X-A: 1\r\n" + BODIES[body], method=method.encode()))


def test_options_are_answered_here_and_not_asked_upstream_c9(pair: Pair) -> None:
    answer, arrived = pair.answered(pair.gateway, request(b"\r\n", method=b"OPTIONS"))
    assert (answer.status, arrived) == (204, [])
