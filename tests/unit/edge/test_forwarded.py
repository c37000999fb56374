from ipaddress import ip_network

import pytest

from gateway.edge.forwarded import (
    MAX_HOPS,
    UNKNOWN,
    ForwardedPolicy,
    client_address,
    forwarded_fields,
)
from gateway.edge.host import PublicOrigin
from gateway.edge.messages import BrowserRequest

ORIGIN = PublicOrigin("https", "app.example.com", 443)
POLICY = ForwardedPolicy((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
PROXY = "10.0.0.1"
CLIENT = "203.0.113.9"


def from_peer(peer: str, *lines: bytes, name: bytes = b"x-forwarded-for") -> BrowserRequest:
    return BrowserRequest("GET", b"/", tuple((name, line) for line in lines), peer)


def fields_of(request: BrowserRequest, origin: PublicOrigin = ORIGIN) -> dict[bytes, bytes]:
    address = client_address(request, POLICY)
    fields = forwarded_fields(address, request, POLICY, origin)
    assert len(dict(fields)) == len(fields)
    return dict(fields)


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"forwarded"])
@pytest.mark.parametrize("line", [b"1.2.3.4", b"for=1.2.3.4", b"10.0.0.9", b"for=10.0.0.9"])
def test_an_untrusted_peer_is_its_socket_address_whatever_it_says_n1(
    name: bytes, line: bytes
) -> None:
    request = from_peer(CLIENT, line, line, name=name)
    assert client_address(request, POLICY) == CLIENT
    assert client_address(from_peer(PROXY, line, name=name), ForwardedPolicy()) == PROXY
    assert fields_of(request)[b"x-forwarded-for"] == CLIENT.encode()


@pytest.mark.parametrize(
    ("lines", "address", "chain"),
    [
        ((), PROXY, "10.0.0.1"),
        ((b"203.0.113.9",), CLIENT, "203.0.113.9, 10.0.0.1"),
        ((b"1.2.3.4, 203.0.113.9",), CLIENT, "203.0.113.9, 10.0.0.1"),
        ((b"1.2.3.4, 203.0.113.9, 10.9.9.9",), CLIENT, "203.0.113.9, 10.9.9.9, 10.0.0.1"),
        ((b"1.2.3.4", b"203.0.113.9", b"10.9.9.9"), CLIENT, "203.0.113.9, 10.9.9.9, 10.0.0.1"),
        ((b"203.0.113.9 ,\t10.9.9.9",), CLIENT, "203.0.113.9, 10.9.9.9, 10.0.0.1"),
        ((b"10.8.8.8, 10.9.9.9",), "10.8.8.8", "10.8.8.8, 10.9.9.9, 10.0.0.1"),
        ((b"203.0.113.9:4711",), CLIENT, "203.0.113.9, 10.0.0.1"),
        ((b"2001:DB8:0::1",), "2001:db8::1", "2001:db8::1, 10.0.0.1"),
        ((b"[2001:db8::1]",), "2001:db8::1", "2001:db8::1, 10.0.0.1"),
        ((b"[2001:db8::1]:4711",), "2001:db8::1", "2001:db8::1, 10.0.0.1"),
        ((b"203.0.113.9, fd00::7",), CLIENT, "203.0.113.9, fd00::7, 10.0.0.1"),
        ((b"203.0.113.9, ::ffff:10.9.9.9",), CLIENT, "203.0.113.9, 10.9.9.9, 10.0.0.1"),
    ],
)
def test_the_walk_goes_from_the_right_to_the_first_untrusted_address_n2(
    lines: tuple[bytes, ...], address: str, chain: str
) -> None:
    request = from_peer(PROXY, *lines)
    assert client_address(request, POLICY) == address
    assert fields_of(request)[b"x-forwarded-for"] == chain.encode()


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"unknown",
        b"_hidden",
        b"localhost",
        b"1.2.3",
        b"1.2.3.4.5",
        b"1.2.3.256",
        b"010.0.0.1",
        b"1.2.3.4:",
        b"1.2.3.4:123456",
        b"1.2.3.4/8",
        b"1.2.3.4 5.6.7.8",
        b'"1.2.3.4"',
        b"[1.2.3.4]x",
        b"[::1",
        b"::1%eth0",
        b"2001:db8::1:4711:1:1:1:1:1:1",
        b"\xd9\xa1.2.3.4",
        b"for=1.2.3.4",
        b"1" * 5000,
        b"1.2.3.4\x00",
    ],
)
def test_a_malformed_entry_stops_the_walk_at_the_last_good_address_n2(entry: bytes) -> None:
    assert client_address(from_peer(PROXY, entry), POLICY) == PROXY
    assert client_address(from_peer(PROXY, b"1.2.3.4, " + entry), POLICY) == PROXY
    request = from_peer(PROXY, entry + b", 10.9.9.9")
    assert client_address(request, POLICY) == "10.9.9.9"
    assert fields_of(request)[b"x-forwarded-for"] == b"10.9.9.9, 10.0.0.1"


def test_a_chain_of_listed_proxies_is_believed_up_to_a_bound() -> None:
    request = from_peer(PROXY, b", ".join(b"10.1.0.%d" % number for number in range(100)))
    assert len(fields_of(request)[b"x-forwarded-for"].split(b", ")) == MAX_HOPS


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ((b"for=203.0.113.9",), CLIENT),
        ((b"For=203.0.113.9;proto=http;by=10.0.0.1",), CLIENT),
        ((b"proto=http ; FOR=203.0.113.9",), CLIENT),
        ((b'for="203.0.113.9:4711"',), CLIENT),
        ((b'for="[2001:db8::1]:4711"',), "2001:db8::1"),
        ((b'for="[2001:db8::1]"',), "2001:db8::1"),
        ((b"for=1.2.3.4, for=203.0.113.9, for=10.9.9.9",), CLIENT),
        ((b"for=1.2.3.4", b"for=203.0.113.9"), CLIENT),
        ((b'for="spoof, for=203.0.113.9',), CLIENT),
        ((b'for="a;b, c", for=203.0.113.9',), CLIENT),
        ((b"for=unknown",), PROXY),
        ((b"for=_hidden",), PROXY),
        ((b"for=1.2.3.4;for=5.6.7.8",), PROXY),
        ((b"for=1.2.3.4;",), PROXY),
        ((b"for=1.2.3.4; x",), PROXY),
        ((b"by=1.2.3.4",), PROXY),
        ((b"for =1.2.3.4",), PROXY),
        ((b'for="1.2.3.4',), PROXY),
        ((b'for="\\1.2.3.4"',), PROXY),
        ((b"for=[2001:db8::1]",), PROXY),
        ((b"",), PROXY),
        ((b"1.2.3.4",), PROXY),
    ],
)
def test_forwarded_is_read_where_the_trusted_peer_sends_it_n2(
    lines: tuple[bytes, ...], address: str
) -> None:
    assert client_address(from_peer(PROXY, *lines, name=b"forwarded"), POLICY) == address


def test_x_forwarded_for_decides_when_both_are_sent() -> None:
    fields = ((b"forwarded", b"for=1.2.3.4"), (b"x-forwarded-for", b"203.0.113.9"))
    assert client_address(BrowserRequest("GET", b"/", fields, PROXY), POLICY) == CLIENT


@pytest.mark.parametrize("peer", ["", "/run/gateway.sock", "testclient", "\udcff"])
def test_a_peer_without_an_address_is_unknown_and_never_trusted(peer: str) -> None:
    request = from_peer(peer, b"1.2.3.4")
    everyone = ForwardedPolicy((ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert client_address(request, everyone) == UNKNOWN
    assert fields_of(request)[b"forwarded"] == b"for=unknown;host=app.example.com;proto=https"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("::ffff:10.0.0.1", CLIENT),
        ("fd00::1", CLIENT),
        ("fd00::1%eth0", CLIENT),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_a_peer_is_recognized_in_any_spelling(peer: str, address: str) -> None:
    assert client_address(from_peer(peer, b"203.0.113.9"), POLICY) == address


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (PROXY, True),
        ("::ffff:10.0.0.1", True),
        ("fd00::1%eth0", True),
        (CLIENT, False),
        ("", False),
        ("/run/gateway.sock", False),
        ("10.0.0.1.evil.example", False),
    ],
)
def test_only_a_listed_peer_is_trusted_n1(peer: str, *, trusted: bool) -> None:
    assert POLICY.trusts(peer) is trusted
    assert not ForwardedPolicy().trusts(peer)


def test_scheme_and_host_are_ours_and_never_the_clients_n3() -> None:
    spoofed = (
        (b"host", b"evil.example"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"evil.example"),
        (b"forwarded", b"for=1.2.3.4;host=evil.example;proto=http"),
    )
    for peer in (CLIENT, PROXY):
        fields = fields_of(BrowserRequest("GET", b"/", spoofed, peer))
        assert fields[b"x-forwarded-proto"] == b"https"
        assert fields[b"x-forwarded-host"] == b"app.example.com"
        assert b"evil" not in b"".join(fields.values())


@pytest.mark.parametrize(
    ("peer", "origin", "forwarded"),
    [
        (CLIENT, ORIGIN, b"for=203.0.113.9;host=app.example.com;proto=https"),
        ("2001:db8::1", ORIGIN, b'for="[2001:db8::1]";host=app.example.com;proto=https'),
        (
            CLIENT,
            PublicOrigin("http", "localhost", 8080),
            b'for=203.0.113.9;host="localhost:8080";proto=http',
        ),
        (
            CLIENT,
            PublicOrigin("https", "[2001:db8::2]", 443),
            b'for=203.0.113.9;host="[2001:db8::2]";proto=https',
        ),
    ],
)
def test_forwarded_is_quoted_where_the_grammar_asks_n4(
    peer: str, origin: PublicOrigin, forwarded: bytes
) -> None:
    assert fields_of(from_peer(peer), origin)[b"forwarded"] == forwarded
