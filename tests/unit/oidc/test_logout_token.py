"""A logout token says: end these sessions, once, now; whatever is anything else ends none.

Rules J4 to J11. The signature is somebody else's subject (`adapters/test_jose.py`); here it holds.
"""

import base64
import json
from typing import Any

import pytest

from gateway.errors import Code, Refused
from gateway.oidc.client import Client
from gateway.oidc.keys import Algorithm, SignedToken
from gateway.oidc.logout_token import (
    EVENT,
    LONGEST_LIFE,
    LogoutOrder,
    check_logout_token,
    check_unverified,
    read_form,
)
from gateway.secret import LogoutToken
from tests.unit.oidc.examples import CLIENT, ISSUER, NOW, client, refused

LEEWAY = CLIENT.leeway
STRICT = client(require_logout_typ=True)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "spa-gateway",
    "sub": "ada",
    "sid": "sid-1",
    "iat": NOW,
    "exp": NOW + 120,
    "jti": "jti-1",
    "events": {EVENT: {}},
}


def signed(
    algorithm: Algorithm = Algorithm.RS256, typ: str | None = "logout+jwt", **changes: Any
) -> SignedToken:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not ...}
    return SignedToken(algorithm, typ, claims)


def check(token: SignedToken, client: Client = CLIENT) -> LogoutOrder:
    return check_logout_token(token, client, now=NOW)


def compact(header: dict[str, Any], signature: str = "c2ln", claims: Any = CLAIMS) -> LogoutToken:
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (header, claims)
    )
    return LogoutToken(".".join((*parts, signature)))


def test_an_order_holds_what_the_token_says() -> None:
    order = check(signed())
    assert order == LogoutOrder(ISSUER, "ada", "sid-1", "jti-1", NOW, NOW + 120)
    assert "ada" not in repr(order)
    assert "sid-1" not in repr(order)


@pytest.mark.parametrize(
    ("subject", "sid"), [("ada", "sid-1"), ("ada", None), (None, "sid-1")], ids=str
)
def test_sub_or_sid_or_both_j7(subject: str | None, sid: str | None) -> None:
    given: dict[str, Any] = {
        "sub": ... if subject is None else subject,
        "sid": ... if sid is None else sid,
    }
    order = check(signed(**given))
    assert (order.subject, order.sid) == (subject, sid)


FINE: dict[str, dict[str, Any]] = {
    "audience in a list": {"aud": ["spa-gateway"]},
    "our own azp": {"azp": "spa-gateway"},
    "iat a little ahead": {"iat": NOW + LEEWAY},
    "exp a little behind": {"exp": NOW - LEEWAY + 1},
    "a day to live": {"exp": NOW + LONGEST_LIFE},
    "iat long ago, delivered late": {"iat": NOW - 3600},
    "fractions of a second": {"iat": NOW - 0.5, "exp": NOW + 0.5},
    "members in the event": {"events": {EVENT: {"x": 1}}},
    "another event beside it": {"events": {EVENT: {}, "https://other.example/event": {}}},
    "claims nobody knows": {"x": {"y": None}},
    "nbf that has passed": {"nbf": NOW},
}


@pytest.mark.parametrize("name", FINE)
def test_what_the_specification_allows_passes(name: str) -> None:
    assert check(signed(**FINE[name])).jti == "jti-1"


WRONG: dict[str, dict[str, Any]] = {
    "no iss": {"iss": ...},
    "another issuer": {"iss": "https://evil.example"},
    "the issuer with a slash": {"iss": ISSUER + "/"},
    "iss in a list": {"iss": [ISSUER]},
    "no aud": {"aud": ...},
    "another audience": {"aud": "other"},
    "a stranger among the audiences": {"aud": ["spa-gateway", "other"]},
    "an audience that is no text": {"aud": ["spa-gateway", {}]},
    "another azp": {"azp": "other"},
    "no iat": {"iat": ...},
    "iat as text": {"iat": str(NOW)},
    "iat true": {"iat": True},
    "iat in the future": {"iat": NOW + LEEWAY + 1},
    "no exp": {"exp": ...},
    "exp null": {"exp": None},
    "expired": {"exp": NOW - LEEWAY},
    "good for more than a day": {"exp": NOW + LEEWAY + LONGEST_LIFE + 1},
    "good for ever": {"exp": 1e300},
    "nbf in the future": {"nbf": NOW + LEEWAY + 1},
    "nbf as text": {"nbf": "0"},
    "no jti": {"jti": ...},
    "an empty jti": {"jti": ""},
    "a jti that is a number": {"jti": 1},
    "a jti without end": {"jti": "j" * 256},
    "neither sub nor sid": {"sub": ..., "sid": ...},
    "sub null": {"sub": None},
    "sub empty": {"sub": ""},
    "sub a number": {"sub": 1},
    "sub a list": {"sub": ["ada"]},
    "sub too long": {"sub": "a" * 256},
    "sid null": {"sid": None},
    "sid empty": {"sid": ""},
    "sid an object": {"sid": {}},
    "sid too long": {"sid": "s" * 256},
    "no events": {"events": ...},
    "events null": {"events": None},
    "events in a list": {"events": [EVENT]},
    "events in a list of objects": {"events": [{EVENT: {}}]},
    "events as text": {"events": EVENT},
    "events true": {"events": True},
    "events empty": {"events": {}},
    "the event with https": {"events": {EVENT.replace("http:", "https:"): {}}},
    "the event with a slash": {"events": {EVENT + "/": {}}},
    "the event in upper case": {"events": {EVENT.upper(): {}}},
    "the event without its scheme": {"events": {EVENT.removeprefix("http://"): {}}},
    "another event": {"events": {"http://schemas.openid.net/event/frontchannel-logout": {}}},
    "the event null": {"events": {EVENT: None}},
    "the event true": {"events": {EVENT: True}},
    "the event as text": {"events": {EVENT: "{}"}},
    "the event in a list": {"events": {EVENT: [{}]}},
    "a nonce": {"nonce": "n0nce"},
    "a nonce that is null": {"nonce": None},
    "a nonce that is empty": {"nonce": ""},
    "an ID token": {"events": ..., "jti": ..., "nonce": "n0nce", "name": "Ada"},
}


@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_refused_j6_to_j9(name: str) -> None:
    with refused(Code.LOGOUT_TOKEN_CLAIMS) as caught:
        check(signed(**WRONG[name]))
    assert caught.value.note


@pytest.mark.parametrize("typ", ["logout+jwt", "jwt", None])
def test_a_typ_that_providers_send_passes_unless_it_has_to_be_right_j10(typ: str | None) -> None:
    assert check(signed(typ=typ)).jti
    if typ != "logout+jwt":
        with refused(Code.LOGOUT_TOKEN_MALFORMED):
            check(signed(typ=typ), STRICT)
    assert check(signed(), STRICT).jti


@pytest.mark.parametrize("typ", ["at+jwt", "secevent+jwt", "id+jwt", "", "logout", "logout+jwt "])
@pytest.mark.parametrize("which", [CLIENT, STRICT], ids=["lax", "strict"])
def test_a_token_that_calls_itself_something_else_is_refused_j10(which: Client, typ: str) -> None:
    with refused(Code.LOGOUT_TOKEN_MALFORMED):
        check(signed(typ=typ), which)
    with refused(Code.LOGOUT_TOKEN_MALFORMED):
        check_unverified(compact({"alg": "RS256", "typ": typ}), which, now=NOW)


@pytest.mark.parametrize("typ", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
def test_a_media_type_is_compared_without_case_and_prefix(typ: str) -> None:
    """RFC 7515 section 4.1.9."""
    check_unverified(compact({"alg": "RS256", "typ": typ}), STRICT, now=NOW)


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", "HS256", "ES256", "rs256"])
def test_an_alg_nobody_chose_is_refused_before_any_key_is_looked_for_j5(alg: str) -> None:
    with refused(Code.LOGOUT_TOKEN_SIGNATURE):
        check_unverified(compact({"alg": alg, "typ": "logout+jwt"}), CLIENT, now=NOW)


def test_a_signature_with_an_alg_nobody_chose_is_refused_j5() -> None:
    with refused(Code.LOGOUT_TOKEN_SIGNATURE):
        check(signed(Algorithm.ES256))


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c.d", "é.é.é", "e30.e30.", "x" * 20_000])
def test_what_is_no_token_is_refused_before_any_key_is_looked_for(token: str) -> None:
    with refused(Code.LOGOUT_TOKEN_MALFORMED):
        check_unverified(LogoutToken(token), CLIENT, now=NOW)


@pytest.mark.parametrize("header", ['{"alg":"RS256","alg":"none"}', '{"alg":"RS256","crit":[]}'])
def test_a_header_that_two_readers_could_read_otherwise_is_refused(header: str) -> None:
    head = base64.urlsafe_b64encode(header.encode()).rstrip(b"=").decode()
    with refused(Code.LOGOUT_TOKEN_MALFORMED):
        check_unverified(LogoutToken(f"{head}.e30.c2ln"), CLIENT, now=NOW)


@pytest.mark.parametrize("payload", [b"[]", b"{", b"7", b'{"iss":1,"iss":2}', b"\xff"])
def test_a_payload_that_is_no_object_is_refused_before_any_key_is_looked_for(
    payload: bytes,
) -> None:
    head, body = (
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (b'{"alg":"RS256"}', payload)
    )
    with refused(Code.LOGOUT_TOKEN_MALFORMED):
        check_unverified(LogoutToken(f"{head}.{body}.c2ln"), CLIENT, now=NOW)


@pytest.mark.parametrize(
    "lie",
    [{"iss": "x"}, {"aud": "x"}, {"exp": NOW - 31}, {"iat": NOW + 31}, {"events": {}}, {"jti": 1}],
    ids=lambda lie: next(iter(lie)),
)
def test_claims_that_no_signature_could_save_are_refused_before_one_is_checked_j17(
    lie: dict[str, Any],
) -> None:
    header = {"alg": "RS256", "typ": "logout+jwt"}
    check_unverified(compact(header), CLIENT, now=NOW)
    with refused(Code.LOGOUT_TOKEN_CLAIMS):
        check_unverified(compact(header, claims=CLAIMS | lie), CLIENT, now=NOW)


@pytest.mark.parametrize(
    "body", [b"logout_token=x", b"a=1&logout_token=x&b", b"logout_token=x&logout%ff=y"]
)
def test_the_form_holds_one_token_and_whatever_else_j4(body: bytes) -> None:
    assert read_form(body) == LogoutToken("x")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"logout_token",
        b"logout_token=",
        b"Logout_Token=x",
        b'{"logout_token": "x"}',
        b"logout_token=x&logout_token=x",
        b"logout_token=x&logout%5Ftoken=y",
        b"logout_token=&logout_token=x",
        b"logout_token=%",
        b"logout_token=%ff",
    ],
)
def test_a_form_without_a_token_or_with_two_is_refused_j4(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_form(body)
    assert caught.value.code is Code.LOGOUT_TOKEN_MISSING
