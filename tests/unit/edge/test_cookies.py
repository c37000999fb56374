import pytest

from gateway.edge.cookies import (
    LOGIN_COOKIE,
    LONGEST_VALUE,
    SESSION_COOKIE,
    CookiePolicy,
    SameSite,
    allowed_set_cookie,
    expired_login_cookie,
    expired_session_cookie,
    forwarded_cookies,
    login_cookie,
    read_cookie,
    session_cookie,
)
from gateway.edge.messages import BrowserRequest, Field
from gateway.errors import Code, Refused

NAME = SESSION_COOKIE.encode()
POLICY = CookiePolicy()


def with_cookies(*values: bytes) -> BrowserRequest:
    return BrowserRequest("GET", b"/", tuple((b"cookie", value) for value in values))


def attributes(field: Field) -> tuple[str, dict[str, str]]:
    """A small Set-Cookie reader: the pair, and the attributes by lower-case name."""
    name, value = field
    assert name == b"set-cookie"
    pair, *rest = value.decode("ascii").split("; ")
    read = [attribute.partition("=") for attribute in rest]
    named = {key.lower(): text for key, _, text in read}
    assert len(named) == len(rest), "an attribute occurs twice (B6)"
    return pair, named


@pytest.mark.parametrize(
    "lines",
    [
        (NAME + b"=good",),
        (b"a=1; " + NAME + b"=good",),
        (b"a=1;" + NAME + b"=good;b=2",),
        (NAME + b"=good; a=1; a=2",),
        (b"a=1", NAME + b"=good"),
        (b"a=1", NAME + b"=good", b"b=2"),
        (b"a=1; b=2", b"; ;" + NAME + b" = good ;"),
        (b"\xff\xfe; =; ;;; " + NAME + b"=good",),
        (NAME + b"=good; " + NAME.lower() + b"=evil",),
        (NAME + b"=good; x" + NAME + b"=evil",),
        (NAME + b"=good; =" + NAME + b"=evil",),
        (NAME + b"=good; " + NAME,),
        (NAME + b'=good; a="; "' + NAME,),
    ],
)
def test_the_cookie_is_found_in_any_line_beside_any_other_cookies_b7(
    lines: tuple[bytes, ...],
) -> None:
    assert read_cookie(with_cookies(*lines), SESSION_COOKIE) == "good"


@pytest.mark.parametrize(
    "lines",
    [
        (NAME + b"=evil; " + NAME + b"=good",),
        (NAME + b"=good; " + NAME + b"=evil",),
        (NAME + b"=good; " + NAME + b"=good",),
        (NAME + b"=good", NAME + b"=evil"),
        (NAME + b"=good; a=1", b"b=2; " + NAME + b"="),
        (NAME + b"=\xff; " + NAME + b"=good",),
        (b'a="; ' + NAME + b'=evil"; ' + NAME + b"=good",),
    ],
)
def test_two_cookies_of_the_name_are_refused_in_both_orders_b8(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused) as refused:
        read_cookie(with_cookies(*lines), SESSION_COOKIE)
    assert refused.value.code is Code.SESSION_AMBIGUOUS


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"",),
        (b"a=1",),
        (NAME,),
        (NAME + b"=",),
        (NAME + b"= ",),
        (NAME + b'="good"',),
        (NAME + b"=go od",),
        (NAME + b"=go,od",),
        (NAME + b"=go\\od",),
        (NAME + b"=go\x00od",),
        (NAME + b"=g\xc3\xb6d",),
        (NAME + b"=" + b"a" * (LONGEST_VALUE + 1),),
        (NAME.lower() + b"=good",),
        (b"x" + NAME + b"=good",),
        (b"=" + NAME + b"=good",),
        (b"\x0b" + NAME + b"=good",),
    ],
)
def test_a_value_we_never_make_is_no_cookie(lines: tuple[bytes, ...]) -> None:
    assert read_cookie(with_cookies(*lines), SESSION_COOKIE) is None


def test_the_longest_value_is_read() -> None:
    longest = "a" * LONGEST_VALUE
    assert read_cookie(with_cookies(NAME + b"=" + longest.encode()), SESSION_COOKIE) == longest


def test_one_purpose_is_not_read_for_the_other_b14() -> None:
    asked = with_cookies(f"{LOGIN_COOKIE}=binding".encode())
    assert read_cookie(asked, SESSION_COOKIE) is None
    assert read_cookie(asked, LOGIN_COOKIE) == "binding"


def test_the_session_cookie_has_every_protection_and_no_lifetime_b1_b2_b3() -> None:
    pair, named = attributes(session_cookie(POLICY, "v.a-l_ue"))
    assert pair == "__Host-Http-session=v.a-l_ue"
    assert named == {"path": "/", "secure": "", "httponly": "", "samesite": "Strict"}


def test_the_login_cookie_survives_the_providers_cross_site_answer_b4() -> None:
    pair, named = attributes(login_cookie(POLICY, "value", 900))
    assert pair == "__Host-Http-login=value"
    assert named == {
        "path": "/",
        "max-age": "900",
        "secure": "",
        "httponly": "",
        "samesite": "Lax",
    }


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("same_site", SameSite)
def test_a_deletion_repeats_every_attribute_b10(same_site: SameSite, *, secure: bool) -> None:
    policy = CookiePolicy(same_site, same_site, secure)
    for made, expired in (
        (session_cookie(policy, "value"), expired_session_cookie(policy)),
        (login_cookie(policy, "value", 900), expired_login_cookie(policy)),
    ):
        pair, named = attributes(made)
        expired_pair, expired_named = attributes(expired)
        assert expired_pair == pair.removesuffix("value")
        assert expired_named.pop("max-age") == "0"
        named.pop("max-age", None)
        assert expired_named == named
        assert named["samesite"] == same_site.value
        assert "domain" not in named


def test_without_secure_the_names_lose_the_prefix_browsers_would_refuse() -> None:
    policy = CookiePolicy(secure=False)
    assert (policy.session_name, policy.login_name) == ("gateway-session", "gateway-login")
    assert attributes(session_cookie(policy, "value")) == (
        "gateway-session=value",
        {"path": "/", "httponly": "", "samesite": "Strict"},
    )


@pytest.mark.parametrize("value", ["a;b", "a b", "a\r\nb", "", "é", "a" * (LONGEST_VALUE + 1)])
def test_a_value_that_could_not_be_read_back_is_a_bug(value: str) -> None:
    with pytest.raises(ValueError, match="read back"):
        session_cookie(POLICY, value)
    with pytest.raises(ValueError, match="read back"):
        login_cookie(POLICY, value, 900)


def test_a_made_cookie_is_read_back() -> None:
    pair, _ = attributes(session_cookie(POLICY, "v.a-l_ue"))
    assert read_cookie(with_cookies(pair.encode()), SESSION_COOKIE) == "v.a-l_ue"


@pytest.mark.parametrize(
    ("lines", "allowed", "forwarded"),
    [
        ((b"a=1; b=2; c=3",), {"a", "c"}, b"a=1; c=3"),
        ((b"a=1", b"b=2", b"a=3"), {"a", "b"}, b"a=1; b=2; a=3"),
        ((b'a="x, y"',), {"a"}, b'a="x, y"'),
        ((b"a=",), {"a"}, b"a="),
        ((b"a=x=y",), {"a"}, b"a=x=y"),
        ((b"A=1",), {"a"}, None),
        ((b"a=1\x01",), {"a"}, None),
        ((b"a",), {"a"}, None),
        ((b"a=1",), set(), None),
        ((b"b=1",), {"a"}, None),
        ((), {"a"}, None),
    ],
)
def test_only_listed_cookies_go_to_the_upstream_a7(
    lines: tuple[bytes, ...], allowed: set[str], forwarded: bytes | None
) -> None:
    assert forwarded_cookies(with_cookies(*lines), frozenset(allowed)) == forwarded


RESERVED = [
    "__Host-Http-session",
    "__Host-Http-login",
    "__host-http-session",
    "__HOST-HTTP-SESSION",
    "__host-http-LOGIN",
    "__Http-session",
    "__http-LOGIN",
    "gateway-session",
    "Gateway-Login",
]


@pytest.mark.parametrize("name", RESERVED)
def test_our_names_never_pass_even_when_listed_a7_b16(name: str) -> None:
    allowed = frozenset({name, "a"})
    asked = with_cookies(f"a=1; {name}=secret".encode(), f"{name}=secret; a=2".encode())
    assert forwarded_cookies(asked, allowed) == b"a=1; a=2"
    assert not allowed_set_cookie(f"{name}=evil; Path=/".encode(), allowed)


@pytest.mark.parametrize(
    ("value", "may"),
    [
        (b"a=1", True),
        (b"a=1; Path=/; HttpOnly", True),
        (b" a = 1", True),
        (b"a=", True),
        (b"__Host-session=1", True),
        (b"__Host-Http-other=1", True),
        (b"b=1", False),
        (b"A=1", False),
        (b"a", False),
        (b"=a", False),
        (b"", False),
        (b"; a=1", False),
        (b"b; a=1", False),
        (b"=__Host-Http-session=evil", False),
        (b"__Host-Http-session=evil", False),
        (b"a=1\x00", False),
        (b"a=1\r\nset-cookie: x=1", False),
        (b"a=1\x7f", False),
        (b"\xff=1", False),
    ],
)
def test_an_upstream_sets_only_what_is_listed_b16(value: bytes, *, may: bool) -> None:
    allowed = frozenset({"a", "__Host-session", "__Host-Http-other"})
    assert allowed_set_cookie(value, allowed) is may


def test_by_default_an_upstream_sets_nothing_b16() -> None:
    assert not allowed_set_cookie(b"a=1", frozenset())
