import pytest

from gateway.edge.host import PublicOrigin
from gateway.edge.messages import Field, Fields
from gateway.edge.rewrite import public_location, returning
from gateway.errors import Code, Unavailable
from tests.support.orders_route import ORDERS, ORIGIN, route, values


@pytest.mark.parametrize(
    ("value", "public"),
    [
        # the upstream's own origin and base path, absolute and path-absolute
        (b"http://orders:8080/v1/7", b"/api/orders/7"),
        (b"HTTP://Orders:8080/v1/7?a=b#c", b"/api/orders/7?a=b#c"),
        (b"http://orders:8080/v1/", b"/api/orders/"),
        (b"http://orders:8080/v1", b"/api/orders"),
        (b"http://orders:8080/v1?x", b"/api/orders?x"),
        (b"//orders:8080/v1/7", b"/api/orders/7"),
        (b"/v1/7", b"/api/orders/7"),
        (b"/v1/7/#/a\xc3\xa9", b"/api/orders/7/#/a%C3%A9"),
        (b"/v1/caf\xc3\xa9", b"/api/orders/caf%C3%A9"),
        (b"/v1", b"/api/orders"),
        (b"/v1/a%2Fb?c=d%20e", b"/api/orders/a%2Fb?c=d%20e"),
        # relative references hold on both sides
        (b"7", b"7"),
        (b"7/8?a", b"7/8?a"),
        (b"?page=2", b"?page=2"),
        (b"#x", b"#x"),
        (b"../x", b"../x"),
        (b"./a:b", b"./a:b"),
        # other hosts, our own included
        (b"https://id.example.com/login?x=y", b"https://id.example.com/login?x=y"),
        (b"http://other:8080/v1/7", b"http://other:8080/v1/7"),
        (b"https://app.example.com/home", b"https://app.example.com/home"),
        (b"//cdn.example.com/a", b"//cdn.example.com/a"),
        (b"https://[2001:db8::1]:8443/", b"https://[2001:db8::1]:8443/"),
        # internal, and outside the base path
        (b"http://orders:8080/", None),
        (b"http://orders:8080/admin", None),
        (b"http://orders:8080/v11", None),
        (b"http://orders:8080", None),
        (b"http://orders:8080/v1/../admin", None),
        (b"http://orders:8080/v1/%2e%2e/admin", None),
        (b"http://orders:9090/v1/7", None),
        (b"http://orders/v1/7", None),
        (b"https://orders:8080/v1/7", None),
        (b"http://orders.:8080/admin", None),
        (b"http://%6frders:8080/v1/7", None),
        (b"//%6frders:8080/", None),
        (b"/", None),
        (b"/login", None),
        (b"/v11", None),
        (b"/v1/../x", None),
        # in more than one way, or not at all
        (b"", None),
        (b" /v1/7", None),
        (b"/v1/ 7", None),
        (b"/v1/\t7", None),
        (b"/v1\\7", None),
        (b"/\\evil.example", None),
        (b"\\\\evil.example", None),
        (b"///evil.example", None),
        (b"http:///evil.example", None),
        (b"http:/evil.example", None),
        (b"http:evil.example", None),
        (b"https://", None),
        (b"https://user@evil.example/", None),
        (b"http://orders:8080@evil.example/", None),
        (b"http://x@orders:8080/v1/7", None),
        (b"https://evil.example:x/", None),
        (b"https://evil.example:443:443/", None),
        (b"https://[::1/", None),
        (b"javascript:alert(1)", None),
        (b"JavaScript://%0aalert(1)", None),
        (b"data:text/html,x", None),
        (b"ftp://evil.example/", None),
        (b"app://callback", None),
        (b"/v1/" + b"a" * 20_000, None),
        (b"/v1/7\x00", None),
    ],
)
def test_a_location_leads_to_a_public_place_or_nowhere_k7(
    value: bytes, public: bytes | None
) -> None:
    assert public_location(value, ORDERS, ORIGIN) == public


@pytest.mark.parametrize(
    ("path", "base", "value", "public"),
    [
        ("/", b"/", b"/a", b"/a"),
        ("/", b"/", b"/", b"/"),
        ("/", b"/v1/", b"/v1/a", b"/a"),
        ("/", b"/v1/", b"/v1", b"/"),
        ("/", b"/v1/", b"/v1?x", b"/?x"),
        ("/", b"/v1/", b"/v1//evil.example", None),
        ("/", b"/v1/", b"http://orders:8080/v1//evil.example", None),
        ("/", b"/v1/", b"/v1/%5cevil.example", None),
        ("/api/", b"/", b"/a", b"/api/a"),
        ("/api/", b"/", b"/", b"/api/"),
        ("/api/", b"/", b"http://orders:8080", b"/api/"),
        ("/api/", b"/", b"http://orders:8080//evil.example", None),
        ("/api/", b"/v1/", b"/v1//a", b"/api//a"),
    ],
)
def test_no_rewritten_location_leaves_the_public_origin_k7(
    path: str, base: bytes, value: bytes, public: bytes | None
) -> None:
    assert public_location(value, route(path, base), ORIGIN) == public


def test_default_ports_are_one_place() -> None:
    orders = route("/api/", b"/v1/", "http://orders")
    assert public_location(b"http://orders:80/v1/7", orders, ORIGIN) == b"/api/7"
    assert public_location(b"http://orders:/v1/7", orders, ORIGIN) == b"/api/7"
    assert public_location(b"http://orders:8080/v1/7", orders, ORIGIN) is None


def test_an_upstream_on_the_public_host_may_name_the_public_origin() -> None:
    here = PublicOrigin("http", "localhost", 8080)
    vite = route("/", b"/", "http://localhost:5173")
    assert public_location(b"http://localhost:5173/a", vite, here) == b"/a"
    assert public_location(b"http://localhost:8080/a", vite, here) == b"http://localhost:8080/a"


def answered(status: int, *fields: Field, session_used: bool = True) -> Fields:
    return returning(status, fields, ORDERS, ORIGIN, session_used=session_used)


def test_an_answer_comes_back_in_public_terms_k7() -> None:
    fields = answered(
        201,
        (b"location", b"http://orders:8080/v1/7"),
        (b"content-location", b"/v1/7"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"__Host-Http-session=evil"),
        (b"server", b"orders"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"0"),
    )
    assert values(fields, b"content-type") == [b"text/plain; charset=utf-8"]
    assert values(fields, b"location") == [b"/api/orders/7"]
    assert values(fields, b"content-location") == [b"/api/orders/7"]
    assert values(fields, b"set-cookie") == [b"a=1"]
    assert values(fields, b"content-length") == [b"0"]
    assert values(fields, b"cache-control") == [b"no-store"]
    assert values(fields, b"vary") == [b"Cookie, Origin, Sec-Fetch-Site, Sec-Fetch-Mode"]
    assert b"orders:8080" not in b" ".join(value for _, value in fields)


def test_an_internal_location_does_not_reach_the_browser_k7_l12() -> None:
    fields = answered(
        302,
        (b"location", b"http://orders:8080/admin"),
        (b"content-location", b"http://orders:8080/admin"),
    )
    assert b"orders" not in b" ".join(value for _, value in fields)


def test_two_equal_locations_are_one_and_two_others_are_a_split_answer() -> None:
    same = answered(302, (b"location", b"/v1/7"), (b"location", b"/v1/7"))
    assert set(values(same, b"location")) == {b"/api/orders/7"}
    with pytest.raises(Unavailable) as unavailable:
        answered(302, (b"location", b"/v1/7"), (b"location", b"/v1/8"))
    assert unavailable.value.code is Code.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(("status", "kept"), [(204, []), (200, [b"0"]), (304, [b"0"])])
def test_no_length_is_said_where_there_can_be_no_content_m9(status: int, kept: list[bytes]) -> None:
    fields = answered(status, (b"content-length", b"0"), (b"etag", b'"x"'))
    assert values(fields, b"content-length") == kept
    assert values(fields, b"etag") == [b'"x"']


def test_a_public_answer_may_be_stored() -> None:
    fields = answered(200, (b"cache-control", b"public"), session_used=False)
    assert values(fields, b"cache-control") == [b"public"]
    assert values(fields, b"vary") == []
