"""No token, code or verifier in any octet the browser gets, whatever goes wrong (A3, ASVS 14.2.1).

The browser keeps every octet the gateway sent it; the provider keeps every value it issued. The
authorization code is the one exception: OAuth sends it through the browser, once, in a URL of the
provider's making; no answer of ours repeats it.
"""

from collections import deque

import pytest

from gateway.errors import Code, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer
from tests.support.browser import Browser
from tests.support.world import World, settings_of


def assert_clean(world: World, browser: Browser) -> None:
    seen = b"\n".join(browser.seen)
    assert world.issued()
    for value in world.issued():
        assert value.encode() not in seen
        assert value[10:60].encode() not in seen
    for request in world.provider.requests:
        if b"code_verifier=" in request.body:
            verifier = request.body.partition(b"code_verifier=")[2].partition(b"&")[0]
            assert verifier not in seen


async def test_a_whole_visit_shows_the_browser_no_token() -> None:
    world = World()
    browser = await world.logged_in()
    for path in ("/bff/session", "/bff/sessions", "/api/x", "/api/admin/x", "/public/x", "/nope"):
        await browser.fetch(path)
    world.clock.advance(280)
    await browser.fetch("/api/x")  # refreshed on the way
    await browser.fetch("/bff/sessions", "DELETE")
    logout = await browser.fetch("/bff/logout", "POST")
    hint = logout.json()["redirect_to"].partition("id_token_hint=")[2].partition("&")[0]
    # The logout hint is the one value that has to pass through the browser (J2); nothing else may.
    browser.seen = [octets.replace(hint.encode(), b"") for octets in browser.seen]
    assert_clean(world, browser)


async def test_the_logout_hint_can_be_switched_off() -> None:
    providers = {
        "main": {
            "issuer": "https://id.example",
            "client_id": "spa",
            "client_secret": {"env": "CLIENT_SECRET"},
            "scopes": ["openid"],
            "send_id_token_hint": False,
        }
    }
    world = World(settings_of({"providers": providers}))
    browser = await world.logged_in()
    answer = await browser.fetch("/bff/logout", "POST")
    assert "id_token_hint" not in answer.json()["redirect_to"]
    assert_clean(world, browser)


@pytest.mark.parametrize(
    "answer",
    [
        BackChannelAnswer(500, "text/html", b"at-secret rt-secret"),
        BackChannelAnswer(400, "application/json", b'{"error":"invalid_grant","x":"at-secret"}'),
        BackChannelAnswer(200, "application/json", b'{"access_token":"at-secret"}'),
        BackChannelAnswer(
            200, "application/json", b'{"access_token":"at-secret","token_type":"mac"}'
        ),
        BackChannelAnswer(200, "text/plain", b"access_token=at-secret"),
    ],
)
async def test_a_provider_that_fails_shows_the_browser_nothing_of_its_answer(
    answer: BackChannelAnswer,
) -> None:
    world = World()
    world.provider.answers["/token"] = deque([answer])
    browser = world.browser()
    page = await browser.navigate("/bff/login")
    assert page.status in (502, 503)
    assert b"secret" not in b"".join(browser.seen)
    assert b"secret" not in world.audit_text.getvalue().encode()


@pytest.mark.parametrize("code", [Code.UPSTREAM_CONNECT, Code.UPSTREAM_TIMEOUT])
async def test_an_api_that_fails_shows_no_inner_address(code: Code) -> None:
    world = World()
    browser = await world.logged_in()
    world.api.failure = Unavailable(code, note="api.internal:8080 refused")
    answer = await browser.fetch("/api/x")
    assert answer.status in (502, 504)
    assert answer.json()["code"] == code.value
    assert b"internal" not in answer.octets()
    assert_clean(world, browser)


async def test_no_endpoint_takes_a_token_from_the_browser_a2() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load("https://app.example/bff/login")
    state = (started.one("location") or "").partition("state=")[2].partition("&")[0]
    for extra in ("access_token=x", "id_token=x.y.z", "code=c&id_token=x.y.z"):
        url = f"https://app.example/bff/callback/main?state={state}&iss=https%3A%2F%2Fid.example&{extra}"
        answer = await browser.load(url)
        assert answer.status == 400
    assert world.provider.seen("/token") == 0
    assert "response_type=code" in (started.one("location") or "")


async def test_an_error_description_is_reflected_nowhere_e11() -> None:
    world = World()
    evil = "<script>alert(1)</script>\r\nX-Evil: 1"
    world.provider.change_callback = lambda answer: {
        "error": "access_denied",
        "error_description": evil,
        "error_uri": "https://evil.example",
        "state": answer["state"],
        "iss": answer["iss"],
    }
    browser = world.browser()
    page = await browser.navigate("/bff/login")
    assert page.status == 403
    assert "<script" not in page.text
    assert "evil" not in page.text.lower()
    assert page.all("x-evil") == []
    assert "script" not in world.audit_text.getvalue()
