"""What a browser may wish for, and the one URL that follows."""

from typing import Any
from urllib.parse import quote

import pytest

from gateway.errors import Code
from gateway.oidc.attempt import MAX_STATE, LoginAttempt, code_challenge
from gateway.oidc.authorization import MAX_QUERY, LoginWish, authorization_url, read_wish
from gateway.oidc.client import Client, ResponseMode
from gateway.oidc.metadata import Metadata
from gateway.secret import CodeVerifier, Nonce
from tests.unit.oidc.examples import (
    ATTEMPT,
    CLIENT,
    METADATA,
    client,
    plain_client,
    query_of,
    refused,
)

CHALLENGE = code_challenge(CodeVerifier("v" * 43))
REQUIRED = {
    "response_type": "code",
    "client_id": "spa-gateway",
    "redirect_uri": "https://app.example/bff/callback/main",
    "scope": "openid profile",
    "state": "st",
    "nonce": "n0",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def url(
    metadata: Metadata = METADATA,
    client: Client = CLIENT,
    attempt: LoginAttempt = ATTEMPT,
    wish: LoginWish = LoginWish(),  # noqa: B008  frozen
    state: str = "st",
) -> str:
    return authorization_url(
        metadata, client, attempt, wish, state=state, nonce=Nonce("n0"), challenge=CHALLENGE
    )


def attempt(**changes: Any) -> LoginAttempt:
    return LoginAttempt("a", "main", "/deep", 0.0, **changes)


def published(**changes: Any) -> Metadata:
    return Metadata(
        METADATA.issuer, METADATA.authorization_endpoint, METADATA.token_endpoint, **changes
    )


# -- the wish --------------------------------------------------------------------------------------


def test_no_query_is_no_wish() -> None:
    assert read_wish(None) == read_wish(b"") == LoginWish()


def test_a_whole_wish_is_read() -> None:
    query = (
        b"provider=main&return_to=%2Fa%3Fb%3Dc%23d&prompt=login+consent&login_hint=ad%C3%A4%40x.example"
        b"&acr_values=urn:gold%20silver&max_age=0&ui_locales=de-CH+en"
    )
    assert read_wish(query) == LoginWish(
        provider="main",
        return_to="/a?b=c#d",
        prompt="login consent",
        login_hint="adä@x.example",
        acr_values=("urn:gold", "silver"),
        max_age=0,
        ui_locales="de-CH en",
    )
    assert read_wish(b"resume=abc-_9") == LoginWish(resume="abc-_9")


NAMES = (
    "provider",
    "return_to",
    "prompt",
    "login_hint",
    "acr_values",
    "max_age",
    "ui_locales",
    "resume",
)


@pytest.mark.parametrize("name", NAMES)
def test_e10_a_repeated_parameter_is_refused_even_if_equal_or_empty(name: str) -> None:
    for query in (
        f"{name}=1&{name}=1",
        f"{name}=&x=y&{name}=1",
        f"{name}&%{ord(name[0]):x}{name[1:]}",
    ):
        with refused(Code.LOGIN_PARAMETER):
            read_wish(query.encode())


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_parameter_counts_as_left_out(name: str) -> None:
    assert read_wish(f"{name}=".encode()) == LoginWish()


@pytest.mark.parametrize(
    "query",
    [
        "prompt=none+login",
        "prompt=login+login",
        "prompt=Login",
        "prompt=all",
        "prompt=login++consent",
        "prompt=+login",
        "prompt=login%0a",
        "max_age=-1",
        "max_age=1.5",
        "max_age=1e3",
        "max_age=+1",
        "max_age=%201",
        "max_age=1000000001",
        "max_age=99999999999",
        "max_age=%D9%A1",  # an Arabic digit
        "max_age=1_0",
        "max_age=0x1",
        "login_hint=" + "a" * 321,
        "login_hint=a%00b",
        "login_hint=a%0d%0ab",
        "login_hint=%E2%80%AEa",
        "acr_values=a++b",
        "acr_values=a%22b",
        "acr_values=a%5Cb",
        "acr_values=%C3%A9",
        "acr_values=" + "a" * 513,
        "ui_locales=de_CH",
        "ui_locales=de%0a",
        "ui_locales=" + "a" * 513,
        "provider=a+b",
        "provider=%C3%A9",
        "provider=" + "a" * 65,
        "resume=a.b",
        "resume=a%00",
        "return_to=%ff",
        "return_to=%zz",
        "return_to=" + "/" * MAX_QUERY,
    ],
)
def test_a_value_outside_its_grammar_is_refused(query: str) -> None:
    with refused(Code.LOGIN_PARAMETER) as caught:
        read_wish(query.encode())
    assert query.partition("=")[2][:40] not in caught.value.detail


@pytest.mark.parametrize("prompt", ["none", "login", "consent", "select_account", "create"])
def test_each_prompt_of_the_specifications_is_understood(prompt: str) -> None:
    assert read_wish(f"prompt={prompt}".encode()).prompt == prompt


def test_bounds_are_inclusive() -> None:
    assert read_wish(b"max_age=1000000000").max_age == 10**9
    assert len(read_wish(b"login_hint=" + b"a" * 320).login_hint or "") == 320
    assert read_wish(b"acr_values=" + b"a" * 512).acr_values == ("a" * 512,)
    assert read_wish(b"x=" + b"x" * (MAX_QUERY - 2)) == LoginWish()


FORBIDDEN = (
    b"scope=admin&client_id=evil&redirect_uri=https://evil.example&response_type=token"
    b"&response_mode=fragment&state=x&nonce=x&code_challenge=x&code_challenge_method=plain"
    b"&request=x&request_uri=https://evil.example&claims=x&id_token_hint=x&audience=x"
)


def test_e14_parameters_outside_the_seven_never_reach_the_provider() -> None:
    wish = read_wish(FORBIDDEN + b"&login_hint=ada%26scope%3Dadmin&return_to=/%26scope=x")
    sent = query_of(url(wish=wish))
    assert sent == REQUIRED | {"login_hint": "ada&scope=admin"}


def test_e21_a_third_party_names_an_issuer_and_a_target_and_neither_is_asked_as_it_stands() -> None:
    wish = read_wish(b"iss=https://id.example&target_link_uri=/orders&login_hint=ada")
    assert wish == LoginWish(issuer="https://id.example", return_to="/orders", login_hint="ada")
    both = read_wish(b"return_to=/mine&target_link_uri=/theirs")
    assert both.return_to == "/mine"
    assert url(wish=read_wish(b"iss=https://evil.example")).startswith("https://id.example/")


# -- the URL ---------------------------------------------------------------------------------------


def test_a2_e1_e6_e20_a_plain_login_sends_what_is_needed_and_nothing_else() -> None:
    assert url().startswith("https://id.example/authorize?")
    assert query_of(url()) == REQUIRED


def test_e12_the_redirect_uri_is_the_configured_one() -> None:
    uri = "https://other.example/bff/callback/main"
    assert query_of(url(client=client(redirect_uri=uri)))["redirect_uri"] == uri


def test_e13_the_return_address_is_not_told_to_the_provider() -> None:
    assert "deep" not in url()


def test_what_the_answer_is_checked_for_comes_from_the_attempt_not_the_wish() -> None:
    wish = LoginWish(prompt="none", max_age=7, acr_values=("bronze",), ui_locales="de")
    asked = attempt(prompt="login", max_age=0, acr_values=("gold", "silver"))
    assert query_of(url(attempt=asked, wish=wish)) == REQUIRED | {
        "prompt": "login",
        "max_age": "0",
        "acr_values": "gold silver",
        "ui_locales": "de",
    }


def test_form_post_is_asked_for_and_query_is_the_silent_default() -> None:
    posting = client(response_mode=ResponseMode.FORM_POST)
    assert query_of(url(client=posting)) == REQUIRED | {"response_mode": "form_post"}


@pytest.mark.parametrize(
    ("modes", "possible"),
    [(None, True), (frozenset({"query", "form_post"}), True), (frozenset({"query"}), False)],
)
def test_form_post_is_not_asked_of_a_provider_that_lacks_it(
    modes: frozenset[str] | None, possible: bool
) -> None:
    metadata = published(response_modes=modes)
    posting = client(response_mode=ResponseMode.FORM_POST)
    if possible:
        assert "form_post" in url(metadata, posting)
    else:
        with refused(Code.PROVIDER_METADATA):
            url(metadata, posting)
    assert "response_mode" not in url(metadata)


@pytest.mark.parametrize("s256", [True, None])
def test_e2_pkce_is_sent_whether_or_not_the_provider_says_it_knows_it(s256: bool | None) -> None:
    assert query_of(url(published(supports_s256=s256)))["code_challenge_method"] == "S256"


def test_e2_a_provider_known_to_lack_s256_gets_no_login() -> None:
    with refused(Code.PROVIDER_METADATA):
        url(published(supports_s256=False))


def test_a_plain_provider_gets_no_nonce_but_pkce_and_state() -> None:
    sent = query_of(url(client=plain_client()))
    assert "nonce" not in sent
    assert sent["code_challenge"] == CHALLENGE
    assert sent["scope"] == "read:user"
    assert "scope" not in query_of(url(client=plain_client(scopes=())))


def test_configured_additions_are_sent() -> None:
    adding = client(
        extra_parameters=(("audience", "https://api.example/?a&b"), ("prompt", "consent"))
    )
    extra = {"audience": "https://api.example/?a&b", "prompt": "consent"}
    assert query_of(url(client=adding)) == REQUIRED | extra


def test_e14_what_is_configured_wins_over_a_wish_and_never_stands_beside_it() -> None:
    adding = client(extra_parameters=(("prompt", "consent"), ("login_hint", "x")))
    sent = query_of(
        url(client=adding, attempt=attempt(prompt="none"), wish=LoginWish(login_hint="y"))
    )
    assert sent == REQUIRED | {"prompt": "consent", "login_hint": "x"}


def test_the_endpoints_own_query_is_kept_without_repeating_ours() -> None:
    endpoint = "https://id.example/authorize?p=b2c_1&state=theirs&client_id=theirs"
    metadata = Metadata(METADATA.issuer, endpoint, METADATA.token_endpoint)
    assert query_of(url(metadata)) == REQUIRED | {"p": "b2c_1"}


def test_hostile_text_stays_inside_its_parameter() -> None:
    hint = "x&scope=admin#fragment\u00e9?=+%26"
    location = url(wish=LoginWish(login_hint=hint))
    assert query_of(location) == REQUIRED | {"login_hint": hint}
    assert location.isascii()
    assert " " not in location
    assert quote(hint, safe="") in location


def test_a_state_that_could_not_be_read_back_is_not_sent() -> None:
    assert url(state="s" * MAX_STATE)
    with refused(Code.LOGIN_PARAMETER):
        url(state="s" * (MAX_STATE + 1))
