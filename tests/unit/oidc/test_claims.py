"""Claims are about the right person, and the application sees only what is about a person."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Code, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer
from gateway.oidc.claims import (
    MAX_USER_CLAIMS,
    OMITTED,
    plain_subject,
    read_userinfo,
    user_claims,
    userinfo_request,
)
from gateway.oidc.id_token import plain_identity
from gateway.secret import AccessToken
from tests.unit.oidc.examples import (
    CLIENT,
    METADATA,
    fields_of,
    json_answer,
    plain_client,
    refused,
)

INFO = {"sub": "ada", "name": "Ada", "email": "ada@x.example"}
GITHUB_LIKE = plain_client()


def test_h14_the_token_goes_in_the_header_alone() -> None:
    request = userinfo_request(METADATA, AccessToken("at-1"))
    assert (request.method, request.url) == ("GET", "https://id.example/userinfo")
    assert fields_of(request)[b"authorization"] == b"Bearer at-1"
    assert request.body == b""
    assert "at-1" not in repr(request)


def test_a_provider_without_the_endpoint_cannot_be_asked() -> None:
    with refused(Code.PROVIDER_METADATA):
        userinfo_request(replace(METADATA, userinfo_endpoint=None), AccessToken("at-1"))


def test_g15_the_subjects_own_claims_are_read() -> None:
    assert read_userinfo(json_answer(INFO), subject="ada", client=CLIENT) == INFO


@pytest.mark.parametrize("sub", ["eve", "Ada", "ada ", "", None, 1, True, ["ada"], ...])
def test_g15_another_subjects_claims_are_refused(sub: object) -> None:
    members = {name: value for name, value in (INFO | {"sub": sub}).items() if value is not ...}
    with refused(Code.USERINFO_INVALID):
        read_userinfo(json_answer(members), subject="ada", client=CLIENT)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        " application/json ; x=y",
    ],
)
def test_g16_json_is_read(content_type: str) -> None:
    answer = BackChannelAnswer(200, content_type, json.dumps(INFO).encode())
    assert read_userinfo(answer, subject="ada", client=CLIENT)["name"] == "Ada"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/html",
        "text/plain",
        "application/jwt",
        "application/jsonp",
        "application/problem+json",
        "text/html; a=application/json",
    ],
)
def test_g16_anything_else_is_refused(content_type: str) -> None:
    with refused(Code.USERINFO_INVALID):
        answer = BackChannelAnswer(200, content_type, json.dumps(INFO).encode())
        read_userinfo(answer, subject="ada", client=CLIENT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"ada"',
        b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
        b'{"sub":"ada","sub":"ada"}',
        b'{"sub":"eve","sub":"ada"}',
        b'{"sub":"ada"',
    ],
)
def test_g16_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    with refused(Code.USERINFO_INVALID):
        answer = BackChannelAnswer(200, "application/json", body)
        read_userinfo(answer, subject="ada", client=CLIENT)


@pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 403, 404])
def test_another_status_is_a_refusal(status: int) -> None:
    with refused(Code.USERINFO_INVALID):
        read_userinfo(json_answer(INFO, status), subject="ada", client=CLIENT)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_an_outage_is_an_outage(status: int) -> None:
    with pytest.raises(Unavailable) as caught:
        read_userinfo(json_answer(INFO, status, retry_after=5), subject="ada", client=CLIENT)
    assert (caught.value.code, caught.value.retry_after) == (Code.PROVIDER_UNAVAILABLE, 5)


# -- plain OAuth 2.0 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "subject"),
    [
        ("u1", "u1"),
        (42, "42"),
        (0, "0"),
        (-7, "-7"),
        (10**200, str(10**200)),
        ("jürg", "jürg"),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_plain_providers_user_is_named_by_the_configured_claim(
    identifier: object, subject: str
) -> None:
    answer = json_answer({"id": identifier, "login": "ada", "sub": "not-this"})
    info = read_userinfo(answer, subject=None, client=GITHUB_LIKE)
    assert info["sub"] == subject
    identity = plain_identity(info, GITHUB_LIKE)
    assert (identity.issuer, identity.subject) == ("https://plain.example", subject)
    assert (identity.sid, identity.acr, identity.auth_time) == (None, None, None)


@pytest.mark.parametrize(
    "identifier",
    [..., None, "", "x" * 256, 10**255, 1.5, True, False, ["u1"], {"id": 1}, "a\nb", "\x00"],
)
def test_a_plain_provider_that_does_not_say_who_it_is_logs_nobody_in(identifier: object) -> None:
    members: dict[str, Any] = {"id": identifier, "login": "ada"}
    if identifier is ...:
        del members["id"]
    with refused(Code.USERINFO_INVALID):
        read_userinfo(json_answer(members), subject=None, client=GITHUB_LIKE)
    with refused(Code.USERINFO_INVALID):
        plain_subject(members, GITHUB_LIKE)


def test_d9_one_identifier_at_two_providers_is_two_people() -> None:
    endpoints = replace(METADATA, issuer="https://other.example")
    other = plain_client(issuer="https://other.example", endpoints=endpoints)
    assert plain_identity({"id": 1}, GITHUB_LIKE) != plain_identity({"id": 1}, other)


# -- what the application sees ---------------------------------------------------------------------


def test_a3_protocol_claims_and_tokens_are_not_shown() -> None:
    hidden = [
        *("nonce", "at_hash", "c_hash", "s_hash", "aud", "azp", "exp", "iat", "nbf", "jti"),
        *("auth_time", "sid", "access_token", "refresh_token", "id_token", "code"),
    ]
    claims = dict.fromkeys(hidden, "x")
    assert user_claims(claims | {"sub": "ada"}, claims | {"name": "Ada"}) == {
        "sub": "ada",
        "name": "Ada",
    }


def test_userinfo_is_fresher_but_never_restates_what_is_signed() -> None:
    signed = {
        "iss": "https://id.example",
        "sub": "ada",
        "acr": "silver",
        "amr": ["pwd"],
        "name": "A",
    }
    told = {
        "iss": "https://evil.example",
        "sub": "eve",
        "acr": "gold",
        "amr": ["mfa"],
        "name": "Ada",
    }
    assert user_claims(signed, told) == signed | {"name": "Ada"}


def test_a_plain_providers_claims_are_all_there_is() -> None:
    assert user_claims({}, {"sub": "1", "id": 1, "login": "ada"}) == {
        "sub": "1",
        "id": 1,
        "login": "ada",
    }


def size(claims: dict[str, object]) -> int:
    return len(json.dumps(claims).encode())


def test_claims_up_to_the_bound_are_kept_whole() -> None:
    claims: dict[str, object] = {"sub": "ada", "groups": ["g" * 37] * 300}
    assert user_claims(claims, {}) == claims


def test_beyond_the_bound_the_largest_give_way_and_are_named() -> None:
    claims: dict[str, object] = {
        "sub": "s" * 255,
        "name": "Ada",
        "groups": ["g" * 36] * 1000,
        "photo": "p" * 15_000,
        "é": "x" * 50_000,
    }
    shown = user_claims(claims, {"email": "ada@x.example"})
    assert shown == {
        "sub": "s" * 255,
        "name": "Ada",
        "email": "ada@x.example",
        OMITTED: ["groups", "photo"],
    }


def test_many_small_claims_are_bounded_too_and_the_subject_stays() -> None:
    claims: dict[str, object] = {f"claim-{number:05}": "\U0001f600" for number in range(20_000)}
    shown = user_claims({**claims, "sub": "s" * 255}, {})
    assert size(shown) <= MAX_USER_CLAIMS
    assert shown["sub"] == "s" * 255
    omitted = shown[OMITTED]
    assert isinstance(omitted, list)
    assert len(omitted) == 20
