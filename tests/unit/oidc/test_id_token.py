"""An ID token says: this person, at this provider, for this client, in this login, just now.

The signature is somebody else's subject (`adapters/test_jose.py`); here it holds.
"""

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Code, Refused
from gateway.oidc.attempt import LoginAttempt
from gateway.oidc.client import Client
from gateway.oidc.id_token import OLDEST, Identity, check_id_token, check_refreshed_id_token
from gateway.oidc.keys import Algorithm, SignedToken
from gateway.secret import AccessToken, Nonce
from tests.unit.oidc.examples import ATTEMPT, CLIENT, ISSUER, NOW, client, refused

ACCESS_TOKEN = AccessToken("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")
NONCE = Nonce("n0nce")
LEEWAY = CLIENT.leeway
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "ada",
    "aud": "spa-gateway",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": "n0nce",
    "name": "Ada",
}


def signed(
    algorithm: Algorithm = Algorithm.RS256, typ: str | None = "jwt", **changes: Any
) -> SignedToken:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not ...}
    return SignedToken(algorithm, typ, claims)


def check(token: SignedToken, client: Client = CLIENT, attempt: LoginAttempt = ATTEMPT) -> Identity:
    return check_id_token(
        token, client, nonce=NONCE, access_token=ACCESS_TOKEN, now=NOW, attempt=attempt
    )


def check_refreshed(token: SignedToken, client: Client = CLIENT, **changes: Any) -> Identity:
    session: dict[str, Any] = {
        "issuer": ISSUER,
        "subject": "ada",
        "nonce": NONCE,
        "auth_time": NOW - 3600,
    }
    return check_refreshed_id_token(
        token, client, access_token=ACCESS_TOKEN, now=NOW, **(session | changes)
    )


def asked(**changes: Any) -> LoginAttempt:
    return replace(ATTEMPT, **changes)


# Both checks share these rules: the name of each says which one is broken, the code is the same.
BROKEN: list[Any] = []


def broken(name: str, code: Code, **changes: Any) -> None:
    BROKEN.append(pytest.param(code, changes, id=name))


for number, typ in enumerate(["at+jwt", "logout+jwt", "id+jwt", "dpop+jwt", "jws", ""]):
    broken(f"g17_typ_{number}", Code.ID_TOKEN_MALFORMED, typ=typ)
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
for text in (f'{{"{LOGOUT}":{{}}}}', "{}", "null", "[]"):
    broken(f"g17_events_{text}", Code.ID_TOKEN_MALFORMED, events=json.loads(text))
for iss in (ISSUER + "/", ISSUER.upper(), "https://evil.example", "", None, 1, [ISSUER], ...):
    broken(f"g3_iss_{iss}", Code.ID_TOKEN_ISSUER, iss=iss)
for aud in (
    "other",
    "Spa-Gateway",
    "spa-gateway ",
    "",
    None,
    1,
    True,
    [],
    ["other"],
    ["spa-gateway", "evil"],
    ["spa-gateway", None],
    ["spa-gateway", ["spa-gateway"]],
    [["spa-gateway"]],
    {"spa-gateway": True},
    ...,
):
    broken(f"g4_aud_{aud}", Code.ID_TOKEN_AUDIENCE, aud=aud)
broken("g4_azp_does_not_stand_in_for_aud", Code.ID_TOKEN_AUDIENCE, aud="other", azp="spa-gateway")
for azp in ("other", "", None, 1, ["spa-gateway"]):
    broken(f"g5_azp_{azp}", Code.ID_TOKEN_AUDIENCE, azp=azp)
for algorithm in (Algorithm.HS256, Algorithm.PS256, Algorithm.ES256, Algorithm.RS512):
    broken(f"g7_{algorithm}", Code.ID_TOKEN_SIGNATURE, algorithm=algorithm)
for exp in (NOW - LEEWAY, NOW - 121, 0, -1, -1e300, "", str(NOW + 300), True, None, [NOW], ...):
    broken(f"g8_exp_{exp}", Code.ID_TOKEN_TIME, exp=exp)
for iat in (
    NOW + LEEWAY + 1,
    NOW - LEEWAY - OLDEST - 1,
    NOW - 10 * 365 * 86400,
    0,
    1e300,
    10**400,
    "now",
    True,
    None,
    ...,
):
    broken(f"g9_iat_{str(iat)[:12]}", Code.ID_TOKEN_TIME, iat=iat)
for nbf in (NOW + LEEWAY + 1, 1e300, "now", None, True):
    broken(f"g9_nbf_{nbf}", Code.ID_TOKEN_TIME, nbf=nbf)
for nonce in ("other", "N0nce", "n0nce ", "", None, 1, ["n0nce"], "n0ncé", "\ud800"):
    broken(f"g10_nonce_{nonce!a}", Code.ID_TOKEN_NONCE, nonce=nonce)
for sub in ("", "x" * 256, "adä", "ad\na", "a\x00", None, 1, True, ["ada"], ...):
    broken(f"g14_sub_{str(sub)[:8]!a}", Code.ID_TOKEN_SUBJECT, sub=sub)
for at_hash in ("other", "", None, 1, "é", ["77QmUPtjPfzWtF2AnpK9RQ"], "77QmUPtjPfzWtF2AnpK9RQ=="):
    broken(f"g13_at_hash_{at_hash!a}", Code.ID_TOKEN_HASH, at_hash=at_hash)
for auth_time in (NOW + LEEWAY + 1, 1e300, "then", None, True):
    broken(f"g12_auth_time_{auth_time}", Code.ID_TOKEN_AUTH_TIME, auth_time=auth_time)
for sid in (1, True, ["s"], "s" * 256):
    broken(f"sid_{str(sid)[:5]}", Code.ID_TOKEN_MALFORMED, sid=sid)


@pytest.mark.parametrize(("code", "changes"), BROKEN)
def test_one_broken_rule_is_enough_to_refuse_a_login(code: Code, changes: dict[str, Any]) -> None:
    with refused(code):
        check(signed(**changes))


@pytest.mark.parametrize(("code", "changes"), BROKEN)
def test_g18_a_refreshed_id_token_keeps_the_same_rules(code: Code, changes: dict[str, Any]) -> None:
    for name in changes.keys() & {"iss", "sub"}:
        if not isinstance(changes[name], str) or not changes[name]:
            code = Code.ID_TOKEN_MALFORMED  # it is about nobody, and so about nobody else
    with refused(code):
        check_refreshed(signed(**changes))


SOUND: list[Any] = [
    pytest.param(changes, id=name)
    for name, changes in {
        "as_it_is": {},
        "g17_no_typ": {"typ": None},
        "g4_aud_as_a_list": {"aud": ["spa-gateway"]},
        "g4_aud_twice_the_same": {"aud": ["spa-gateway", "spa-gateway"]},
        "g5_azp_ours": {"azp": "spa-gateway"},
        "g8_exp_within_leeway": {"exp": NOW - LEEWAY + 1},
        "g8_exp_fraction": {"exp": NOW + 0.5},
        "g8_exp_past_2038": {"exp": 2**33},
        "g8_exp_enormous": {"exp": 10**400},
        "g9_iat_within_leeway": {"iat": NOW + LEEWAY},
        "g9_iat_as_old_as_may_be": {"iat": NOW - OLDEST - LEEWAY},
        "g9_nbf_within_leeway": {"nbf": NOW + LEEWAY},
        "sid_null": {"sid": None},
        "sid_empty": {"sid": ""},
        "acr_of_a_strange_type_that_nobody_asked_for": {"acr": 1},
        "unknown_claims": {"x": {"y": [1]}, "roles": ["admin"]},
        "g13_at_hash": {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
    }.items()
]


@pytest.mark.parametrize("changes", SOUND)
def test_a_sound_token_names_its_person(changes: dict[str, Any]) -> None:
    token = signed(**changes)
    for identity in (check(token), check_refreshed(token)):
        assert (identity.issuer, identity.subject) == (ISSUER, "ada")
        assert identity.claims == token.claims
        assert identity.sid is None
        assert identity.acr is None


def test_everything_a_session_keeps_is_read() -> None:
    identity = check(signed(sid="sid-1", acr="gold", auth_time=NOW - 100))
    assert (identity.sid, identity.acr, identity.auth_time) == ("sid-1", "gold", NOW - 100)
    assert check(signed(sub="x" * 255)).subject == "x" * 255
    assert check(signed(sid="s" * 255)).sid == "s" * 255


def test_g4_other_audiences_only_if_configured() -> None:
    token = signed(aud=["spa-gateway", "api"])
    trusting = client(trusted_audiences=frozenset({"api"}))
    assert check(token, trusting).subject == "ada"
    with refused(Code.ID_TOKEN_AUDIENCE):
        check(signed(aud=["spa-gateway", "api", "evil"]), trusting)
    with refused(Code.ID_TOKEN_AUDIENCE):
        check(signed(aud=["api"]), trusting)


def test_g7_the_configured_algorithm_is_the_one_that_counts() -> None:
    elliptic = client(id_token_algorithms=frozenset({Algorithm.ES256}))
    assert check(signed(Algorithm.ES256), elliptic).subject == "ada"
    with refused(Code.ID_TOKEN_SIGNATURE):
        check(signed(Algorithm.RS256), elliptic)


def test_g8_the_leeway_is_the_configured_one() -> None:
    strict = client(leeway=0.0)
    assert check(signed(exp=NOW + 1), strict).subject == "ada"
    with refused(Code.ID_TOKEN_TIME):
        check(signed(exp=NOW), strict)
    with refused(Code.ID_TOKEN_TIME):
        check(signed(iat=NOW + 1), strict)


def test_e6_g10_a_login_needs_its_nonce_and_a_refresh_does_not() -> None:
    with refused(Code.ID_TOKEN_NONCE):
        check(signed(nonce=...))
    assert check_refreshed(signed(nonce=...)).subject == "ada"


# -- acr and max_age -------------------------------------------------------------------------------


@pytest.mark.parametrize("acr", ["gold", "silver"])
def test_g11_an_acr_that_was_asked_for_is_accepted(acr: str) -> None:
    attempt = asked(acr_values=("gold", "silver"))
    assert check(signed(acr=acr), attempt=attempt).acr == acr


@pytest.mark.parametrize("acr", ["bronze", "Gold", "", "gold silver", None, 1, ["gold"], ...])
def test_g11_another_acr_or_none_is_refused(acr: object) -> None:
    with refused(Code.ID_TOKEN_ACR):
        check(signed(acr=acr), attempt=asked(acr_values=("gold", "silver")))


BEGUN = ATTEMPT.issued_at


@pytest.mark.parametrize(
    ("max_age", "auth_time"),
    [
        (0, BEGUN + 5),
        (0, BEGUN),
        (0, BEGUN - LEEWAY),
        (0, NOW),
        (0, NOW + LEEWAY),
        (3600, BEGUN - 3600 - LEEWAY),
        (10**9, 1e9),
        (None, 0),
        (None, ...),
    ],
)
def test_g12_an_authentication_young_enough_when_the_login_began_is_accepted(
    max_age: int | None, auth_time: object
) -> None:
    assert check(signed(auth_time=auth_time), attempt=asked(max_age=max_age)).subject == "ada"


@pytest.mark.parametrize(
    ("max_age", "auth_time"),
    [
        (0, BEGUN - LEEWAY - 1),
        (3600, BEGUN - 3600 - LEEWAY - 1),
        (3600, 0),
        (0, ...),
        (10**9, ...),
        (60, -1e300),
    ],
)
def test_g12_an_older_or_unknown_authentication_is_refused(max_age: int, auth_time: object) -> None:
    with refused(Code.ID_TOKEN_AUTH_TIME):
        check(signed(auth_time=auth_time), attempt=asked(max_age=max_age))


# -- at_hash ---------------------------------------------------------------------------------------


def test_g13_the_hash_of_the_specifications_example() -> None:
    # OpenID Connect Core, appendix A.3: this access token, RS256.
    assert check(signed(at_hash="77QmUPtjPfzWtF2AnpK9RQ")).subject == "ada"


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_g13_the_hash_is_that_of_the_tokens_own_algorithm(algorithm: Algorithm) -> None:
    sizes = {
        "256": hashlib.sha256,
        "384": hashlib.sha384,
        "512": hashlib.sha512,
        "DSA": hashlib.sha512,
    }
    digest = sizes[algorithm.value[-3:]](ACCESS_TOKEN.reveal().encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    one = client(id_token_algorithms=frozenset({algorithm}))
    assert check(signed(algorithm, at_hash=half), one).subject == "ada"
    with refused(Code.ID_TOKEN_HASH):
        check(signed(algorithm, at_hash=half[:-1] + ("A" if half[-1] != "A" else "B")), one)


def test_g13_another_access_token_is_noticed() -> None:
    with refused(Code.ID_TOKEN_HASH):
        check_id_token(
            signed(at_hash="77QmUPtjPfzWtF2AnpK9RQ"),
            CLIENT,
            nonce=NONCE,
            access_token=AccessToken("somebody-elses"),
            now=NOW,
            attempt=ATTEMPT,
        )


# -- refreshed -------------------------------------------------------------------------------------


def test_g18_a_refresh_keeps_the_time_of_the_login() -> None:
    for auth_time in (..., NOW - 3600, NOW - 3600.5, NOW - 3599):
        assert check_refreshed(signed(auth_time=auth_time)).auth_time == NOW - 3600
    assert check_refreshed(signed(auth_time=NOW - 5), auth_time=None).auth_time is None


def test_g18_a_refresh_is_no_new_authentication() -> None:
    for auth_time in (NOW, NOW - 3598, NOW - 3602):
        with refused(Code.ID_TOKEN_AUTH_TIME):
            check_refreshed(signed(auth_time=auth_time))


def test_g18_a_refresh_never_changes_the_person() -> None:
    with refused(Code.ID_TOKEN_SUBJECT):
        check_refreshed(signed(sub="eve"))
    with refused(Code.ID_TOKEN_SUBJECT):
        check_refreshed(signed(sub="Ada"))
    with refused(Code.ID_TOKEN_ISSUER):
        check_refreshed(signed(), issuer="https://other.example")


@pytest.mark.parametrize(
    "mixed_up",
    [
        {"nonce": "another-logins"},
        {"aud": "another-client"},
        {"exp": NOW - 900},
        {"iat": NOW - 9000},
        {"at_hash": "another-tokens"},
        {"auth_time": NOW},
    ],
    ids=str,
)
def test_g18_another_persons_token_is_that_whatever_else_is_wrong_with_it(
    mixed_up: dict[str, Any],
) -> None:
    """An answer mixed up with another person's has their nonce and their times as well."""
    with refused(Code.ID_TOKEN_SUBJECT):
        check_refreshed(signed(sub="eve", **mixed_up))
    with refused(Code.ID_TOKEN_ISSUER):
        check_refreshed(signed(**mixed_up), issuer="https://other.example")


def test_g18_a_nonce_we_cannot_compare_is_not_believed() -> None:
    with refused(Code.ID_TOKEN_NONCE):
        check_refreshed(signed(), nonce=None)


def test_g18_a_login_that_asked_for_an_acr_does_not_bind_the_refresh() -> None:
    assert check_refreshed(signed(acr="bronze")).acr == "bronze"


def test_refusals_do_not_repeat_claims() -> None:
    for name in ("sub", "iss", "aud", "nonce"):
        spoilt: dict[str, Any] = {name: "evil\n"}
        with pytest.raises(Refused) as caught:
            check(signed(**spoilt))
        assert "evil" not in str(caught.value)


def test_an_identity_does_not_print_the_person() -> None:
    shown = repr(check(signed(sid="sid-1")))
    for personal in ("ada", "Ada", "sid-1"):
        assert personal not in shown
