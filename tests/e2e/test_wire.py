"""Octets on a real socket against the running gateway (sections K and M, as far as they are here).

Each test ends by asking whether the next request is still read right.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.echo_server import Echo, echo_server
from tests.support.http_answer import read_all, statuses
from tests.support.open_gateway import OpenGateway, open_gateway

pytestmark = pytest.mark.e2e

PATIENCE = 10.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenGateway]:
    with echo_server() as port:
        route = {"upstream": f"http://127.0.0.1:{port}/"}
        folder = tmp_path_factory.mktemp("wire")
        with open_gateway(folder, {"/open/": route}, workers="auto") as gateway:
            yield gateway


def test_a_plain_request_and_the_next_on_the_same_connection(wire: OpenGateway) -> None:
    one = b"GET /open/a%2Fb?x=1&&y HTTP/1.1\r\n" + wire.host + b"\r\n"
    last = b"GET /open/z HTTP/1.1\r\n" + wire.host + b"Connection: close\r\n\r\n"
    answer = wire.say(one + last)
    assert statuses(answer) == [200, 200]
    assert b"GET /a%2Fb?x=1&&y HTTP/1.1" in answer
    assert answer.lower().count(b"\r\ndate:") == 2


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET /open/x HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /open/x HTTP/1.1\r\nHost: localhost:%d\r\nHost: localhost:%d\r\n\r\n", 400),
        (b"GET /open/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET http://evil.example/open/x HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", 421),
        (b"GET http://localhost:%d/open/x HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", 200),
        (b"GET @evil.example/open HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", 400),
        (b"GET /open/x#frag HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", 400),
        (b"GET /open/\xc3\xa9 HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", 400),
        (b"GET /open/x HTTP/1.1\r\nHost: localhost:%d\r\n X: folded\r\n\r\n", 400),
        (b"GET /open/x HTTP/1.1\r\nHost : localhost:%d\r\n\r\n", 400),
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (
            (
                b"POST /open/x HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 1\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (b"POST /open/x HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: +5\r\n\r\n12345", 400),
        (b"TRACE /open/x HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", 501),
    ],
)
def test_odd_requests_get_a_4xx_and_reach_no_upstream(
    wire: OpenGateway, octets: bytes, status: int
) -> None:
    before = len(Echo.seen)
    octets = octets.replace(b"%d", str(wire.port).encode())
    head, _, _ = octets.partition(b"\r\n\r\n")
    with_close = octets.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    answer = wire.say(with_close if b"Host" in head else octets)
    assert statuses(answer)[0] == status
    if status != 200:
        assert len(Echo.seen) == before
        assert b'"code":' in answer.replace(b'"code": ', b'"code":')
    assert statuses(
        wire.say(b"GET /open/n HTTP/1.1\r\n" + wire.host + b"Connection: close\r\n\r\n")
    ) == [200]


def test_what_never_became_a_request_is_in_the_audit_log(wire: OpenGateway) -> None:
    wire.say(b"garbage\r\n\r\n")
    wire.program.wait_for("request.malformed")
    lines = [json.loads(line) for line in wire.program.output.splitlines()]
    refused = [line for line in lines if line.get("code") == "request.malformed"]
    assert refused
    assert refused[-1]["client"] == "127.0.0.1"
    assert "Invalid HTTP request" not in wire.program.output


def test_a_head_that_never_ends_is_refused_while_it_grows_k10(wire: OpenGateway) -> None:
    with wire.connect() as link:
        link.sendall(b"GET /open/x HTTP/1.1\r\n" + wire.host + b"X-Endless: ")
        with contextlib.suppress(OSError):
            for _ in range(100):
                link.sendall(b"x" * 4096)
                time.sleep(0.001)
        assert statuses(link.recv(65536)) == [431]


def test_a_trailer_never_becomes_a_field_l9(wire: OpenGateway) -> None:
    octets = (
        b"POST /open/t HTTP/1.1\r\n" + wire.host + b"Transfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Planted: 1\r\nAuthorization: Bearer x\r\n\r\n"
    )
    answer = wire.say(octets)
    assert statuses(answer) == [200]
    assert b"planted" not in answer.lower()
    assert b"Bearer x" not in answer


@pytest.mark.parametrize("pieces", [1, 50])
def test_a_head_too_large_is_a_431_at_once_or_bit_by_bit_k10(
    wire: OpenGateway, pieces: int
) -> None:
    field = b"X-Big: " + b"x" * 90_000
    octets = b"GET /open/x HTTP/1.1\r\n" + wire.host + field + b"\r\n\r\n"
    size = len(octets) // pieces + 1
    with wire.connect() as link:
        try:
            for start in range(0, len(octets), size):
                link.sendall(octets[start : start + size])
                time.sleep(0.002)
        except OSError:
            pass  # it has been refused while it was still growing
        assert statuses(link.recv(65536)) == [431]


def test_a_body_behind_an_upgrade_never_becomes_the_next_request_p2(wire: OpenGateway) -> None:
    smuggled = b"GET /open/SMUGGLED HTTP/1.1\r\n" + wire.host + b"\r\n"
    head = (
        b"POST /open/x HTTP/1.1\r\n" + wire.host + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    with wire.connect() as link:
        link.sendall(head % len(smuggled))
        answer = link.recv(65536)
        with contextlib.suppress(OSError):  # refused and closed by then
            link.sendall(smuggled)
            answer += read_all(link)
    assert statuses(answer) == [501]
    assert not any("SMUGGLED" in line for line in Echo.seen)


def test_an_upgrade_without_a_body_is_a_plain_request_and_the_last_p2(wire: OpenGateway) -> None:
    octets = (
        b"GET /open/x HTTP/1.1\r\n" + wire.host + b"Connection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    )
    answer = wire.say(octets)
    assert statuses(answer) == [200]
    assert b"settings" not in answer.lower()


def test_many_fields_within_the_limit_pass(wire: OpenGateway) -> None:
    fields = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 20) for n in range(60))
    octets = b"GET /open/x HTTP/1.1\r\n" + wire.host + fields + b"Connection: close\r\n\r\n"
    assert statuses(wire.say(octets)) == [200]


def test_a_browser_that_leaves_takes_the_upstream_exchange_with_it_m14(wire: OpenGateway) -> None:
    """The upstream says nothing, so nobody stumbles over the browser's absence while writing."""
    Echo.gone.clear()
    Echo.began.clear()
    with wire.connect() as link:
        link.sendall(b"GET /open/silent HTTP/1.1\r\n" + wire.host + b"\r\n")
        assert Echo.began.wait(PATIENCE)
        assert not Echo.gone.is_set()
    assert Echo.gone.wait(PATIENCE)


def test_an_answer_begins_to_arrive_before_it_has_ended(wire: OpenGateway) -> None:
    Echo.release.clear()
    with wire.connect() as link:
        link.sendall(b"GET /open/held HTTP/1.1\r\n" + wire.host + b"Connection: close\r\n\r\n")
        octets = b""
        while b"first " not in octets:
            octets += link.recv(65536)
        assert b"last." not in octets
        Echo.release.set()
        assert read_all(link).endswith(b"last.")


BAD_SECONDS = [
    b"garbage\r\n\r\n",
    b"GET /open/x HTTP/1.1\r\nX-Big: " + b"x" * 70_000 + b"\r\nContent-Length: 4\r\n\r\nbody",
    (
        b"POST /open/x HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n"
        b"Content-Length: 4\r\n\r\nbody"
    ),
]


@pytest.mark.parametrize("second", BAD_SECONDS, ids=["garbage", "large", "upgrade"])
@pytest.mark.parametrize("path", [b"held", b"mute"])
def test_a_refusal_never_ends_up_in_the_answer_before_it_m12(
    wire: OpenGateway, path: bytes, second: bytes
) -> None:
    """RFC 9112 section 9.3.2: answers leave in order. The first one whole, then why it ends."""
    Echo.release.clear()
    before, refused = len(Echo.seen), wire.refusals()
    with wire.connect() as link:
        link.sendall(b"GET /open/" + path + b" HTTP/1.1\r\n" + wire.host + b"\r\n")
        wait_until(lambda: len(Echo.seen) > before)
        link.sendall(second)
        time.sleep(0.2)  # for what is wrong to arrive while the first answer is held back
        Echo.release.set()
        octets = read_all(link)
    assert statuses(octets)[0] == 200
    assert len(statuses(octets)) == 2
    assert statuses(octets)[1] in (400, 431, 501)
    first, _, last = octets.rpartition(b"HTTP/1.1 ")
    assert first.endswith(b"first last." if path == b"held" else b"}")
    assert b"problem+json" in last
    wait_until(lambda: wire.refusals() > refused)
    assert wire.refusals() == refused + 1
    assert len(Echo.seen) == before + 1


def test_leaving_while_two_requests_are_under_way_leaves_no_trace_m14(wire: OpenGateway) -> None:
    Echo.gone.clear()
    before = len(Echo.seen)
    with wire.connect() as link:
        request = b"GET /open/%b HTTP/1.1\r\n" + wire.host + b"\r\n"
        link.sendall(request % b"slow" + request % b"second")
        assert b"200 OK" in link.recv(65536)
    assert Echo.gone.wait(5)
    plain = b"GET /open/x HTTP/1.1\r\n" + wire.host + b"Connection: close\r\n\r\n"
    assert statuses(wire.say(plain)) == [200]
    assert not any("second" in line for line in Echo.seen[before:])
    assert "Traceback" not in wire.program.output
    assert "ASGI" not in wire.program.output


def test_an_upload_begins_to_arrive_before_it_has_ended(wire: OpenGateway) -> None:
    Echo.began.clear()
    size = 20_000_000
    head = b"POST /open/up HTTP/1.1\r\n" + wire.host
    head += b"Content-Length: %d\r\nConnection: close\r\n\r\n" % size
    before = wire.most_resident()
    with wire.connect() as link:
        link.sendall(head + b"x" * 5000)
        assert Echo.began.wait(10)  # the rest has not even been sent
        link.sendall(b"x" * (size - 5000))
        answer = read_all(link)
    assert b'"length": 20000000' in answer
    assert wire.most_resident() - before < 12_000_000


def test_sigterm_ends_the_gateway_and_its_store_cleanly(tmp_path: Path) -> None:
    with open_gateway(
        tmp_path, {"/": {"upstream": "http://127.0.0.1:2/"}}, workers="auto"
    ) as gateway:
        program = gateway.program
        assert program.stop() == 0
    assert "Traceback" not in program.output
    assert "starting it again" not in program.output
    with pytest.raises(OSError, match="refused"):
        gateway.connect()
