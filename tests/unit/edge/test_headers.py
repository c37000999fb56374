import pytest

from gateway.edge.headers import content_length, page_fields, request_fields, response_fields
from gateway.edge.messages import BrowserRequest, Field, Fields
from gateway.errors import Code, Refused, Unavailable

NONE: frozenset[str] = frozenset()
GOOD_TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def sent(*fields: Field, cookies: frozenset[str] = NONE) -> Fields:
    return request_fields(BrowserRequest("GET", b"/", fields), pass_cookies=cookies)


def returned(*fields: Field, cookies: frozenset[str] = NONE, session_used: bool = False) -> Fields:
    return response_fields(fields, pass_set_cookies=cookies, session_used=session_used)


def without_defaults(fields: Fields) -> list[Field]:
    added = {b"x-content-type-options", b"cross-origin-resource-policy"}
    return [line for line in fields if line[0] not in added]


def values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


# towards the upstream


def test_end_to_end_fields_pass_with_order_and_repeats_l8_l10_l11() -> None:
    fields = (
        (b"accept", b"application/json"),
        (b"x-a", b"1"),
        (b"accept-encoding", b"gzip, br"),
        (b"x-b", b""),
        (b"x-a", b"2"),
        (b"range", b"bytes=0-1"),
        (b"if-none-match", b'"x"'),
        (b"if-match", b"*"),
        (b"origin", b"https://app.example.com"),
        (b"sec-fetch-site", b"same-origin"),
        (b"last-event-id", b"7"),
        (b"grpc-timeout", b"1S"),
        (b"x-grpc-web", b"1"),
        (b"via", b"1.1 cdn"),
        (b"x-a", b"1"),
    )
    assert sent(*fields) == fields


@pytest.mark.parametrize(
    "connection",
    [(b"X-Foo",), (b"close, x-foo",), (b"keep-alive", b" x-bar ,X-FOO"), (b",,x-foo,",)],
)
def test_what_connection_names_is_dropped_with_it_l1(connection: tuple[bytes, ...]) -> None:
    lines = tuple((b"connection", value) for value in connection)
    assert sent((b"x-foo", b"1"), *lines, (b"x-foo", b"2"), (b"x", b"y")) == ((b"x", b"y"),)


OURS = b"Cookie, Origin, Sec-Fetch-Site, Sec-Fetch-Mode"

PROTECTED = [
    "Host", "Cookie", "Authorization", "Proxy-Authorization", "Proxy-Connection", "Proxy",
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User",
    "X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Forwarded-Access-Token", "X-Forwarded",
    "X-Real-IP", "X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Rewrite-URL",
    "X-CSRF", "Expect", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override",
    "X-Remote-User", "Remote-User", "Remote-Groups", "X-Auth-Request-User",
    "X-Auth-Request-Access-Token", "X-WebAuth-User", "DPoP", "DPoP-Nonce", "TE", "Upgrade",
    "Trailer", "Keep-Alive", "HTTP2-Settings", "Max-Forwards", "X-Request-Id", "True-Client-IP",
    "CF-Connecting-IP", "Client-Cert", "X-Middleware-Subrequest", "Front-End-Https",
    "X-Access-Token", "OIDC_CLAIM_sub", "OIDC_access_token", "X-Vouch-User", "SM_USER", "SMUSER",
    "X-Endpoint-API-UserInfo", "X-Apigateway-Api-Userinfo", "X-JWT-Payload", "iv-user",
    "Shib-Identity-Provider", "X-Auth-Username", "X-Auth-Roles", "X-Auth-Subject",
    "X-Credential-Identifier", "X-Anonymous-Consumer", "X-Id-Token", "X-ARR-ClientCert",
    "X-Hasura-User-Id", "Fastly-Client-IP", "Fly-Client-IP", "X-Appengine-User-Email",
]  # fmt: skip


@pytest.mark.parametrize("name", PROTECTED)
def test_a_browser_cannot_say_what_is_ours_to_say_in_any_spelling_l2_l3_l4(name: str) -> None:
    lower = name.lower()
    spellings = {
        name,
        lower,
        name.upper(),
        lower.replace("-", "_"),
        name.replace("-", "_").upper(),
        lower.replace("-", "_", 1),
        lower.replace("-", "."),
    }
    fields = [(spelling.encode(), b"evil") for spelling in sorted(spellings)]
    assert sent(*fields, *fields, (b"x", b"y")) == ((b"x", b"y"),)


@pytest.mark.parametrize(
    "name",
    [b"content_length", b"transfer_encoding", b"content_type", b"sec_fetch_site"],
)
def test_the_framing_and_the_judged_fields_have_one_spelling_l4(name: bytes) -> None:
    assert sent((name, b"5")) == ()


@pytest.mark.parametrize(
    "name",
    [b"my_field", b"x_custom", b"x-csrf-token", b"hosting", b"x-via", b"x-auth-token", b"small"],
)
def test_other_names_are_the_applications_own(name: bytes) -> None:
    assert sent((name, b"1")) == ((name, b"1"),)


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0", b"\r\nx: y"])
def test_a_value_that_splits_a_message_is_refused_l7(octet: bytes) -> None:
    for name in (b"x-a", b"cookie", b"authorization", b"connection"):
        with pytest.raises(Refused) as refused:
            sent((b"x", b"y"), (name, b"a" + octet + b"b"))
        assert refused.value.code is Code.FIELD_MALFORMED


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"\xff", b"a" * 129, b"(a)"])
def test_a_name_that_is_no_token_is_refused_l7(name: bytes) -> None:
    with pytest.raises(Refused) as refused:
        sent((name, b"1"))
    assert refused.value.code is Code.FIELD_MALFORMED


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [
        ((), None),
        ((b"0",), 0),
        ((b"5",), 5),
        ((b"5", b"5"), 5),
        ((b"005",), 5),
        ((b"999999999999999999",), 999999999999999999),
    ],
)
def test_one_valid_length_is_left_to_frame_by_m15(
    lengths: tuple[bytes, ...], kept: int | None
) -> None:
    lines = tuple((b"content-length", length) for length in lengths)
    for fields in (
        sent(*lines),
        sent(*lines, (b"connection", b"content-length")),
        returned(*lines),
    ):
        assert content_length(fields) == kept
        assert len(values(fields, b"content-length")) == (kept is not None)


WRONG_FRAMING: list[Fields] = [
    ((b"content-length", b"5"), (b"content-length", b"6")),
    ((b"content-length", b"5"), (b"content-length", b"05")),
    ((b"content-length", b"5, 5"),),
    ((b"content-length", b"+5"),),
    ((b"content-length", b"-5"),),
    ((b"content-length", b"5 "),),
    ((b"content-length", b"0x5"),),
    ((b"content-length", b""),),
    ((b"content-length", b"\xb2"),),
    ((b"content-length", b"9" * 19),),
    ((b"content-length", b"5"), (b"transfer-encoding", b"chunked")),
    ((b"transfer-encoding", b"identity, chunked"),),
    ((b"transfer-encoding", b"chunked, gzip"),),
    ((b"transfer-encoding", b"xchunked"),),
    ((b"transfer-encoding", b"\x0bchunked"),),
    ((b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")),
    ((b"transfer-encoding", b""),),
]


@pytest.mark.parametrize("fields", WRONG_FRAMING)
@pytest.mark.parametrize("extra", [(), ((b"connection", b"content-length, transfer-encoding"),)])
def test_framing_that_can_be_read_in_two_ways_is_refused_m1_m2_m3(
    fields: Fields, extra: Fields
) -> None:
    with pytest.raises(Refused) as refused:
        sent(*fields, *extra)
    assert refused.value.code is Code.FIELD_MALFORMED
    with pytest.raises(Unavailable) as unavailable:
        returned(*fields, *extra)
    assert unavailable.value.code is Code.UPSTREAM_PROTOCOL


def test_chunked_is_a_matter_of_one_connection() -> None:
    assert sent((b"transfer-encoding", b"Chunked")) == ()
    assert without_defaults(returned((b"transfer-encoding", b"chunked"))) == []


def test_listed_cookies_pass_and_ours_never_a7() -> None:
    fields = (
        (b"cookie", b"a=1; __Host-Http-session=secret"),
        (b"cookie", b"__Host-Http-login=secret; b=2; a=3"),
    )
    allowed = frozenset({"a", "__Host-Http-session", "__Host-Http-login"})
    assert sent(*fields) == ()
    assert sent(*fields, cookies=allowed) == ((b"cookie", b"a=1; a=3"),)
    named_away = (*fields, (b"connection", b"cookie"))
    assert sent(*named_away, cookies=allowed) == ((b"cookie", b"a=1; a=3"),)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (((b"traceparent", GOOD_TRACEPARENT),), True),
        (((b"traceparent", GOOD_TRACEPARENT), (b"tracestate", b"a=1,b=2")), True),
        (((b"tracestate", b"a=1"),), False),
        (((b"traceparent", b"x" * 10_000), (b"tracestate", b"a=1")), False),
        (((b"traceparent", GOOD_TRACEPARENT), (b"traceparent", GOOD_TRACEPARENT)), False),
        (((b"traceparent", GOOD_TRACEPARENT), (b"connection", b"traceparent")), False),
    ],
)
def test_trace_context_passes_whole_or_not_at_all_l14(fields: Fields, *, kept: bool) -> None:
    assert sent(*fields) == (fields if kept else ())


def test_cleaning_twice_changes_nothing() -> None:
    allowed = frozenset({"a"})
    once = sent(
        (b"x-a", b"1"),
        (b"content-length", b"05"),
        (b"cookie", b"a=1; b=2"),
        (b"traceparent", GOOD_TRACEPARENT),
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"connection", b"x-b"),
        (b"x-b", b"1"),
        cookies=allowed,
    )
    assert sent(*once, cookies=allowed) == once
    assert dict(once).keys() == {b"x-a", b"content-length", b"cookie", b"traceparent"}


# towards the browser


def test_an_answer_passes_with_order_and_repeats_l8_l11() -> None:
    fields = (
        (b"content-type", b"application/json"),
        (b"date", b"Mon, 23 Nov 2026 10:00:00 GMT"),
        (b"etag", b'"x"'),
        (b"last-modified", b"Mon, 23 Nov 2026 10:00:00 GMT"),
        (b"content-encoding", b"gzip"),
        (b"content-range", b"bytes 0-1/2"),
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"link", b"</a>; rel=next"),
        (b"content-security-policy", b"default-src 'none'"),
        (b"grpc-status", b"0"),
    )
    assert without_defaults(returned(*fields)) == list(fields)


NOT_FOR_BROWSERS = [
    "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "TE", "Trailer",
    "Upgrade", "Server", "X-Powered-By", "Via", "X-AspNet-Version", "Strict-Transport-Security",
    "Clear-Site-Data", "Service-Worker-Allowed", "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "Alt-Svc", "Refresh",
    "Public-Key-Pins", "Public-Key-Pins-Report-Only", "WWW-Authenticate", "Set-Cookie2",
    "DPoP-Nonce", "NEL", "X-Accel-Redirect", "X-Sendfile", "X-Request-Id",
    "Use-As-Dictionary", "Sec-Session-Registration", "Secure-Session-Registration",
]  # fmt: skip


@pytest.mark.parametrize("name", NOT_FOR_BROWSERS)
@pytest.mark.parametrize("session_used", [True, False])
def test_an_upstream_cannot_speak_for_the_whole_origin_l2_l12_l13(
    name: str, *, session_used: bool
) -> None:
    plain = returned((b"x", b"y"), session_used=session_used)
    for spelling in (name, name.lower(), name.upper()):
        line = (spelling.encode(), b"evil")
        assert returned(line, (b"x", b"y"), line, session_used=session_used) == plain


def test_what_an_upstreams_connection_names_is_dropped_l1() -> None:
    fields = returned((b"x-foo", b"1"), (b"connection", b"X-Foo"), (b"x-bar", b"2"))
    assert without_defaults(fields) == [(b"x-bar", b"2")]


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0"])
def test_an_upstream_cannot_split_the_answer_l7(octet: bytes) -> None:
    for name in (b"x-a", b"set-cookie", b"server", b"location"):
        with pytest.raises(Unavailable) as unavailable:
            returned((name, b"a" + octet + b"b"))
        assert unavailable.value.code is Code.UPSTREAM_PROTOCOL


def test_an_upstreams_malformed_name_is_its_fault() -> None:
    with pytest.raises(Unavailable) as unavailable:
        returned((b"a b", b"1"))
    assert unavailable.value.code is Code.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    "upstream",
    [
        (),
        ((b"cache-control", b"public, max-age=600"), (b"expires", b"x"), (b"age", b"1")),
        ((b"cache-control", b"s-maxage=1"), (b"cache-control", b"public"), (b"pragma", b"x")),
        ((b"cdn-cache-control", b"max-age=9"), (b"surrogate-control", b"max-age=9")),
        ((b"cloudflare-cdn-cache-control", b"max-age=9"),),
    ],
)
def test_an_answer_of_a_session_is_stored_by_nobody_o1(upstream: Fields) -> None:
    fields = returned(*upstream, session_used=True)
    assert without_defaults(fields) == [(b"cache-control", b"no-store"), (b"vary", OURS)]


def test_a_name_of_128_octets_is_long_enough_and_passes() -> None:
    assert sent((b"a" * 128, b"1")) == ((b"a" * 128, b"1"),)


def test_a_public_answer_keeps_its_caching_and_vary() -> None:
    caching = ((b"cache-control", b"public"), (b"age", b"1"), (b"expires", b"x"))
    vary = ((b"vary", b"Accept"), (b"vary", b"Origin"))
    assert without_defaults(returned(*caching, *vary)) == [*caching, *vary]


@pytest.mark.parametrize(
    ("upstream", "merged"),
    [
        ((), OURS),
        ((b"Accept",), b"Accept, " + OURS),
        (
            (b"Accept, Origin", b"X-A"),
            b"Accept, Origin, X-A, Cookie, Sec-Fetch-Site, Sec-Fetch-Mode",
        ),
        ((b"cookie",), b"cookie, Origin, Sec-Fetch-Site, Sec-Fetch-Mode"),
        ((b"Accept, COOKIE",), b"Accept, COOKIE, Origin, Sec-Fetch-Site, Sec-Fetch-Mode"),
        ((b"",), OURS),
        ((b", ,",), OURS),
        ((b"*",), b"*"),
        ((b"Accept, *",), b"Accept, *"),
    ],
)
def test_vary_keeps_the_upstreams_members_and_gains_what_our_answer_depends_on_o3_c10(
    upstream: tuple[bytes, ...], merged: bytes
) -> None:
    lines = tuple((b"vary", value) for value in upstream)
    assert values(returned(*lines, session_used=True), b"vary") == [merged]


def test_set_cookie_is_dropped_unless_listed_and_stays_in_lines_b16_l8() -> None:
    fields = (
        (b"set-cookie", b"a=1; Path=/"),
        (b"set-cookie", b"b=2"),
        (b"set-cookie", b"__Host-Http-session=evil"),
        (b"set-cookie", b"__host-http-SESSION=evil"),
        (b"set-cookie", b"a=3"),
    )
    allowed = frozenset({"a", "__Host-Http-session", "__host-http-SESSION"})
    assert values(returned(*fields), b"set-cookie") == []
    assert values(returned(*fields, cookies=allowed), b"set-cookie") == [b"a=1; Path=/", b"a=3"]


def test_an_answer_with_a_set_cookie_is_stored_by_nobody_o2() -> None:
    fields = (
        (b"set-cookie", b"a=1"),
        (b"cache-control", b"public"),
        (b"cdn-cache-control", b"max-age=9"),
    )
    passed = without_defaults(returned(*fields, cookies=frozenset({"a"})))
    assert passed == [(b"set-cookie", b"a=1"), (b"cache-control", b"no-store")]
    dropped = without_defaults(returned(*fields))
    assert dropped == [(b"cache-control", b"public"), (b"cdn-cache-control", b"max-age=9")]


def test_every_answer_is_not_sniffed_and_stays_on_the_origin_o5() -> None:
    fields = returned()
    assert (b"x-content-type-options", b"nosniff") in fields
    assert (b"cross-origin-resource-policy", b"same-origin") in fields


def test_an_upstreams_own_choice_stands_but_cannot_be_named_away_o5_l3() -> None:
    own = (b"cross-origin-resource-policy", b"cross-origin")
    assert values(returned(own), own[0]) == [b"cross-origin"]
    assert values(returned(own, (b"connection", own[0])), own[0]) == [b"same-origin"]


# pages of our own


def test_our_pages_run_nothing_frame_nowhere_and_tell_nobody_c14_c15() -> None:
    fields = page_fields(secure=True)
    named = dict(fields)
    assert len(named) == len(fields)
    policy = named[b"content-security-policy"].split(b"; ")
    for directive in (
        b"default-src 'none'",
        b"frame-ancestors 'none'",
        b"base-uri 'none'",
        b"form-action 'self'",
    ):
        assert directive in policy
    assert not any(directive.startswith(b"script-src") for directive in policy)
    assert named[b"x-content-type-options"] == b"nosniff"
    assert named[b"referrer-policy"] == b"no-referrer"
    assert named[b"cache-control"] == b"no-store"
    assert named[b"cross-origin-opener-policy"] == b"same-origin"
    assert named[b"x-frame-options"] == b"DENY"
    assert {b"Cookie", b"Origin", b"Sec-Fetch-Site"} <= set(named[b"vary"].split(b", "))


def test_strict_transport_is_said_over_https_for_at_least_a_year_c15() -> None:
    year = 365 * 24 * 3600
    strict = dict(page_fields(secure=True))[b"strict-transport-security"]
    assert int(strict.removeprefix(b"max-age=")) >= year
    assert b"strict-transport-security" not in dict(page_fields(secure=False))
