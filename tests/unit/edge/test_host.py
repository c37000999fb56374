import pytest

from gateway.edge.host import PublicOrigin, parse_public_origin, require_our_host
from gateway.edge.messages import BrowserRequest
from gateway.errors import Code, Refused

ORIGIN = PublicOrigin("https", "app.example.com", 443)
ACCEPTED = frozenset({"10.1.2.3:8080", "gateway.internal"})


def with_hosts(*values: bytes) -> BrowserRequest:
    return BrowserRequest("GET", b"/", tuple((b"host", value) for value in values))


@pytest.mark.parametrize(
    ("text", "serialized", "authority", "port"),
    [
        ("https://app.example.com", "https://app.example.com", "app.example.com", 443),
        ("HTTPS://App.Example.COM", "https://app.example.com", "app.example.com", 443),
        ("https://app.example.com:443", "https://app.example.com", "app.example.com", 443),
        ("https://a.example:8443", "https://a.example:8443", "a.example:8443", 8443),
        ("https://a.example:1", "https://a.example:1", "a.example:1", 1),
        ("https://a.example:65535", "https://a.example:65535", "a.example:65535", 65535),
        ("https://localhost", "https://localhost", "localhost", 443),
        ("http://localhost", "http://localhost", "localhost", 80),
        ("http://localhost:8080", "http://localhost:8080", "localhost:8080", 8080),
        ("http://LOCALHOST:80", "http://localhost", "localhost", 80),
        ("https://192.0.2.7", "https://192.0.2.7", "192.0.2.7", 443),
        ("https://[2001:DB8:0::1]:8443", "https://[2001:db8::1]:8443", "[2001:db8::1]:8443", 8443),
        ("https://xn--bcher-kva.de", "https://xn--bcher-kva.de", "xn--bcher-kva.de", 443),
        ("https://a_b.example", "https://a_b.example", "a_b.example", 443),
    ],
)  # fmt: skip
def test_an_origin_is_kept_as_browsers_serialize_it(
    text: str, serialized: str, authority: str, port: int
) -> None:
    origin = parse_public_origin(text)
    assert (str(origin), origin.authority, origin.port) == (serialized, authority, port)
    assert parse_public_origin(str(origin)) == origin


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "https://"),
        ("app.example.com", "https://"),
        ("https", "must begin"),
        ("//app.example.com", "https://"),
        ("ftp://app.example.com", "https://"),
        ("javascript:alert(1)", "https://"),
        ("https://app.example.com/", "a path"),
        ("https://app.example.com/app", "a path"),
        ("https://app.example.com?x", "a query"),
        ("https://app.example.com#x", "a fragment"),
        ("https://user@app.example.com", "user information"),
        ("https://user:secret@app.example.com/", "user information"),
        ("http://app.example.com", "https"),
        ("http://127.0.0.1:8080", "localhost"),
        ("http://localhost.example", "localhost"),
        ("https://", "not a valid name"),
        ("https://:443", "not a valid name"),
        ("https://app.example.com:", "port"),
        ("https://app.example.com:x", "port"),
        ("https://app.example.com:0", "port"),
        ("https://app.example.com:65536", "port"),
        ("https://app.example.com:443:443", "port"),
        ("https://app.example.com.", "not a valid name"),
        ("https://app..example.com", "not a valid name"),
        ("https://-app.example.com", "not a valid name"),
        ("https://app example.com", "not a valid name"),
        ("https://app.example.com\n", "not a valid name"),
        ("https://" + "a." * 123 + "example1", "not a valid name"),
        ("https://" + "a" * 64 + ".example", "not a valid name"),
        ("https://bücher.example", "xn--"),
        ("https://1.2.3", "IPv4"),
        ("https://127.1", "IPv4"),
        ("https://example.0x7f", "IPv4"),
        ("https://[2001:db8::g]", "IPv6"),
        ("https://[::1", "port"),
        ("https://*.example.com", "not a valid name"),
    ],
)
def test_a_wrong_origin_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_public_origin(text)


def test_only_https_is_secure() -> None:
    assert parse_public_origin("https://app.example.com").is_secure
    assert not parse_public_origin("http://localhost:8080").is_secure


@pytest.mark.parametrize(
    "value",
    [
        b"app.example.com",
        b"APP.Example.Com",
        b"app.example.com:443",
        b"10.1.2.3:8080",
        b"gateway.internal",
        b"Gateway.Internal",
    ],
)
def test_our_own_host_is_let_through(value: bytes) -> None:
    require_our_host(with_hosts(value), ORIGIN, ACCEPTED)


def test_a_non_default_port_has_to_be_written() -> None:
    origin = PublicOrigin("http", "localhost", 8080)
    require_our_host(with_hosts(b"localhost:8080"), origin, frozenset())
    with pytest.raises(Refused) as refused:
        require_our_host(with_hosts(b"localhost"), origin, frozenset())
    assert refused.value.code is Code.HOST_MISDIRECTED


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"app.example.com", b"app.example.com"),
        (b"app.example.com", b"evil.example"),
        (b"",),
        (b" app.example.com",),
        (b"app.example.com, evil.example",),
        (b"user@app.example.com",),
        (b"app.example.com/",),
        (b"app.example.com#",),
        (b"app.example.com?",),
        (b"app.example.com:x",),
        (b"app.example.com:443:443",),
        (b"app.example.com:123456",),
        (b"app.example.com;for=evil",),
        (b"app.example.com\x00",),
        (b"app.example.com\n",),
        (b"\xff",),
        (b"[::1",),
        (b":443",),
    ],
)
def test_no_host_several_or_a_malformed_one_are_refused_k2(values: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused) as refused:
        require_our_host(with_hosts(*values), ORIGIN, ACCEPTED)
    assert refused.value.code is Code.HOST_MALFORMED


@pytest.mark.parametrize(
    "value",
    [
        b"evil.example",
        b"app.example.com.",
        b"app.example.com.evil.example",
        b"evil-app.example.com",
        b"app.example.com:80",
        b"app.example.com:0443",
        b"app.example.com:",
        b"10.1.2.3",
        b"gateway.internal:443",
        b"[::1]",
    ],
)
def test_another_host_is_misdirected_k3(value: bytes) -> None:
    with pytest.raises(Refused) as refused:
        require_our_host(with_hosts(value), ORIGIN, ACCEPTED)
    assert refused.value.code is Code.HOST_MISDIRECTED
