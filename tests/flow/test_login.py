"""Logging in, as the person and the application live through it."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.provider import OTHER_KEY, sign
from tests.support.world import BASE, LOGIN, ORIGIN, SESSION, World, settings_of

PLAIN = {
    "kind": "oauth2",
    "client_id": "spa",
    "client_secret": {"env": "CLIENT_SECRET"},
    "scopes": ["read:user"],
    "endpoints": {
        "authorization_endpoint": "https://id.example/authorize",
        "token_endpoint": "https://id.example/token",
        "userinfo_endpoint": "https://id.example/userinfo",
    },
    "subject_claim": "id",
}


def main_with(**changes: object) -> dict[str, object]:
    return {"providers": {"main": {**BASE["providers"]["main"], **changes}}}


async def test_a_person_logs_in_and_the_application_knows_who_it_is() -> None:
    world = World()
    browser = world.browser()
    before = (await browser.fetch("/bff/session")).json()
    assert before["authenticated"] is False
    assert before["login_url"] == "/bff/login"
    landed = await browser.navigate("/bff/login?return_to=/public/orders%3Fpage%3D2")
    assert landed.status == 200
    assert browser.url == f"{ORIGIN}/public/orders?page=2"
    after = (await browser.fetch("/bff/session")).json()
    assert after["authenticated"] is True
    assert after["user"]["sub"] == "ada"
    assert after["user"]["email"] == "ada@example.org"
    assert after["provider"] == "main"
    assert after["tokens"] == "healthy"
    assert after["expires_in"] == 43200
    assert after["idle_expires_in"] == 1800
    answer = await browser.fetch("/api/orders")
    assert answer.status == 200
    issued = next(value for value in world.issued() if value.startswith("at-"))
    assert world.api.sent(b"authorization") == [b"Bearer " + issued.encode()]


async def test_the_cookies_are_as_strict_as_browsers_allow_b1_b2_b3_b4() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load(f"{ORIGIN}/bff/login")
    login = (started.one("set-cookie") or "").split("; ")
    assert login[0].startswith(f"{LOGIN}=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax"} <= set(login)
    at_provider = await browser.load(started.one("location") or "")
    back = await browser.load(at_provider.one("location") or "", site="cross-site")
    session = (back.one("set-cookie") or "").split("; ")
    assert session[0].startswith(f"{SESSION}=")
    assert set(session[1:]) == {"HttpOnly", "Secure", "Path=/", "SameSite=Strict"}
    assert len(session[0]) < 200


async def test_the_callback_hops_so_that_the_strict_cookie_travels_b5_c14() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load(f"{ORIGIN}/bff/login?return_to=/api/me")
    at_provider = await browser.load(started.one("location") or "")
    back = await browser.load(at_provider.one("location") or "", site="cross-site")
    assert back.status == 200
    assert "<script" not in back.text
    assert back.one("referrer-policy") == "no-referrer"
    assert back.one("cache-control") == "no-store"
    assert "frame-ancestors 'none'" in (back.one("content-security-policy") or "")
    assert "code=" not in back.text
    # The whole way in one go: the API route, which needs the session, is reached without a loop.
    again = world.browser()
    landed = await again.navigate("/bff/login?return_to=/api/me")
    assert landed.status == 200
    assert len(world.provider.authorizations) == 2


async def test_pages_say_that_only_https_will_do_c15() -> None:
    world = World()
    answer = await world.browser().load(f"{ORIGIN}/nothing-here")
    assert answer.status == 404
    seconds = (answer.one("strict-transport-security") or "").partition("max-age=")[2]
    assert int(seconds.split(";")[0]) >= 31536000
    assert answer.one("x-content-type-options") == "nosniff"


async def test_the_authorization_request_carries_what_it_must_and_nothing_a_link_adds_e14() -> None:
    world = World()
    browser = world.browser()
    query = (
        "scope=admin&redirect_uri=https://evil.example&client_id=other&response_type=token"
        "&nonce=x&state=x&code_challenge_method=plain&login_hint=ada&ui_locales=de&max_age=60"
        "&acr_values=gold&return_to=/public/%26scope%3Dx"
    )
    started = await browser.load(f"{ORIGIN}/bff/login?{query}")
    asked = parse_qs(urlsplit(started.one("location") or "").query)
    assert asked["scope"] == ["openid profile orders.read"]
    assert asked["redirect_uri"] == [f"{ORIGIN}/bff/callback/main"]
    assert asked["client_id"] == ["spa"]
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["login_hint"] == ["ada"]
    assert asked["ui_locales"] == ["de"]
    assert asked["max_age"] == ["60"]
    assert asked["acr_values"] == ["gold"]
    assert asked["nonce"] != ["x"]
    assert asked["state"] != ["x"]
    assert all(len(values) == 1 for values in asked.values())


async def test_two_logins_share_neither_challenge_nor_nonce_nor_state_e1_e6() -> None:
    world = World()
    browser = world.browser()
    for _ in range(2):
        started = await browser.load(f"{ORIGIN}/bff/login")
        await browser.load(started.one("location") or "")
    one, two = world.provider.authorizations
    for name in ("code_challenge", "nonce", "state"):
        assert one[name] != two[name]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("prompt=login&prompt=none", "login.parameter"),
        ("provider=main&provider=main", "login.parameter"),
        ("max_age=-1", "login.parameter"),
        ("max_age=soon", "login.parameter"),
        ("prompt=evil", "login.parameter"),
        ("login_hint=%00", "login.parameter"),
        ("login_hint=%ff", "login.parameter"),
        ("provider=nobody", "login.provider_unknown"),
        ("return_to=https://evil.example", "login.return_to"),
        ("return_to=/bff/login", "login.return_to"),
    ],
)
async def test_a_bad_login_link_is_explained_and_starts_nothing_e10(query: str, code: str) -> None:
    world = World()
    browser = world.browser()
    answer = await browser.load(f"{ORIGIN}/bff/login?{query}")
    assert 400 <= answer.status < 500
    assert code in answer.text
    assert answer.all("set-cookie") == []
    assert world.provider.requests == []


async def test_form_post_works_and_its_cookie_travels_cross_site_b4_e15() -> None:
    world = World(settings_of(main_with(response_mode="form_post")))
    browser = world.browser()
    started = await browser.load(f"{ORIGIN}/bff/login?return_to=/api/me")
    assert "SameSite=None" in (started.one("set-cookie") or "")
    form = await browser.load(started.one("location") or "")
    assert world.provider.authorizations[0]["response_mode"] == "form_post"
    back = await browser.load(f"{ORIGIN}/bff/callback/main", site="cross-site", form=form.body)
    assert back.status == 200
    assert SESSION in browser.cookies
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_plain_oauth2_provider_logs_people_in_by_its_user_url() -> None:
    world = World(settings_of({"providers": {"plain": PLAIN}}))
    world.provider = world.providers[world.settings.clients[0].issuer]
    world.provider.userinfo = {"id": 583231, "login": "octo", "name": "Octo"}
    browser = world.browser()
    await browser.navigate("/bff/login")
    seen = (await browser.fetch("/bff/session")).json()
    assert seen["authenticated"] is True
    assert seen["user"]["sub"] == "583231"
    assert seen["user"]["login"] == "octo"
    assert "nonce" not in world.provider.authorizations[0]
    assert "code_challenge" in world.provider.authorizations[0]
    assert world.provider.seen("/.well-known/openid-configuration") == 0


async def test_userinfo_is_asked_for_when_configured_and_added_g15() -> None:
    world = World(settings_of(main_with(fetch_userinfo=True)))
    world.provider.userinfo = {"sub": "ada", "department": "engines"}
    browser = await world.logged_in()
    user = (await browser.fetch("/bff/session")).json()["user"]
    assert user["department"] == "engines"
    assert user["email"] == "ada@example.org"


@pytest.mark.parametrize("error", ["login_required", "interaction_required", "consent_required"])
async def test_a_silent_login_that_cannot_be_silent_tells_the_application_e19(error: str) -> None:
    world = World()
    world.provider.change_callback = lambda answer: {
        "error": error,
        "state": answer["state"],
        "iss": answer["iss"],
    }
    browser = world.browser()
    await browser.navigate("/bff/login?prompt=none&return_to=/public/home%3Fa%3D1%23top")
    assert browser.url == f"{ORIGIN}/public/home?a=1&auth_error={error}#top"
    assert len(world.provider.authorizations) == 1
    assert SESSION not in browser.cookies


async def test_an_error_nobody_knows_becomes_one_that_everybody_knows_e11() -> None:
    world = World()
    world.provider.change_callback = lambda answer: {
        "error": "<script>x</script>",
        "state": answer["state"],
        "iss": answer["iss"],
    }
    browser = world.browser()
    await browser.navigate("/bff/login?prompt=none&return_to=/public/home")
    assert browser.url == f"{ORIGIN}/public/home?auth_error=server_error"


async def test_a_denied_login_is_a_page_or_goes_to_the_application_as_configured() -> None:
    for errors_to in ("page", "app"):
        world = World(settings_of({"login": {"errors_to": errors_to}}))
        world.provider.change_callback = lambda answer: {
            "error": "access_denied",
            "state": answer["state"],
            "iss": answer["iss"],
        }
        browser = world.browser()
        landed = await browser.navigate("/bff/login?return_to=/public/home")
        if errors_to == "page":
            assert landed.status == 403
            assert "declined" in landed.text
            # The link begins the same login again: this provider, and the place once wished for.
            again = "/bff/login?provider=main&amp;return_to=%2Fpublic%2Fhome"
            assert f'href="{again}"' in landed.text
        else:
            assert browser.url == f"{ORIGIN}/public/home?auth_error=access_denied"


async def test_a_provider_that_is_down_at_start_is_a_page_and_heals_f12() -> None:
    world = World()
    world.provider.down = True
    browser = world.browser()
    answer = await browser.navigate("/bff/login")
    assert answer.status == 503
    assert answer.one("retry-after")
    assert answer.all("set-cookie") == []
    world.provider.down = False
    world.clock.advance(6)
    await browser.navigate("/bff/login")
    assert SESSION in browser.cookies


async def test_metadata_of_another_issuer_is_never_used_f1() -> None:
    world = World()
    world.provider.metadata = {"issuer": "https://id.example/"}
    answer = await world.browser().navigate("/bff/login")
    assert answer.status == 502
    assert world.provider.authorizations == []


async def test_metadata_gone_bad_later_leaves_the_last_good_copy_in_use_f7() -> None:
    world = World()
    await world.logged_in()
    world.provider.metadata = {"issuer": "https://evil.example"}
    world.clock.advance(3700)
    assert SESSION in (await world.logged_in()).cookies


async def test_a_page_that_needs_a_session_sends_the_person_to_log_in_and_back_a10() -> None:
    world = World()
    browser = world.browser()
    landed = await browser.navigate("/api/report?year=2026")
    assert landed.status == 200
    assert browser.url == f"{ORIGIN}/api/report?year=2026"
    assert len(world.provider.authorizations) == 1


async def test_a_page_no_login_may_return_to_still_leads_to_the_login() -> None:
    """Longer than any return_to may be: the person logs in and lands at home, not on an error."""
    world = World()
    browser = world.browser()
    answer = await browser.load(f"{ORIGIN}/api/report?{'x' * 3000}")
    assert answer.status == 303
    assert answer.one("location") == "/bff/login"


async def test_a_login_that_restarts_in_vain_offers_the_way_that_was_wished_for() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load(f"{ORIGIN}/bff/login?return_to=/public/home")
    for _ in range(2):  # too slow at the provider, twice
        at_provider = await browser.load(started.one("location") or "")
        world.clock.advance(660)
        hop = await browser.load(at_provider.one("location") or "", site="cross-site")
        resume = re.search(r'url=(/bff/login\?resume=[^"]*)', hop.text)
        assert resume is not None
        started = await browser.load(f"{ORIGIN}{resume[1]}", site="same-origin")
    assert started.status == 400
    assert "state.expired" in started.text
    again = "/bff/login?provider=main&amp;return_to=%2Fpublic%2Fhome"
    assert f'href="{again}"' in started.text
    assert world.store.live_sessions() == {}


async def test_a_fetch_without_a_session_is_told_and_never_moved_a10() -> None:
    world = World()
    answer = await world.browser().fetch("/api/x")
    assert answer.status == 401
    assert answer.one("content-type") == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "session.required"
    assert problem["login_url"] == "/bff/login"
    assert answer.one("location") is None


async def test_the_token_request_authenticates_once_and_names_the_same_redirect_uri_e17() -> None:
    world = World()
    await world.logged_in()
    sent = [request for request in world.provider.requests if request.url.endswith("/token")]
    assert len(sent) == 1
    form = parse_qs(sent[0].body.decode())
    assert form["redirect_uri"] == [f"{ORIGIN}/bff/callback/main"]
    assert "client_secret" not in form
    assert 43 <= len(form["code_verifier"][0]) <= 128
    assert [name for name, _ in sent[0].fields if name == b"authorization"] == [b"authorization"]


async def test_the_store_failing_at_the_callback_spends_no_code_d11() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load(f"{ORIGIN}/bff/login")
    at_provider = await browser.load(started.one("location") or "")
    world.store.down = True
    answer = await browser.load(at_provider.one("location") or "", site="cross-site")
    assert answer.status == 503
    assert world.provider.seen("/token") == 0
    world.store.down = False
    again = await browser.load(at_provider.one("location") or "", site="cross-site")
    assert again.status == 200
    assert SESSION in browser.cookies


async def test_two_browsers_of_one_person_have_two_sessions() -> None:
    world = World()
    laptop, phone = await world.logged_in(), await world.logged_in()
    listed = (await laptop.fetch("/bff/sessions")).json()["sessions"]
    assert sorted(one["current"] for one in listed) == [False, True]
    other = next(one["session_id"] for one in listed if not one["current"])
    assert (await laptop.fetch(f"/bff/sessions/{other}", "DELETE")).status == 204
    assert (await phone.fetch("/bff/session")).json()["authenticated"] is False
    assert (await laptop.fetch("/bff/session")).json()["authenticated"] is True


async def test_one_person_at_two_providers_is_two_users_d9() -> None:
    second = {**BASE["providers"]["main"], "issuer": "https://other-id.example"}
    world = World(settings_of({"providers": {**BASE["providers"], "other": second}}))
    one = await world.logged_in("main")
    await world.logged_in("other")
    assert len((await one.fetch("/bff/sessions")).json()["sessions"]) == 1


async def test_a_client_that_signs_does_so_anew_for_every_request_h2_h3_h4() -> None:
    pem = OTHER_KEY.as_pem(private=True).decode()
    main = {**BASE["providers"]["main"], "client_auth": "private_key_jwt"}
    del main["client_secret"]
    main["private_key"] = {"env": "CLIENT_KEY"}
    world = World(settings_of({"providers": {"main": main}}, CLIENT_KEY=pem))
    world.provider.client_key = OTHER_KEY
    browser = await world.logged_in()
    world.clock.advance(400)
    assert (await browser.fetch("/api/x")).status == 200
    await browser.fetch("/bff/logout", "POST")
    assert world.provider.seen("/token") == 2
    assert len(set(world.provider.assertions)) == 2
    forms = [
        request.body for request in world.provider.requests if b"client_assertion" in request.body
    ]
    assert len(forms) == 3
    assert all(b"client_secret" not in form for form in forms)


async def test_a_link_cannot_lower_the_authentication_the_operator_asks_for_g11() -> None:
    world = World(settings_of(main_with(acr_values=["urn:mfa"])))
    world.provider.change_id_token = lambda claims: {**claims, "acr": "urn:pwd"}
    browser = world.browser()
    answer = await browser.load(f"{ORIGIN}/bff/login?acr_values=urn%3Apwd")
    assert answer.status == 400
    assert world.provider.authorizations == []
    await browser.navigate("/bff/login")
    assert SESSION not in browser.cookies
    assert world.provider.authorizations[0]["acr_values"] == "urn:mfa"


async def test_metadata_too_old_to_be_trusted_is_not_used_however_long_the_outage_f7() -> None:
    world = World()
    await world.logged_in()
    world.provider.down = True
    world.clock.advance(30 * 86400)
    for _ in range(3):
        answer = await world.browser().load(f"{ORIGIN}/bff/login")
        assert answer.status == 503
        world.clock.advance(2)


async def test_a_login_taken_up_again_is_still_the_one_that_was_asked_for_g11_g12() -> None:
    world = World()
    browser = world.browser()
    query = "prompt=login&max_age=60&acr_values=gold&return_to=/public/home"
    started = await browser.load(f"{ORIGIN}/bff/login?{query}")
    for _ in range(2):
        at_provider = await browser.load(started.one("location") or "")
        world.clock.advance(660)
        hop = await browser.load(at_provider.one("location") or "", site="cross-site")
        resume = re.search(r'url=(/bff/login\?resume=[^"]*)', hop.text)
        assert resume is not None
        started = await browser.load(f"{ORIGIN}{resume[1]}", site="same-origin")
    first, second = world.provider.authorizations
    for name, value in (("prompt", "login"), ("max_age", "60"), ("acr_values", "gold")):
        assert first[name] == second[name] == value
        assert f"{name}={value}" in started.text  # on the button, once nothing restarts any more


async def test_a_token_that_is_dead_on_arrival_is_explained_and_loops_nowhere_h6() -> None:
    world = World()
    world.provider.change_token_answer = lambda answer: {
        **{name: value for name, value in answer.items() if name != "refresh_token"},
        "expires_in": 3,
    }
    create = world.store.create

    async def takes_its_time(*session: Any, **about: Any) -> Any:
        world.clock.advance(4)
        return await create(*session, **about)

    world.store.create = takes_its_time
    browser = world.browser()
    landed = await browser.navigate("/api/report")
    assert landed.status == 401
    assert "token.expired" in landed.text
    assert len(world.provider.authorizations) == 1
    assert world.api.received == []


async def test_a_browser_that_does_not_keep_the_session_cookie_loops_nowhere() -> None:
    world = World()
    browser = world.browser()
    keep = browser._keep

    def forgetful(line: str, host: str) -> None:
        if not line.startswith(f"{SESSION}="):
            keep(line, host)

    browser._keep = forgetful  # type: ignore[method-assign]  # the same, without one cookie
    landed = await browser.navigate("/api/report")
    assert landed.status == 401
    assert "/bff/login" in landed.text
    assert len(world.provider.authorizations) == 1


async def test_the_old_session_dies_at_a_new_login_whatever_the_replicas_clocks_say_d1() -> None:
    world = World()
    browser = await world.logged_in()
    old = browser.cookies[SESSION]
    world.clock.advance(-20)
    await browser.navigate("/bff/login?prompt=login")
    assert browser.cookies[SESSION].value != old.value
    browser.cookies[SESSION] = old
    assert (await browser.fetch("/api/x")).status == 401


def userinfo_claims(**changes: object) -> dict[str, object]:
    claims = {"iss": "https://id.example", "aud": "spa", "sub": "ada", "department": "engines"}
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


async def test_a_signed_userinfo_answer_counts_once_its_signature_holds_g16() -> None:
    world = World(settings_of(main_with(fetch_userinfo=True)))
    world.provider.signed_userinfo = sign(userinfo_claims())
    browser = await world.logged_in()
    user = (await browser.fetch("/bff/session")).json()["user"]
    assert user["department"] == "engines"


@pytest.mark.parametrize(
    "token",
    [
        sign(userinfo_claims(), OTHER_KEY),
        sign(userinfo_claims(sub="grace")),
        sign(userinfo_claims(sub=None)),
        sign(userinfo_claims(iss="https://id.example/")),
        sign(userinfo_claims(iss=None)),
        sign(userinfo_claims(aud="other")),
        sign(userinfo_claims(aud=["spa", "other"])),
        sign(userinfo_claims(aud=None)),
        sign(userinfo_claims(nonce="x")),
        sign(userinfo_claims(events={})),
        sign(userinfo_claims(), header={"typ": "at+jwt"}),
        sign(userinfo_claims()).rpartition(".")[0] + ".",
        "not.a.jwt",
        "",
    ],
)
async def test_a_signed_userinfo_answer_that_proves_nothing_logs_nobody_in_g16_g17(
    token: str,
) -> None:
    world = World(settings_of(main_with(fetch_userinfo=True)))
    world.provider.signed_userinfo = token
    browser = world.browser()
    landed = await browser.navigate("/bff/login")
    assert landed.status >= 400
    assert SESSION not in browser.cookies
    assert world.store.live_sessions() == {}
