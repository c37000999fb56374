"""The development identity provider must itself do what it teaches (sections E, G, H, J)."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from joserfc import jws

from gateway.dev.accounts import DevProviderSettings
from gateway.dev.records import digest
from tests.support.dev_provider import (
    BACK_CHANNEL,
    CALLBACK,
    CLIENT_ID,
    GOODBYE,
    ISSUER,
    MINE,
    SCOPES,
    SECRET,
    VERIFIER,
    Form,
    Person,
    answered,
    basic,
    error_of,
)

EVENT = "http://schemas.openid.net/event/backchannel-logout"


@pytest.fixture
async def person() -> AsyncIterator[Person]:
    someone = Person()
    async with someone.http:
        yield someone


# -- logging in -----------------------------------------------------------------------------------


async def test_a_login_gives_a_code_and_the_code_gives_tokens(person: Person) -> None:
    callback = await person.log_in()
    assert set(callback) == {"code", "iss", "state"}
    assert callback["iss"] == ISSUER
    assert callback["state"] == "st&te"
    answer = await person.exchange(callback["code"])
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 300
    assert tokens["scope"] == SCOPES
    now = int(person.clock.now())
    claims = await person.claims(tokens["id_token"])
    digest = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims.pop("at_hash") == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert claims.pop("sid")
    assert claims == {
        "iss": ISSUER,
        "sub": "user-1815",
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 300,
        "auth_time": now,
        "nonce": "n-1",
        "name": "Ada Lovelace",
        "preferred_username": "ada",
        "groups": ["engine", "purchasing"],
        "email": "ada@example.com",
        "email_verified": True,
    }


async def test_an_access_token_is_a_jwt_for_the_api_rfc9068(person: Person) -> None:
    tokens = await person.tokens()
    header = jws.extract_compact(tokens["access_token"].encode()).headers()
    assert header["typ"] == "at+jwt"
    assert header["alg"] == "RS256"
    jwks = (await person.http.get("/jwks")).json()
    assert [key["kid"] for key in jwks["keys"]] == [header["kid"]]
    assert set(jwks["keys"][0]) == {"kty", "n", "e", "kid", "use", "alg"}  # nothing private
    claims = await person.claims(tokens["access_token"])
    assert claims["aud"] == "sample-api"
    assert claims["client_id"] == CLIENT_ID
    assert claims["sub"] == "user-1815"
    assert claims["scope"] == SCOPES
    assert claims["jti"]
    assert claims["exp"] - claims["iat"] == 300


@pytest.mark.parametrize(
    ("account", "granted"),
    [
        ("ada", "openid orders.read orders.write"),
        ("grace", "openid orders.read"),
        ("alan", "openid"),
    ],
)
async def test_a_person_grants_only_the_scopes_of_their_role(
    person: Person, account: str, granted: str
) -> None:
    tokens = await person.tokens(account, {"scope": "openid orders.read orders.write admin"})
    assert tokens["scope"] == granted
    assert (await person.claims(tokens["access_token"]))["scope"] == granted


async def test_without_openid_there_is_no_id_token(person: Person) -> None:
    assert "id_token" not in await person.tokens("ada", {"scope": "orders.read"})


async def test_what_the_provider_publishes_is_where_it_answers(person: Person) -> None:
    published = (await person.http.get("/.well-known/openid-configuration")).json()
    assert published["issuer"] == ISSUER
    assert published["authorization_response_iss_parameter_supported"] is True
    assert published["code_challenge_methods_supported"] == ["S256"]
    assert published["backchannel_logout_supported"] is True
    assert published["id_token_signing_alg_values_supported"] == ["RS256"]
    addresses = [value for name, value in published.items() if re.search("_endpoint$|_uri$", name)]
    assert len(addresses) == 7
    for address in addresses:
        assert (await person.http.request("OPTIONS", address)).status_code == 405  # but not 404


async def test_the_login_page_lists_everyone_and_forbids_everything_else(person: Person) -> None:
    page = await person.authorize()
    for name in ("Ada Lovelace", "Grace Hopper", "Alan Turing", "Émilie du Châtelet"):
        assert name in page.text
    assert "anyone can log in as anyone" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert policy.endswith("form-action 'self' http://localhost:8080")
    style = re.search(r"<style>(.*)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert page.headers["cache-control"] == "no-store"
    assert "http" not in re.sub(r'href="data:[^"]*"', "", page.text)  # no external resource
    cookie = page.headers["set-cookie"].lower()
    assert cookie.startswith("idp-session=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


async def test_a_login_hint_comes_first_and_has_the_focus(person: Person) -> None:
    page = await person.authorize({"login_hint": "Grace@example.com"})
    first = re.search(r'<button class="person([^>]*)>', page.text)
    assert first is not None
    assert 'value="grace"' in first[1]
    assert "autofocus" in first[1]


async def test_denying_is_an_answer_too(person: Person) -> None:
    page = await person.authorize()
    assert error_of(await person.choose(page, deny="1")) == "access_denied"


async def test_an_authorization_request_may_be_posted(person: Person) -> None:
    posted = await person.http.post("/authorize", data=person.asked())
    assert posted.status_code == 303
    page = await person.http.get(posted.headers["location"])
    assert "code" in answered(await person.choose(page, account="ada"))


async def test_form_post_answers_with_a_form_that_works_without_script(person: Person) -> None:
    page = await person.authorize({"response_mode": "form_post"})
    answer = await person.choose(page, account="ada")
    assert answer.status_code == 200
    action = re.search(r'<form method="post" action="([^"]*)"', answer.text)
    assert action is not None
    assert action[1] == CALLBACK
    pairs = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', answer.text)
    fields = {name: unescape(value) for name, value in pairs}
    assert fields["state"] == "st&te"
    assert fields["iss"] == ISSUER
    assert (await person.exchange(fields["code"])).status_code == 200
    assert re.search(r"<noscript><button[^>]*>Continue</button></noscript>", answer.text)
    script = re.search(r"<script>(.*)</script>", answer.text)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.endswith("form-action 'self' http://localhost:8080")


# -- single sign-on, prompt, max_age --------------------------------------------------------------


async def test_the_second_login_in_a_browser_is_silent(person: Person) -> None:
    first = await person.tokens()
    person.clock.advance(60)
    answer = await person.exchange(answered(await person.authorize())["code"])
    again = await person.claims(answer.json()["id_token"])
    before = await person.claims(first["id_token"])
    assert again["auth_time"] == before["auth_time"]
    assert again["sid"] == before["sid"]


@pytest.mark.parametrize("prompt", ["login", "select_account", "consent", "login consent"])
async def test_prompt_asks_again_in_spite_of_a_session(person: Person, prompt: str) -> None:
    before = await person.claims((await person.tokens())["id_token"])
    person.clock.advance(60)
    page = await person.authorize({"prompt": prompt})
    answer = await person.choose(page, account="ada")
    after = await person.claims(
        (await person.exchange(answered(answer)["code"])).json()["id_token"]
    )
    assert after["auth_time"] == before["auth_time"] + 60
    assert after["sid"] == before["sid"]


async def test_prompt_none_without_a_session_is_login_required(person: Person) -> None:
    assert error_of(await person.authorize({"prompt": "none"})) == "login_required"


async def test_prompt_none_with_a_session_is_silent(person: Person) -> None:
    await person.log_in()
    assert "code" in answered(await person.authorize({"prompt": "none"}))


async def test_prompt_none_stands_alone(person: Person) -> None:
    await person.log_in()
    assert error_of(await person.authorize({"prompt": "none login"})) == "invalid_request"


async def test_max_age_is_honoured(person: Person) -> None:
    await person.log_in()
    person.clock.advance(100)
    assert (await person.authorize({"max_age": "200"})).status_code == 303
    assert (await person.authorize({"max_age": "100"})).status_code == 200
    assert (await person.authorize({"max_age": "0"})).status_code == 200
    silent = await person.authorize({"max_age": "100", "prompt": "none"})
    assert error_of(silent) == "login_required"


async def test_acr_values_are_granted_only_by_logging_in_anew(person: Person) -> None:
    await person.log_in()
    page = await person.authorize({"acr_values": "urn:strong urn:weak"})
    answer = await person.choose(page, account="ada")
    tokens = (await person.exchange(answered(answer)["code"])).json()
    assert (await person.claims(tokens["id_token"]))["acr"] == "urn:strong"
    assert (await person.authorize({"acr_values": "urn:strong"})).status_code == 303


async def test_another_person_in_the_same_browser_ends_the_first_one(person: Person) -> None:
    before = await person.claims((await person.tokens("ada"))["id_token"])
    page = await person.authorize({"prompt": "select_account"})
    answer = await person.choose(page, account="grace")
    after = await person.claims(
        (await person.exchange(answered(answer)["code"])).json()["id_token"]
    )
    assert after["sub"] == "user-1906"
    assert after["sid"] != before["sid"]
    assert [login.account.username for login in person.provider.logins] == ["grace"]
    ((_, logout_token),) = person.delivered
    assert (await person.claims(logout_token))["sid"] == before["sid"]


async def test_the_cookie_changes_at_login(person: Person) -> None:
    page = await person.authorize()
    before = person.http.cookies["idp-session"]
    await person.choose(page, account="ada")
    assert person.http.cookies["idp-session"] != before


async def test_login_pages_in_two_tabs_both_work(person: Person) -> None:
    one = await person.authorize({"state": "one"})
    two = await person.authorize({"state": "two"})
    assert answered(await person.choose(one, account="ada"))["state"] == "one"
    assert answered(await person.choose(two, account="ada"))["state"] == "two"


async def test_a_login_form_works_once_and_only_in_the_browser_that_was_shown_it(
    person: Person,
) -> None:
    page = await person.authorize()
    mine, person.http = person.http, person.browser()
    async with person.http:
        stranger = await person.choose(page, account="ada")
        await person.authorize()
        with_own_cookie = await person.choose(page, account="ada")
    person.http = mine
    assert stranger.status_code == with_own_cookie.status_code == 400
    assert (await person.choose(page, account="ada")).status_code == 303
    assert (await person.choose(page, account="ada")).status_code == 400
    assert len(person.provider.logins) == 1


async def test_a_login_form_from_another_site_is_refused(person: Person) -> None:
    person.http.headers["sec-fetch-site"] = "cross-site"
    page = await person.authorize()
    assert (await person.choose(page, account="ada")).status_code == 400
    assert person.provider.logins == []


async def test_a_login_page_goes_out_of_date(person: Person) -> None:
    page = await person.authorize()
    person.clock.advance(601)
    assert (await person.choose(page, account="ada")).status_code == 400


# -- requests that are wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": ""},
        {"redirect_uri": ""},
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": CALLBACK + "?x=1"},
        {"redirect_uri": "http://LOCALHOST:8080/bff/callback/dev"},
        {"redirect_uri": "http://localhost:8081/bff/callback/dev"},
        {"redirect_uri": 'https://evil.example/"\\<script>'},
    ],
)
async def test_a_stranger_or_a_wrong_redirect_uri_is_never_redirected_to(
    person: Person, changes: Form
) -> None:
    for more in ({}, {"prompt": "none"}, {"response_mode": "form_post"}):
        answer = await person.authorize({**changes, **more})
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "evil" not in answer.text
        assert "<form" not in answer.text


async def test_a_repeated_redirect_uri_is_never_used(person: Person) -> None:
    query = urlencode([*person.asked().items(), ("redirect_uri", CALLBACK)])
    answer = await person.http.get(f"/authorize?{query}")
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": '"quoted"'}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "9" * 5000}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://evil.example/"}, "request_uri_not_supported"),
    ],
)
async def test_a_wrong_request_is_answered_to_the_client_with_issuer_and_state(
    person: Person, changes: Form, error: str
) -> None:
    assert error_of(await person.authorize(changes)) == error
    await person.log_in()
    assert error_of(await person.authorize(changes)) == error


async def test_a_repeated_parameter_is_refused_e10(person: Person) -> None:
    query = urlencode([*person.asked().items(), ("nonce", "n-2")])
    assert error_of(await person.http.get(f"/authorize?{query}")) == "invalid_request"


# -- codes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": ""}, "invalid_request"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "v" * 42}, "invalid_request"),
        ({"redirect_uri": CALLBACK + "/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"code": "guessed"}, "invalid_grant"),
        ({"code": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type"),
    ],
)
async def test_a_wrong_token_request_gets_nothing(
    person: Person, changes: Form, error: str
) -> None:
    code = (await person.log_in())["code"]
    answer = await person.exchange(**{"code": code, **changes})
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"


async def test_a_wrong_verifier_spends_the_code(person: Person) -> None:
    code = (await person.log_in())["code"]
    await person.exchange(code, code_verifier="w" * 43)
    assert (await person.exchange(code)).json()["error"] == "invalid_grant"


async def test_a_code_that_comes_twice_revokes_what_it_gave(person: Person) -> None:
    code = (await person.log_in())["code"]
    tokens = (await person.exchange(code)).json()
    assert await person.active(tokens["access_token"])
    assert (await person.exchange(code)).json()["error"] == "invalid_grant"
    assert not await person.active(tokens["access_token"])
    assert (await person.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert set(person.provider.revoked) == {
        digest(tokens["access_token"]),
        digest(tokens["refresh_token"]),
    }


async def test_a_code_dies_of_age(person: Person) -> None:
    code = (await person.log_in())["code"]
    person.clock.advance(60)
    assert (await person.exchange(code)).json()["error"] == "invalid_grant"


async def test_another_client_neither_uses_nor_spends_a_code(person: Person) -> None:
    code = (await person.log_in())["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    stolen = await person.token({**form, "code_verifier": VERIFIER}, ("other", "another-secret"))
    assert stolen.json()["error"] == "invalid_grant"
    assert (await person.exchange(code)).status_code == 200


# -- refresh tokens -------------------------------------------------------------------------------


async def test_a_refresh_rotates_and_keeps_the_login_g18(person: Person) -> None:
    tokens = await person.tokens()
    person.clock.advance(200)
    fresh = (await person.refresh(tokens["refresh_token"])).json()
    assert fresh["refresh_token"] != tokens["refresh_token"]
    assert fresh["access_token"] != tokens["access_token"]
    before = await person.claims(tokens["id_token"])
    after = await person.claims(fresh["id_token"])
    for name in ("iss", "sub", "aud", "auth_time", "sid"):
        assert after[name] == before[name]
    assert after["iat"] == before["iat"] + 200
    assert "nonce" not in after
    assert await person.active(fresh["access_token"])


async def test_a_refresh_token_that_comes_twice_kills_its_family(person: Person) -> None:
    first = await person.tokens()
    second = (await person.refresh(first["refresh_token"])).json()
    assert (await person.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await person.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    assert not await person.active(second["access_token"])
    assert digest(second["refresh_token"]) in person.provider.revoked


async def test_one_family_dies_alone(person: Person) -> None:
    first = await person.tokens()
    other = (await person.exchange(answered(await person.authorize())["code"])).json()
    await person.refresh(first["refresh_token"])
    await person.refresh(first["refresh_token"])
    assert (await person.refresh(other["refresh_token"])).status_code == 200


async def test_a_narrower_refresh_narrows_only_the_access_token(person: Person) -> None:
    tokens = await person.tokens()
    narrow = (await person.refresh(tokens["refresh_token"], scope="orders.read")).json()
    assert narrow["scope"] == "orders.read"
    wide = (await person.refresh(narrow["refresh_token"])).json()
    assert wide["scope"] == SCOPES


@pytest.mark.parametrize("scope", ["openid admin", "orders.read admin"])
async def test_a_refresh_never_widens(person: Person, scope: str) -> None:
    tokens = await person.tokens()
    answer = await person.refresh(tokens["refresh_token"], scope=scope)
    assert answer.json()["error"] == "invalid_scope"


async def test_a_refresh_token_belongs_to_its_client_and_is_no_access_token(
    person: Person,
) -> None:
    tokens = await person.tokens()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    stolen = await person.token(form, ("other", "another-secret"))
    assert stolen.json()["error"] == "invalid_grant"
    swapped = await person.refresh(tokens["access_token"])
    assert swapped.json()["error"] == "invalid_grant"
    assert (await person.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_stranger_with_a_spent_token_cannot_kill_the_family(person: Person) -> None:
    first = await person.tokens()
    second = (await person.refresh(first["refresh_token"])).json()
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    stolen = await person.token(form, ("other", "another-secret"))
    assert stolen.json()["error"] == "invalid_grant"
    assert (await person.refresh(second["refresh_token"])).status_code == 200


async def test_a_refresh_token_dies_of_age(person: Person) -> None:
    tokens = await person.tokens()
    person.clock.advance(12 * 3600)
    assert (await person.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


# -- client authentication ------------------------------------------------------------------------


async def test_a_client_may_authenticate_in_the_form(person: Person) -> None:
    code = (await person.log_in())["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
    }
    assert (await person.http.post("/token", data=form)).status_code == 200


NOT_WELL_FORMED = {"authorization": "Basic !!!"}
NOT_UTF8 = {"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()}


@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect"])
@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, {}),
        ({}, {"client_id": CLIENT_ID}),
        ({}, {"client_id": CLIENT_ID, "client_secret": "wrong"}),
        ({}, {"client_id": "nobody", "client_secret": SECRET}),
        (basic(CLIENT_ID, "wrong"), {}),
        (basic("nobody", SECRET), {}),
        (basic(CLIENT_ID, ""), {}),
        ({"authorization": "Bearer " + SECRET.encode().hex()}, {}),
        (NOT_WELL_FORMED, {}),
        (NOT_UTF8, {}),
    ],
)
async def test_a_client_without_its_secret_is_refused_everywhere(
    person: Person, path: str, headers: dict[str, str], form: Form
) -> None:
    tokens = await person.tokens()
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    body = {**refresh, "token": tokens["refresh_token"], **form}
    answer = await person.http.post(path, data=body, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert await person.active(tokens["refresh_token"])


async def test_two_ways_of_authenticating_at_once_are_refused_e17(person: Person) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_secret": SECRET}
    answer = await person.token(form)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


async def test_a_repeated_form_parameter_is_refused(person: Person) -> None:
    tokens = await person.tokens()
    body = urlencode([("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"])])
    headers = {**basic(*MINE), "content-type": "application/x-www-form-urlencoded"}
    answer = await person.http.post(
        "/token", content=f"{body}&scope=openid&scope=openid", headers=headers
    )
    assert answer.json()["error"] == "invalid_request"
    assert (await person.refresh(tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"a=" + b"x" * 70_000),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 200)),
    ],
)
async def test_a_body_that_is_no_reasonable_form_is_refused(
    person: Person, media_type: str, body: bytes
) -> None:
    headers = {**basic(*MINE), "content-type": media_type}
    for path in ("/token", "/revoke", "/introspect"):
        answer = await person.http.post(path, content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"


# -- revocation, introspection, userinfo ----------------------------------------------------------


async def revoke(person: Person, token: str, hint: str = "refresh_token") -> httpx2.Response:
    form = {"token": token, "token_type_hint": hint}
    return await person.http.post("/revoke", data=form, headers=basic(*MINE))


async def test_revoking_a_refresh_token_takes_the_access_token_along(person: Person) -> None:
    tokens = await person.tokens()
    assert (await revoke(person, tokens["refresh_token"])).status_code == 200
    assert not await person.active(tokens["refresh_token"])
    assert not await person.active(tokens["access_token"])
    assert set(person.provider.revoked) == {
        digest(tokens["access_token"]),
        digest(tokens["refresh_token"]),
    }
    assert (await revoke(person, tokens["refresh_token"])).status_code == 200


async def test_revoking_an_access_token_leaves_the_refresh_token(person: Person) -> None:
    tokens = await person.tokens()
    assert (await revoke(person, tokens["access_token"], "nonsense")).status_code == 200
    assert not await person.active(tokens["access_token"])
    assert (await person.refresh(tokens["refresh_token"])).status_code == 200


async def test_revoking_what_nobody_knows_is_a_success_h16(person: Person) -> None:
    assert (await revoke(person, "unknown")).status_code == 200


async def test_nobody_revokes_another_clients_token(person: Person) -> None:
    tokens = await person.tokens()
    answer = await person.http.post(
        "/revoke", data={"token": tokens["refresh_token"]}, headers=basic("other", "another-secret")
    )
    assert answer.status_code == 400
    assert await person.active(tokens["refresh_token"])


async def test_introspection_tells_the_api_and_nobody_else(person: Person) -> None:
    tokens = await person.tokens()
    form = {"token": tokens["access_token"]}
    seen = await person.http.post("/introspect", data=form, headers=basic("sample-api", API_SECRET))
    now = int(person.clock.now())
    assert seen.json() == {
        "active": True,
        "iss": ISSUER,
        "sub": "user-1815",
        "username": "ada",
        "client_id": CLIENT_ID,
        "scope": SCOPES,
        "iat": now,
        "exp": now + 300,
        "aud": "sample-api",
        "token_type": "Bearer",
    }
    other = await person.http.post(
        "/introspect", data=form, headers=basic("other", "another-secret")
    )
    assert other.json() == {"active": False}
    person.clock.advance(300)
    assert not await person.active(tokens["access_token"])


API_SECRET = "the-api-asks"


async def test_userinfo_asks_for_a_live_access_token_with_openid(person: Person) -> None:
    tokens = await person.tokens()

    async def ask(authorization: str) -> httpx2.Response:
        headers = {"authorization": authorization} if authorization else {}
        return await person.http.get("/userinfo", headers=headers)

    good = await ask(f"bearer {tokens['access_token']}")
    assert good.json()["sub"] == "user-1815"
    assert good.json()["email"] == "ada@example.com"
    assert (await ask("")).status_code == 401
    assert (await ask(f"Bearer {tokens['refresh_token']}")).status_code == 401
    assert (await ask(f"Bearer {tokens['id_token']}")).status_code == 401
    narrow = (await person.refresh(tokens["refresh_token"], scope="orders.read")).json()
    assert (await ask(f"Bearer {narrow['access_token']}")).status_code == 403
    person.clock.advance(300)
    expired = await ask(f"Bearer {tokens['access_token']}")
    assert expired.status_code == 401
    assert 'error="invalid_token"' in expired.headers["www-authenticate"]


# -- logging out ----------------------------------------------------------------------------------


async def test_a_logout_with_a_hint_ends_the_login_and_returns_with_state(person: Person) -> None:
    tokens = await person.tokens()
    person.clock.advance(4000)  # an expired ID token is still a good hint
    query = {
        "id_token_hint": tokens["id_token"],
        "client_id": CLIENT_ID,
        "post_logout_redirect_uri": GOODBYE,
        "state": "s&1",
    }
    answer = await person.http.get("/logout", params=query)
    assert answer.status_code == 303
    assert answer.headers["location"] == GOODBYE + "?state=s%261"
    assert "idp-session" not in person.http.cookies
    assert person.provider.logins == []
    assert (await person.authorize()).status_code == 200  # a page: single sign-on is over


async def test_back_channel_logout_tells_every_client_of_the_session_j4_to_j12(
    person: Person,
) -> None:
    tokens = await person.tokens()
    there = {"client_id": "other", "redirect_uri": "http://localhost:7070/cb?fixed=1"}
    elsewhere = await person.authorize({**there, "scope": "openid"})
    assert parse_qs(urlsplit(elsewhere.headers["location"]).query)["fixed"] == ["1"]
    sid = (await person.claims(tokens["id_token"]))["sid"]
    assert await person.provider.end_login(sid)
    assert not await person.provider.end_login(sid)
    told = dict(person.delivered)
    assert set(told) == {BACK_CHANNEL, "http://localhost:7070/bye"}
    for uri, audience in ((BACK_CHANNEL, CLIENT_ID), ("http://localhost:7070/bye", "other")):
        header = jws.extract_compact(told[uri].encode()).headers()
        assert header["typ"] == "logout+jwt"
        assert header["alg"] == "RS256"
        claims = await person.claims(told[uri])
        now = int(person.clock.now())
        assert claims.pop("jti")
        assert claims == {
            "iss": ISSUER,
            "sub": "user-1815",
            "aud": audience,
            "iat": now,
            "exp": now + 120,
            "events": {EVENT: {}},
            "sid": sid,
        }


async def test_a_client_outside_the_session_hears_nothing(person: Person) -> None:
    tokens = await person.tokens()
    await person.provider.end_login((await person.claims(tokens["id_token"]))["sid"])
    assert [uri for uri, _ in person.delivered] == [BACK_CHANNEL]


async def test_a_client_that_cannot_be_reached_does_not_stop_a_logout(person: Person) -> None:
    tokens = await person.tokens()
    person.deaf = True
    answer = await person.http.get("/logout", params={"id_token_hint": tokens["id_token"]})
    assert answer.status_code == 200
    assert "You are logged out" in answer.text
    assert person.provider.logins == []
    assert person.provider.undelivered == [BACK_CHANNEL]


@pytest.mark.parametrize(("scope", "survives"), [(SCOPES, True), ("openid orders.read", False)])
async def test_offline_access_outlives_a_logout_and_nothing_else_j14(
    person: Person, scope: str, survives: bool
) -> None:
    tokens = await person.tokens("ada", {"scope": scope})
    await person.http.get("/logout", params={"id_token_hint": tokens["id_token"]})
    answer = await person.refresh(tokens["refresh_token"])
    assert (answer.status_code == 200) is survives


async def test_a_logout_without_a_hint_asks_first(person: Person) -> None:
    await person.log_in()
    query = {"client_id": CLIENT_ID, "post_logout_redirect_uri": GOODBYE, "state": "s1"}
    question = await person.http.get("/logout", params=query)
    assert question.status_code == 200
    assert len(person.provider.logins) == 1
    done = await person.choose(question)
    assert done.headers["location"] == GOODBYE + "?state=s1"
    assert person.provider.logins == []
    assert len(person.delivered) == 1


async def test_one_may_stay_logged_in(person: Person) -> None:
    await person.log_in()
    question = await person.http.get("/logout")
    done = await person.choose(question, stay="1")
    assert done.headers["location"] == "/"
    assert len(person.provider.logins) == 1
    assert "Ada Lovelace" in (await person.http.get("/")).text


async def test_a_logout_form_needs_its_own_ticket(person: Person) -> None:
    await person.log_in()
    forged = await person.http.post("/logout/confirm", data={"ticket": "guessed"})
    assert forged.status_code == 400
    assert len(person.provider.logins) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"post_logout_redirect_uri": GOODBYE + "/"},
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"post_logout_redirect_uri": GOODBYE, "client_id": "nobody"},
        {"post_logout_redirect_uri": GOODBYE, "client_id": "other"},
        {"post_logout_redirect_uri": GOODBYE, "client_id": ""},
    ],
)
async def test_a_logout_leads_only_to_a_registered_address(person: Person, changes: Form) -> None:
    query = {"client_id": CLIENT_ID, "state": "s1", **changes}
    answer = await person.http.get("/logout", params=query)
    assert answer.status_code == 200
    assert "location" not in answer.headers


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "garbage"])
async def test_only_an_id_token_is_a_hint_g17(person: Person, hint: str) -> None:
    tokens = await person.tokens()
    query = {
        "id_token_hint": tokens.get(hint, "e30.e30."),
        "post_logout_redirect_uri": GOODBYE,
        "client_id": CLIENT_ID,
    }
    answer = await person.http.get("/logout", params=query)
    assert answer.status_code == 400
    assert len(person.provider.logins) == 1


async def test_a_logout_token_is_no_hint_either_g17(person: Person) -> None:
    tokens = await person.tokens()
    await person.provider.end_login((await person.claims(tokens["id_token"]))["sid"])
    ((_, logout_token),) = person.delivered
    answer = await person.http.get("/logout", params={"id_token_hint": logout_token})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/logout?id_token_hint=e30.e30.", "/authorize?client_id=nobody"])
async def test_an_error_page_leads_back_to_registered_apps_only(person: Person, path: str) -> None:
    answer = await person.http.get(f"{path}&redirect_uri=https://evil.example/")
    assert answer.status_code == 400
    links = re.findall(r'href="(http[^"]*)"', answer.text)
    assert links == ["http://localhost:8080/", "http://localhost:7070/"]
    assert "evil.example" not in answer.text


async def test_the_providers_own_page_says_which_apps_hear_of_a_logout(person: Person) -> None:
    await person.log_in()
    page = (await person.http.get("/")).text
    assert "is told when you log out here" in page
    assert "everywhere" not in page


async def test_a_hint_of_another_client_is_refused(person: Person) -> None:
    tokens = await person.tokens()
    query = {"id_token_hint": tokens["id_token"], "client_id": "other"}
    assert (await person.http.get("/logout", params=query)).status_code == 400
    assert len(person.provider.logins) == 1


async def test_a_logout_may_be_posted_from_another_site_with_a_hint(person: Person) -> None:
    tokens = await person.tokens()
    person.http.cookies.clear()  # Lax: no cookie travels
    form = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": GOODBYE}
    answer = await person.http.post("/logout", data=form)
    assert answer.headers["location"] == GOODBYE
    assert person.provider.logins == []


# -- keys and switches ----------------------------------------------------------------------------


async def test_keys_rotate_and_old_tokens_still_verify(person: Person) -> None:
    before = await person.tokens()
    person.provider.rotate_keys()
    after = (await person.refresh(before["refresh_token"])).json()
    kids = {
        jws.extract_compact(tokens["id_token"].encode()).headers()["kid"]
        for tokens in (before, after)
    }
    assert len(kids) == 2
    assert (await person.claims(before["id_token"]))["sub"] == "user-1815"
    assert (await person.claims(after["id_token"]))["sub"] == "user-1815"
    person.provider.rotate_keys(forget_old=True)
    assert len((await person.provider.jwks())["keys"]) == 1


async def test_token_requests_can_be_made_to_fail_and_are_logged(person: Person) -> None:
    tokens = await person.tokens()
    person.provider.fail_next_token_requests(2, 503)
    answers = [await person.refresh(tokens["refresh_token"]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    log = [(one.grant_type, one.client_id, one.status) for one in person.provider.token_requests]
    assert log == [
        ("authorization_code", CLIENT_ID, 200),
        ("", "", 503),
        ("", "", 503),
        ("refresh_token", CLIENT_ID, 200),
    ]


async def test_everything_issued_is_known_and_unlike_anything_else(person: Person) -> None:
    callback = await person.log_in()
    tokens = (await person.exchange(callback["code"])).json()
    issued = person.provider.issued
    for secret in (
        callback["code"],
        tokens["access_token"],
        tokens["refresh_token"],
        tokens["id_token"],
        person.http.cookies["idp-session"],
    ):
        assert issued.count(secret) == 1
    assert len(set(issued)) == len(issued)


@pytest.mark.parametrize(
    "issuer", ["http://idp.example:9400", "http://192.0.2.1", "ftp://localhost", "https://a.b/c"]
)
def test_a_provider_without_passwords_is_not_reachable_in_clear_from_elsewhere(
    issuer: str,
) -> None:
    with pytest.raises(ValueError, match="loopback"):
        DevProviderSettings(issuer, ())
