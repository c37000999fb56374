"""Whatever comes back through the browser is an answer to us, or nothing happens."""

from dataclasses import replace

import pytest

from gateway.errors import Code
from gateway.oidc.attempt import MAX_STATE
from gateway.oidc.callback import (
    MAX_ANSWER,
    MAX_CODE,
    Answer,
    ProviderRefused,
    known_error,
    match_callback,
    read_answer,
)
from gateway.oidc.metadata import Metadata
from gateway.secret import AuthorizationCodeValue
from tests.unit.oidc.examples import ATTEMPT, CLIENT, ISSUER, METADATA, refused

CODE = AuthorizationCodeValue("c0de")
NAMES_ITSELF = replace(METADATA, iss_parameter_supported=True)

KNOWN_ERRORS = [
    "invalid_request",
    "unauthorized_client",
    "access_denied",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "interaction_required",
    "login_required",
    "account_selection_required",
    "consent_required",
    "invalid_request_uri",
    "invalid_request_object",
    "request_not_supported",
    "request_uri_not_supported",
    "registration_not_supported",
]


# -- reading -----------------------------------------------------------------------------------


def test_a_success_is_read() -> None:
    assert read_answer(
        b"code=c0de&state=st&iss=https%3A%2F%2Fid.example&session_state=x"
    ) == Answer("st", code=CODE, iss="https://id.example")


def test_an_error_is_read_without_its_description() -> None:
    answer = read_answer(b"error=access_denied&state=st&error_description=%3Cscript%3E&error_uri=x")
    assert answer == Answer("st", error="access_denied")


@pytest.mark.parametrize(
    "name", ["code", "state", "iss", "error", "response", "id_token", "access_token"]
)
@pytest.mark.parametrize("second", ["1", "", "2"])
def test_e10_a_repeated_parameter_is_refused(name: str, second: str) -> None:
    with refused(Code.CALLBACK_MALFORMED):
        read_answer(f"state=st&code=c&{name}=1&{name}={second}".encode())


def test_e10_a_repeat_is_seen_through_its_encoding() -> None:
    with refused(Code.CALLBACK_MALFORMED):
        read_answer(b"code=c&state=a&st%61te=b")


def test_e10_unknown_parameters_are_ignored_however_strange() -> None:
    answer = read_answer(b"x=1&x=2&code=c0de&%ff=%zz&state=st&&=&error_description=%zz&response=r")
    assert answer == Answer("st", code=CODE)


@pytest.mark.parametrize("name", ["access_token", "id_token"])
def test_a2_tokens_in_the_front_channel_are_refused(name: str) -> None:
    with refused(Code.CALLBACK_MALFORMED):
        read_answer(f"code=c&state=st&{name}=t".encode())
    with refused(Code.CALLBACK_MALFORMED):
        read_answer(f"{name}=t&token_type=bearer".encode())


@pytest.mark.parametrize(
    "pairs",
    [b"", b"error=access_denied", b"code=c", b"state=&code=c", b"state&error=x", b"STATE=a&code=c"],
)
def test_e9_without_a_state_the_answer_belongs_to_no_login(pairs: bytes) -> None:
    with refused(Code.STATE_UNKNOWN):
        read_answer(pairs)


@pytest.mark.parametrize(
    "pairs",
    [
        b"state=st",
        b"state=st&code=",
        b"state=st&code=c&error=access_denied",
        b"state=st&code=%zz",
        b"state=%ff&code=c",
        b"state=st&code=a%00b",
        b"state=st&code=a%0d%0ab",
        b"state=st&code=%C3%A9",
        b"state=%C3%A9&code=c",
        b"state=st&error=%0d%0aset-cookie",
        b"state=st&error=" + b"e" * 257,
        b"state=st&code=c&iss=" + b"i" * 2049,
        b"state=st&code=" + b"c" * (MAX_CODE + 1),
        b"code=c&state=" + b"s" * (MAX_STATE + 1),
        b"state=st&code=c&x=" + b"x" * MAX_ANSWER,
    ],
)
def test_a_malformed_answer_is_refused(pairs: bytes) -> None:
    with refused(Code.CALLBACK_MALFORMED):
        read_answer(pairs)


def test_the_longest_answer_is_read() -> None:
    answer = b"code=c0de&state=st&x="
    assert read_answer(answer + b"x" * (MAX_ANSWER - len(answer))) == Answer("st", code=CODE)


def test_the_longest_code_and_state_are_read() -> None:
    code, state = "c" * MAX_CODE, "s" * MAX_STATE
    answer = read_answer(f"code={code}&state={state}".encode())
    assert answer == Answer(state, code=AuthorizationCodeValue(code))


def test_e11_nothing_a_stranger_wrote_is_shown() -> None:
    answer = read_answer(
        b"state=secret-state&error=evil-error&error_description=evil-words&iss=evil-iss"
    )
    assert "evil" not in repr(answer)
    assert "secret" not in repr(answer)
    assert "evil-words" not in f"{answer.state} {answer.error} {answer.iss} {answer.code}"
    assert "c0de" not in repr(read_answer(b"state=s&code=c0de"))


# -- matching ----------------------------------------------------------------------------------


def test_a_matching_answer_becomes_a_code_bound_to_its_issuer() -> None:
    code = match_callback(Answer("st", code=CODE, iss=ISSUER), ATTEMPT, CLIENT, NAMES_ITSELF)
    assert (code.code, code.issuer) == (CODE, ISSUER)


def test_e7_a_provider_that_does_not_name_itself_is_believed_by_its_redirect_uri() -> None:
    assert match_callback(Answer("st", code=CODE), ATTEMPT, CLIENT, METADATA).issuer == ISSUER


@pytest.mark.parametrize(
    "iss",
    [
        "https://evil.example",
        ISSUER + "/",
        ISSUER.removesuffix("n"),
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        ISSUER.replace("/realms", ":443/realms"),
        ISSUER + "?",
        ISSUER + "%20",
    ],
)
@pytest.mark.parametrize("published", [METADATA, NAMES_ITSELF], ids=["silent", "names itself"])
def test_e7_an_answer_of_another_issuer_is_refused(iss: str, published: Metadata) -> None:
    for answer in (Answer("st", code=CODE, iss=iss), Answer("st", error="access_denied", iss=iss)):
        with refused(Code.CALLBACK_ISSUER):
            match_callback(answer, ATTEMPT, CLIENT, published)


def test_e8_a_provider_that_always_names_itself_must_do_so_on_errors_too() -> None:
    for answer in (Answer("st", code=CODE), Answer("st", error="login_required")):
        with refused(Code.CALLBACK_ISSUER):
            match_callback(answer, ATTEMPT, CLIENT, NAMES_ITSELF)


def test_e16_an_attempt_at_one_provider_is_not_finished_at_another() -> None:
    elsewhere = replace(ATTEMPT, provider="other")
    for answer in (Answer("st", code=CODE, iss=ISSUER), Answer("st", error="x", iss=ISSUER)):
        with refused(Code.CALLBACK_ISSUER):
            match_callback(answer, elsewhere, CLIENT, METADATA)


@pytest.mark.parametrize("error", KNOWN_ERRORS)
def test_e9_e19_a_known_error_is_passed_on_by_its_code(error: str) -> None:
    with pytest.raises(ProviderRefused) as caught:
        match_callback(Answer("st", error=error, iss=ISSUER), ATTEMPT, CLIENT, NAMES_ITSELF)
    assert caught.value.code is Code.PROVIDER_ERROR
    assert caught.value.error == error


@pytest.mark.parametrize(
    "error",
    ["", "<script>", "ACCESS_DENIED", "access_denied ", "x\r\nset-cookie: a=b", "invalid_grant"],
)
def test_e11_an_unknown_error_is_narrowed_and_not_repeated(error: str) -> None:
    assert known_error(error) == "server_error"
    if error:
        with pytest.raises(ProviderRefused) as caught:
            match_callback(Answer("st", error=error), ATTEMPT, CLIENT, METADATA)
        assert caught.value.error == "server_error"
        assert error not in str(caught.value)


def test_an_answer_with_neither_code_nor_error_is_no_success() -> None:
    with refused(Code.CALLBACK_MALFORMED):
        match_callback(Answer("st"), ATTEMPT, CLIENT, METADATA)
