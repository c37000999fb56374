"""A login attempt survives its journey, and nothing else reads as one."""

import json
import re

import pytest

from gateway.errors import Code
from gateway.oidc.attempt import LoginAttempt, code_challenge, decode, encode, is_expired
from gateway.secret import CodeVerifier
from tests.unit.oidc.examples import ATTEMPT, NOW, refused

FULL = LoginAttempt(
    attempt_id="a" * 22,
    provider="main",
    return_to='/é"\\ ?x=1#y',
    issued_at=NOW + 0.25,
    restarts=1,
    prompt="login consent",
    max_age=0,
    acr_values=("urn:gold", "silver"),
)


def test_e1_the_challenge_is_s256_as_in_rfc_7636_appendix_b() -> None:
    verifier = CodeVerifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_e1_another_verifier_has_another_challenge() -> None:
    challenges = {code_challenge(CodeVerifier(letter * 43)) for letter in "abc"}
    assert len(challenges) == 3
    for challenge in challenges:
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge)


@pytest.mark.parametrize("attempt", [ATTEMPT, FULL])
def test_an_attempt_comes_back_as_it_was(attempt: LoginAttempt) -> None:
    assert decode(encode(attempt)) == attempt


def test_e5_any_number_of_attempts_can_be_under_way() -> None:
    attempts = [LoginAttempt(str(number), "main", "/", NOW) for number in range(50)]
    assert [decode(octets) for octets in map(encode, attempts)] == attempts


GOOD = [1, "id", "main", "/", NOW, 0, None, None, []]


def spoilt(position: int, value: object) -> bytes:
    return json.dumps([*GOOD[:position], value, *GOOD[position + 1 :]]).encode()


def test_the_unspoilt_text_of_the_next_test_is_an_attempt() -> None:
    assert decode(spoilt(1, "id")) == LoginAttempt("id", "main", "/", NOW)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff",
        b"null",
        b"1",
        b"[]",
        b"{}",
        b'"text that is long"',
        b"[" * 100_000,
        b"not json",
        json.dumps(GOOD[:-1]).encode(),
        json.dumps([*GOOD, "more"]).encode(),
        spoilt(0, 2),
        spoilt(0, "1"),
        spoilt(0, None),
        spoilt(1, 7),
        spoilt(1, "\ud800"),  # half a character, which nobody could have sealed
        spoilt(2, None),
        spoilt(3, ["/"]),
        spoilt(4, "1800000000"),
        spoilt(4, None),
        spoilt(4, value=True),
        spoilt(4, float("nan")),
        spoilt(5, -1),
        spoilt(5, 0.5),
        spoilt(5, value=False),
        spoilt(6, 1),
        spoilt(7, -1),
        spoilt(7, "60"),
        spoilt(7, value=True),
        spoilt(8, "gold"),
        spoilt(8, [1]),
        spoilt(8, None),
    ],
)
def test_e3_garbage_and_other_versions_are_no_attempt(octets: bytes) -> None:
    with refused(Code.STATE_UNKNOWN):
        decode(octets)


@pytest.mark.parametrize(
    ("age", "expired"),
    [
        (0.0, False),
        (599.9, False),
        (600.0, False),
        (600.1, True),
        (1e9, True),
        (-60.0, False),  # another of our hosts, its clock a little ahead
        (-61.0, True),
        (-1e9, True),
    ],
)
def test_e18_an_attempt_lives_its_time_and_does_not_come_from_the_future(
    age: float, expired: bool
) -> None:
    attempt = LoginAttempt("a", "main", "/", NOW - age)
    assert is_expired(attempt, NOW, 600.0) is expired


@pytest.mark.parametrize("when", [1e300, -1e300, float("inf"), 10**300])
def test_e18_absurd_times_are_expired(when: float) -> None:
    attempt = decode(spoilt(4, when))
    assert is_expired(attempt, NOW, 600.0)
