"""What must hold of `gateway/edge` for every input, not just for those somebody thought of."""

import posixpath
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address, ip_network
from itertools import pairwise
from urllib.parse import unquote, urljoin, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.edge.cookies import LOGIN_COOKIE, SESSION_COOKIE, read_cookie
from gateway.edge.csrf import Guard, refuse_cross_site
from gateway.edge.forwarded import UNKNOWN, ForwardedPolicy, client_address
from gateway.edge.headers import request_fields, response_fields
from gateway.edge.host import PublicOrigin, require_our_host
from gateway.edge.messages import BrowserRequest, Fields
from gateway.edge.outgoing import outgoing, refuse_tokens, upstream_target
from gateway.edge.return_to import check_return_to
from gateway.edge.rewrite import public_location
from gateway.edge.routes import Access, Route, RouteTable, TokenKind, ToUpstream
from gateway.edge.target import parse_target
from gateway.edge.trace import request_id
from gateway.edge.upstream_group import UpstreamGroup
from gateway.errors import Refused, Unavailable
from gateway.secret import AccessToken
from tests.support.examples import examples

EXAMPLES = examples(200)

ORIGIN = PublicOrigin("https", "app.example.com", 443)
OURS = b"app.example.com"
POLICY = ForwardedPolicy((ip_network("10.0.0.0/8"),))
TO = ToUpstream(
    UpstreamGroup(("http://orders:8080",)),
    b"/v1/",
    TokenKind.USER,
    pass_cookies=frozenset({"a", "b"}),
)
ORDERS = Route("/api/orders/", Access.SESSION, frozenset({"GET"}), TO)
ROOT = Route(
    "/",
    Access.PUBLIC,
    frozenset({"GET"}),
    ToUpstream(UpstreamGroup(("http://spa",)), b"/", TokenKind.NONE),
)
ADMIN = Route("/api/orders/admin", Access.SESSION, frozenset({"GET"}), TO)
TABLE = RouteTable([ROOT, ORDERS, ADMIN])

PLAIN_SEGMENT = st.lists(
    st.sampled_from([*"abcXYZ019-_~!$&'()*+,=:@", "%20", "%2F", "%2f", "%C3%A9", "%25", ";v=1"]),
    min_size=1,
    max_size=6,
).map("".join)
PLAIN_PATH = st.lists(PLAIN_SEGMENT, min_size=1, max_size=5).map(
    lambda segments: "/" + "/".join(segments)
)
PLAIN_QUERY = st.text("abc019-_~!$&'()*+,=:@/?%;", max_size=20)
ALLOWED_QUERY = st.none() | PLAIN_QUERY

# The building blocks of the attacks, so that random joins of them come close to the borders.
HOSTILE_PIECES = [
    "/", "//", "\\", ".", "..", ";", "%2f", "%5c", "%2e", "%", "%00", "%0a", "?", "#", "@", ":",
    "a", "api", "orders", "admin", "bff", "%61pi", "login", "evil.example", "https:", "http:",
    "javascript:", "https://app.example.com",
]  # fmt: skip
HOSTILE = st.lists(
    st.sampled_from([*HOSTILE_PIECES, *"\t\n\r \0\xe9\u3002\uff0f"]), max_size=8
).map("".join)
HOSTILE_OCTETS = HOSTILE.map(lambda text: text.encode("utf-8")) | st.binary(max_size=40)

NAMES = st.sampled_from(
    [
        *(b"host", b"cookie", b"authorization", b"connection", b"content-length", b"origin"),
        *(b"transfer-encoding", b"x-forwarded-for", b"forwarded", b"via", b"referer", b"x-csrf"),
        *(b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"accept", b"x-a", b"X_A"),
        *(b"traceparent", b"tracestate", b"x-request-id", b"max-forwards", b"set-cookie", b"vary"),
        *(b"cache-control", b"location", b"content-type", b"X_Forwarded_User", b"te"),
    ]
)
VALUES = st.sampled_from(
    [
        *(b"", b"1", b"5", b"chunked", b"same-origin", b"none", b"navigate", b"document"),
        *(b"cors", b"https://app.example.com", b"null", b"app.example.com", b"x-a, via, te"),
        *(b"10.0.0.1, 1.2.3.4", b"for=1.2.3.4", b'for="', b"a=1; b=2", b"a=1", b"empty"),
        *(b"__Host-Http-session=x", b"1.1 gateway", b"text/event-stream", b"*", b"/v1/7"),
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ]
) | st.binary(max_size=30)
ANY_FIELDS = st.lists(st.tuples(NAMES | st.binary(max_size=12), VALUES), max_size=10).map(tuple)
PEERS = st.sampled_from(["10.0.0.1", "::ffff:10.0.0.1", "203.0.113.9", "", "/x"]) | st.text()
METHODS = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "DELETE"]) | st.text(max_size=8)


@st.composite
def requests(draw: st.DrawFn) -> BrowserRequest:
    return BrowserRequest(draw(METHODS), draw(HOSTILE_OCTETS), draw(ANY_FIELDS), draw(PEERS))


def browser_goes_to(reference: str) -> tuple[str, str]:
    """Scheme and authority a browser would go to; an independent, forgiving WHATWG reading."""
    text = re.sub("[\t\n\r]", "", reference.strip("".join(map(chr, range(0x21)))))
    text = text.replace("\\", "/")
    # Browsers skip any number of slashes after a special scheme, or at the front.
    text = re.sub(
        "^(https?:)?/{2,}", lambda found: (found[1] or "") + "//", text, flags=re.IGNORECASE
    )
    place = urlsplit(urljoin("https://app.example.com/bff/callback/main", text))
    return place.scheme, place.netloc


# targets


@given(PLAIN_PATH, ALLOWED_QUERY)
@EXAMPLES
def test_every_plain_target_is_accepted_and_leaves_as_it_came(path: str, query: str | None) -> None:
    raw = (path if query is None else f"{path}?{query}").encode()
    assert parse_target(raw, authority_expected=OURS).wire == raw


@given(HOSTILE_OCTETS)
@example(b"/a?")
@example(b"https://app.example.com?a")
@EXAMPLES
def test_a_target_is_passed_on_byte_by_byte_or_refused(raw: bytes) -> None:
    try:
        target = parse_target(raw, authority_expected=OURS)
    except Refused:
        return
    sent = raw if raw.startswith(b"/") else raw[len(b"https://") + len(OURS) :]
    assert target.wire == (sent if sent.startswith(b"/") else b"/" + sent)


@given(st.binary(max_size=12).map(lambda tail: b"/api/orders/" + tail) | HOSTILE_OCTETS)
@EXAMPLES
def test_whatever_reaches_an_upstream_stays_under_its_base_for_a_careless_reader(
    raw: bytes,
) -> None:
    try:
        target = parse_target(raw, authority_expected=OURS)
        route = TABLE.match(target)
        sent = upstream_target(ORDERS, target) if route is ORDERS else None
    except Refused:
        return
    if sent is None:
        return
    read = unquote(sent.partition(b"?")[0].decode("latin-1")).replace("\\", "/")
    read = re.sub(";[^/]*", "", read)
    assert posixpath.normpath(read).startswith("/v1")
    assert not posixpath.normpath(read).startswith("/v1/admin")
    assert not read.startswith("//")


# never anything but a refusal


@given(requests())
@examples(400)
def test_no_octets_make_the_edge_stumble(request: BrowserRequest) -> None:
    checks: tuple[Callable[[], object], ...] = (
        lambda: require_our_host(request, ORIGIN, frozenset()),
        lambda: TABLE.match(parse_target(request.raw_target, authority_expected=OURS)),
        lambda: refuse_tokens(parse_target(request.raw_target, authority_expected=OURS)),
        lambda: read_cookie(request, SESSION_COOKIE),
        lambda: request_fields(request, pass_cookies=frozenset({"a"})),
        lambda: client_address(request, POLICY),
        lambda: request_id(request, trusted=True, fresh="fresh"),
        *(partial(refuse_cross_site, request, ORIGIN, guard) for guard in Guard),
    )
    for check in checks:
        with suppress(Refused):  # anything else that is raised is a bug
            check()


@given(ANY_FIELDS, st.booleans())
@EXAMPLES
def test_no_answer_makes_the_edge_stumble(fields: Fields, session_used: bool) -> None:
    try:
        kept = response_fields(fields, pass_set_cookies=frozenset({"a"}), session_used=session_used)
    except Unavailable:
        return
    named = [name for name, _ in kept]
    assert not {b"transfer-encoding", b"connection", b"te", b"server"} & set(named)
    assert named.count(b"content-length") <= 1
    if session_used:
        assert [value for name, value in kept if name == b"cache-control"] == [b"no-store"]


@given(requests())
@EXAMPLES
def test_the_client_is_an_address_or_unknown_and_in_its_usual_form(request: BrowserRequest) -> None:
    address = client_address(request, POLICY)
    assert address == UNKNOWN or str(ip_address(address)) == address


@given(st.text(max_size=40) | HOSTILE | PLAIN_PATH)
@EXAMPLES
def test_a_return_to_is_refused_or_stays_on_the_origin_for_a_browser(value: str) -> None:
    try:
        local = check_return_to(value, ORIGIN)
    except Refused:
        return
    for reference in (local, unquote(local), value):
        assert browser_goes_to(reference) == ("https", "app.example.com")
    assert check_return_to(local, ORIGIN) == local


@given(PLAIN_PATH, ALLOWED_QUERY, ALLOWED_QUERY)
@EXAMPLES
def test_every_plain_place_of_the_application_can_be_returned_to(
    path: str, query: str | None, fragment: str | None
) -> None:
    value = "/app" + path
    value += "" if query is None else "?" + query
    value += "" if fragment is None else "#" + fragment
    assert check_return_to(value, ORIGIN) == value
    assert check_return_to(str(ORIGIN) + value, ORIGIN) == value
    assert browser_goes_to(value) == ("https", "app.example.com")


def test_the_independent_browser_does_leave_the_origin_when_it_should() -> None:
    for value in ("//evil.example", "/\\evil.example", "/\t/evil.example", "http:evil.example/"):
        assert browser_goes_to(value) != ("https", "app.example.com"), value


@given(HOSTILE_OCTETS | HOSTILE.map(lambda text: b"http://orders:8080/v1" + text.encode()))
@EXAMPLES
def test_a_location_never_names_the_upstream(value: bytes) -> None:
    public = public_location(value, ORDERS, ORIGIN)
    if public is None:
        return
    assert browser_goes_to(public.decode("latin-1"))[1].partition(":")[0] != "orders"
    if value.startswith((b"/v1", b"http://orders")):
        assert browser_goes_to(public.decode("latin-1")) == ("https", "app.example.com")
        assert public.startswith(b"/api/orders")


# hygiene


@given(requests())
@EXAMPLES
def test_hygiene_is_idempotent(request: BrowserRequest) -> None:
    allowed = frozenset({"a", "b"})
    try:
        once = request_fields(request, pass_cookies=allowed)
    except Refused:
        return
    again = BrowserRequest(request.method, request.raw_target, once, request.peer)
    assert request_fields(again, pass_cookies=allowed) == once


SECRET = "S" * 12  # the only capital S in what the next test builds
OUR_COOKIES = [SESSION_COOKIE, LOGIN_COOKIE, SESSION_COOKIE.lower()]
COOKIE_TEXT = st.lists(
    st.sampled_from(
        [f"{name}={SECRET}" for name in OUR_COOKIES]
        + ["a=1", "b=2", "c=3", "a", "=", "", "a=x=y", 'a="q"']
    ),
    max_size=6,
)
SPELLINGS = st.sampled_from(
    (
        b"authorization Authorization AUTHORIZATION proxy-authorization proxy_authorization dpop "
        b"x-forwarded-access-token X_Forwarded_Access_Token"
    ).split()
)


@given(
    COOKIE_TEXT,
    st.lists(st.sampled_from([";", "; ", " ;\t"]), min_size=6, max_size=6),
    st.lists(st.integers(0, 120), max_size=4),
    st.lists(SPELLINGS, max_size=3),
    st.booleans(),
)
@EXAMPLES
def test_no_credential_of_a_browser_reaches_an_upstream_however_it_is_split(
    cookies: list[str],
    separators: list[str],
    cuts: list[int],
    spellings: list[bytes],
    named: bool,
) -> None:
    text = "".join(
        cookie + separator for cookie, separator in zip(cookies, separators, strict=False)
    ).encode()
    edges = [0, *sorted(cuts), len(text)]
    lines = [text[start:end] for start, end in pairwise(edges)]
    fields = (
        *((b"cookie", line) for line in lines),
        *((name, f"Bearer {SECRET}".encode()) for name in spellings),
        *(((b"connection", b"cookie, authorization"),) if named else ()),
    )
    allowed = frozenset({"a", "b", *OUR_COOKIES})
    kept = request_fields(BrowserRequest("GET", b"/", fields), pass_cookies=allowed)
    assert not any(b"S" in value for _, value in kept)
    assert {name for name, _ in kept} <= {b"cookie"}


@given(requests())
@EXAMPLES
def test_an_upstream_sees_one_authorization_and_it_is_ours(request: BrowserRequest) -> None:
    target = parse_target(b"/api/orders/7", authority_expected=OURS)
    try:
        sent = outgoing(
            request,
            target,
            ORDERS,
            address=client_address(request, POLICY),
            policy=POLICY,
            origin=ORIGIN,
            bearer=AccessToken("ours"),
            request_id="id",
        )
    except Refused:
        return
    for name, expected in (
        (b"authorization", b"Bearer ours"),
        (b"host", b"orders:8080"),
        (b"x-forwarded-host", OURS),
        (b"x-request-id", b"id"),
    ):
        assert [value for key, value in sent.fields if key == name] == [expected]
    assert not any(b"\r" in value or b"\n" in value for _, value in sent.fields)
