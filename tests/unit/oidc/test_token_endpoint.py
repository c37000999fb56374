"""What the token endpoint is asked, and what its answers amount to."""

import base64
import json
from typing import Any
from urllib.parse import unquote_plus

import pytest

from gateway.errors import Code, Refused, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer
from gateway.oidc.callback import match_callback, read_answer
from gateway.oidc.client import Client, ClientAuth
from gateway.oidc.token_endpoint import (
    MAX_LIFETIME,
    MAX_TOKEN,
    Grant,
    GrantRefused,
    assertion_claims,
    code_grant,
    read_grant,
    refresh_grant,
)
from gateway.secret import AccessToken, ClientSecret, CodeVerifier, IdToken, RefreshToken
from tests.unit.oidc.examples import (
    ATTEMPT,
    CLIENT,
    ISSUER,
    METADATA,
    NOW,
    SECRET,
    client,
    fields_of,
    form_of,
    json_answer,
    key_client,
    plain_client,
    refused,
)

CODE = match_callback(read_answer(b"code=c0de&state=st"), ATTEMPT, CLIENT, METADATA)
VERIFIER = CodeVerifier("v" * 43)
ASKED = frozenset({"openid", "profile"})
ANSWER: dict[str, Any] = {
    "access_token": "at-1",
    "token_type": "Bearer",
    "expires_in": 300,
    "refresh_token": "rt-1",
    "id_token": "h.p.s",
    "scope": "openid profile api",
    "an_unknown_member": [1, {"x": None}],
}
POSTING = client(auth=ClientAuth.CLIENT_SECRET_POST)


def read(client: Client = CLIENT, **changes: Any) -> Grant:
    members = {name: value for name, value in (ANSWER | changes).items() if value is not ...}
    return read_grant(json_answer(members), client, now=NOW, asked=ASKED)


# -- requests --------------------------------------------------------------------------------------


def test_e17_a_code_is_spent_with_verifier_and_redirect_uri() -> None:
    request = code_grant(CLIENT, METADATA, CODE, VERIFIER, None)
    assert (request.method, request.url) == ("POST", "https://id.example/token")
    assert form_of(request) == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": CLIENT.redirect_uri,
        "code_verifier": "v" * 43,
    }
    assert fields_of(request)[b"content-type"] == b"application/x-www-form-urlencoded"
    assert fields_of(request)[b"accept"] == b"application/json"


def test_e7_a_code_never_goes_to_another_issuers_token_endpoint() -> None:
    with refused(Code.CALLBACK_ISSUER):
        code_grant(client(issuer="https://evil.example"), METADATA, CODE, VERIFIER, None)


def test_a_refresh_token_is_spent_with_or_without_scopes() -> None:
    spent = RefreshToken("rt 1&x=y")
    whole = refresh_grant(CLIENT, METADATA, spent, None, None)
    assert form_of(whole) == {"grant_type": "refresh_token", "refresh_token": "rt 1&x=y"}
    fewer = refresh_grant(CLIENT, METADATA, spent, frozenset({"b", "a"}), None)
    assert form_of(fewer)["scope"] == "a b"


# -- client authentication -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [
        ("spa-gateway", SECRET),
        ("spa", "a:b+c%d/é"),
        ("https://app.example/client:1", "päss wörd&=%20"),
        ("a b", "~*'()!"),
    ],
)
def test_h1_id_and_secret_are_form_encoded_before_base64(client_id: str, secret: str) -> None:
    one = client(client_id=client_id, secret=ClientSecret(secret))
    scheme, _, value = fields_of(refresh(one, None))[b"authorization"].partition(b" ")
    assert scheme == b"Basic"
    name, colon, word = base64.b64decode(value, validate=True).decode("ascii").partition(":")
    assert (unquote_plus(name), colon, unquote_plus(word)) == (client_id, ":", secret)


def test_h1_the_well_known_case() -> None:
    one = client(client_id="spa", secret=ClientSecret("a:b+c%d/é"))
    value = fields_of(refresh(one, None))[b"authorization"].removeprefix(b"Basic ")
    assert base64.b64decode(value) == b"spa:a%3Ab%2Bc%25d%2F%C3%A9"


def refresh(one: Client, assertion: str | None) -> Any:
    return refresh_grant(one, METADATA, RefreshToken("rt"), None, assertion)


@pytest.mark.parametrize("assertion", [None, "a.b.c"])
def test_e17_basic_sends_nothing_in_the_body(assertion: str | None) -> None:
    request = refresh(CLIENT, assertion)
    assert b"authorization" in fields_of(request)
    assert set(form_of(request)) == {"grant_type", "refresh_token"}


@pytest.mark.parametrize("assertion", [None, "a.b.c"])
def test_e17_post_sends_nothing_in_the_header(assertion: str | None) -> None:
    request = refresh(POSTING, assertion)
    assert b"authorization" not in fields_of(request)
    assert form_of(request) == {
        "grant_type": "refresh_token",
        "refresh_token": "rt",
        "client_id": "spa-gateway",
        "client_secret": SECRET,
    }


def test_e17_h2_private_key_jwt_sends_the_assertion_and_no_secret() -> None:
    request = refresh(key_client(), "a.b.c")
    assert b"authorization" not in fields_of(request)
    assert form_of(request) == {
        "grant_type": "refresh_token",
        "refresh_token": "rt",
        "client_id": "spa-gateway",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "a.b.c",
    }


def test_a1_without_proof_nothing_is_sent() -> None:
    with pytest.raises(ValueError, match="assertion"):
        refresh(key_client(), None)


def test_h3_the_assertions_audience_is_the_issuer_as_one_string() -> None:
    claims = assertion_claims(key_client(), NOW + 0.75, "j1")
    assert claims == {
        "iss": "spa-gateway",
        "sub": "spa-gateway",
        "aud": ISSUER,
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "jti": "j1",
    }


def test_h4_each_assertion_has_its_own_jti() -> None:
    assert [assertion_claims(CLIENT, NOW, jti)["jti"] for jti in ("a", "b")] == ["a", "b"]


def test_requests_do_not_print_credentials() -> None:
    for request in (
        refresh(CLIENT, None),
        refresh(POSTING, None),
        refresh(key_client(), "as.se.rt"),
    ):
        assert SECRET not in repr(request)
        assert "as.se.rt" not in repr(request)


# -- grants ----------------------------------------------------------------------------------------


def test_a_whole_grant_is_read() -> None:
    assert read() == Grant(
        access_token=AccessToken("at-1"),
        expires_at=NOW + 300,
        scopes=frozenset({"openid", "profile", "api"}),
        refresh_token=RefreshToken("rt-1"),
        id_token=IdToken("h.p.s"),
        received_at=NOW,
    )


def test_a_grant_does_not_print_its_tokens() -> None:
    shown = repr(read())
    for token in ("at-1", "rt-1", "h.p.s"):
        assert token not in shown


@pytest.mark.parametrize("absent", [..., None, ""])
def test_g1_h7_what_is_not_sent_is_none_and_never_invented(absent: object) -> None:
    grant = read(refresh_token=absent, id_token=absent)
    assert grant.refresh_token is None
    assert grant.id_token is None


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_h5_the_token_type_is_compared_without_case(token_type: str) -> None:
    assert read(token_type=token_type).access_token == AccessToken("at-1")


@pytest.mark.parametrize("token_type", ["mac", "DPoP", "N_A", "", "Bearer ", "bearertoken"])
def test_h5_an_unknown_token_type_is_refused(token_type: str) -> None:
    with refused(Code.TOKEN_TYPE_UNSUPPORTED):
        read(token_type=token_type)


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (300, 300),
        (0.5, 0.5),
        (3599.9, 3599.9),
        ("3600", 3600),
        ("3600.5", 3600.5),
        # nothing usable was said: the short default
        (..., 120),
        (None, 120),
        (0, 120),
        (0.0, 120),
        ("0", 120),
        (-1, 120),
        (-1e300, 120),
        ("-1", 120),
        ("", 120),
        ("soon", 120),
        ("1e3", 120),
        ("0x10", 120),
        ("inf", 120),
        ("nan", 120),
        (" 3600", 120),
        (True, 120),
        (False, 120),
        ([3600], 120),
        ({"seconds": 3600}, 120),
        (float("nan"), 120),
        (float("inf"), 120),  # `Infinity` is not JSON: null
        # more than is believable: the cap
        (1e300, MAX_LIFETIME),
        (10**18, MAX_LIFETIME),
        (10**400, MAX_LIFETIME),
        ("9" * 300, MAX_LIFETIME),
        (2**31, MAX_LIFETIME),
        (MAX_LIFETIME + 1, MAX_LIFETIME),
    ],
)
def test_h6_no_expires_in_means_for_ever_or_breaks_anything(
    expires_in: object, lifetime: float
) -> None:
    grant = read(client(default_token_lifetime=120.0), expires_in=expires_in)
    assert grant.expires_at == NOW + lifetime
    assert grant.received_at == NOW


def test_h6_the_default_itself_is_capped() -> None:
    assert read(client(default_token_lifetime=1e9), expires_in=...).expires_at == NOW + MAX_LIFETIME


def test_h6_a_number_too_large_for_any_float_is_capped() -> None:
    body = b'{"access_token":"a","token_type":"bearer","expires_in":1e999}'
    grant = read_grant(BackChannelAnswer(200, "", body), CLIENT, now=NOW, asked=ASKED)
    assert grant.expires_at == NOW + MAX_LIFETIME


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (..., ASKED),
        (None, ASKED),
        ("", frozenset()),
        ("openid", frozenset({"openid"})),
        ("a b a", frozenset({"a", "b"})),
        ("https://api.example/read", frozenset({"https://api.example/read"})),
    ],
)
def test_the_granted_scopes_are_the_answers_or_else_those_asked_for(
    scope: object, scopes: frozenset[str]
) -> None:
    assert read(scope=scope).scopes == scopes


@pytest.mark.parametrize(
    "scope", [["openid"], 1, "a  b", " a", "a\tb", 'a"b', "a\\b", "é", "s" * 8193]
)
def test_a_malformed_scope_is_refused(scope: object) -> None:
    with refused(Code.TOKEN_RESPONSE_INVALID):
        read(scope=scope)


@pytest.mark.parametrize("size", [1, 10, 8192, MAX_TOKEN])
def test_h15_tokens_are_opaque_and_of_any_reasonable_size(size: int) -> None:
    grant = read(access_token="~" * size, refresh_token="!" * size)
    assert grant.access_token.reveal() == "~" * size
    assert grant.refresh_token == RefreshToken("!" * size)


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token"])
@pytest.mark.parametrize(
    "value",
    ["t" * (MAX_TOKEN + 1), "a b", "a\r\nx: y", "a\x00", "é", "\t", " ", 1, True, ["t"], {"t": 1}],
)
def test_a_token_that_cannot_stand_in_a_header_is_refused(name: str, value: Any) -> None:
    with refused(Code.TOKEN_RESPONSE_INVALID):
        read(**{name: value})


@pytest.mark.parametrize(
    "changes", [{"access_token": ...}, {"access_token": ""}, {"access_token": None}]
)
def test_a_grant_without_access_token_is_refused(changes: dict[str, Any]) -> None:
    with refused(Code.TOKEN_RESPONSE_INVALID):
        read(**changes)


@pytest.mark.parametrize("token_type", [..., None, 1, ["Bearer"]])
def test_a_grant_without_token_type_is_refused(token_type: object) -> None:
    with refused(Code.TOKEN_RESPONSE_INVALID):
        read(token_type=token_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Please sign in to the WiFi</html>",
        b"[]",
        b"null",
        b"access_token=a&token_type=bearer",
        b'{"access_token":"a","access_token":"b","token_type":"bearer"}',
        b'{"access_token":"a","token_type":"bearer","x":{"y":1,"y":2}}',
        b'{"error":"invalid_grant"}',  # a 200 is no refusal, whatever it says
        b'{"access_token":"a","token_type":"bearer"',
        b'{"access_token":"\xff","token_type":"bearer"}',
    ],
)
def test_a_200_that_is_not_a_grant_is_refused_and_is_no_verdict(body: bytes) -> None:
    with refused(Code.TOKEN_RESPONSE_INVALID) as caught:
        read_grant(BackChannelAnswer(200, "application/json", body), CLIENT, now=NOW, asked=ASKED)
    assert not isinstance(caught.value, GrantRefused)


# -- refusals and outages --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        ("invalid_grant", True),
        ("invalid_client", False),
        ("invalid_request", False),
        ("unauthorized_client", False),
        ("temporarily_unavailable", False),
        ("invalid_grant ", False),
        ("Invalid_Grant", False),
        ("not_invalid_grant", False),
    ],
)
def test_only_invalid_grant_itself_is_a_verdict(status: int, error: str, is_final: bool) -> None:
    body = {"error": error, "error_description": "invalid_grant: the token is invalid_grant"}
    with refused(Code.TOKEN_GRANT_REFUSED) as caught:
        read_grant(json_answer(body, status), CLIENT, now=NOW, asked=ASKED)
    assert isinstance(caught.value, GrantRefused)
    assert caught.value.error == error
    assert caught.value.is_final is is_final


@pytest.mark.parametrize("status", [402, 403, 404, 422])
def test_other_refusals_count_where_the_error_is_one_of_the_rfc(status: int) -> None:
    """Auth0 says 403 of a dead refresh token; what stands before a provider has its own words."""
    with pytest.raises(GrantRefused) as caught:
        read_grant(json_answer({"error": "invalid_grant"}, status), CLIENT, now=NOW, asked=ASKED)
    assert caught.value.is_final
    with pytest.raises(Unavailable):
        read_grant(json_answer({"error": "forbidden"}, status), CLIENT, now=NOW, asked=ASKED)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (400, b"invalid_grant"),
        (400, b"[]"),
        (400, b'"invalid_grant"'),
        (400, b"{}"),
        (400, b'{"error":""}'),
        (400, b'{"error":null}'),
        (400, b'{"error":["invalid_grant"]}'),
        (400, b'{"error":{"code":"invalid_grant"}}'),
        (400, b'{"error_description":"invalid_grant"}'),
        (400, b'{"error":"invalid_grant","error":"server_error"}'),
        (401, b"<html>invalid_grant</html>"),
        (403, b'{"message":"invalid_grant"}'),
        (404, b"<html>invalid_grant</html>"),
        (408, b'{"error":"invalid_grant"}'),
        (425, b'{"error":"invalid_grant"}'),
        (429, b'{"error":"invalid_grant"}'),
        (500, b'{"error":"invalid_grant"}'),
        (502, b"<html></html>"),
        (503, b""),
        (201, json.dumps(ANSWER).encode()),
        (204, b""),
        (302, b""),
        (307, json.dumps(ANSWER).encode()),
    ],
)
def test_h10_everything_else_is_an_outage_and_ends_nothing(status: int, body: bytes) -> None:
    answer = BackChannelAnswer(status, "application/json", body, retry_after=9)
    with pytest.raises(Unavailable) as caught:
        read_grant(answer, CLIENT, now=NOW, asked=ASKED)
    assert caught.value.code is Code.PROVIDER_UNAVAILABLE
    assert caught.value.retry_after == 9


def test_an_outage_without_retry_after_asks_for_a_second() -> None:
    with pytest.raises(Unavailable) as caught:
        read_grant(BackChannelAnswer(503), CLIENT, now=NOW, asked=ASKED)
    assert caught.value.retry_after == 1


def test_a_refusal_does_not_log_what_a_provider_made_up() -> None:
    with pytest.raises(Refused) as caught:
        read_grant(json_answer({"error": "evil\r\nwords"}, 400), CLIENT, now=NOW, asked=ASKED)
    assert "evil" not in str(caught.value)


def test_a_plain_providers_grant_needs_no_id_token() -> None:
    grant = read(plain_client(), id_token=..., scope="read:user,user:email")
    assert grant.id_token is None
    assert grant.scopes == {"read:user,user:email"}
