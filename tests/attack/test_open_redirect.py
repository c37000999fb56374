"""Open redirect: nothing from a request names where a browser goes (E13, RFC 9700 4.11)."""

from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import pytest

from gateway.errors import Code
from gateway.oidc.attempt import LoginAttempt, code_challenge
from gateway.secret import LoginBinding
from gateway.session.attempts import Attempts
from tests.support.world import LOGIN, SESSION, World

VECTORS = Path(__file__).parents[1] / "vectors" / "return_to.txt"


def payloads() -> list[str]:
    lines = VECTORS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def lands_at_home(location: str) -> bool:
    """Whether a browser, which strips tabs and turns backslashes, stays on the origin."""
    read = location.replace("\t", "").replace("\n", "").replace("\r", "").replace("\\", "/")
    parts = urlsplit(urljoin("https://app.example/", read.strip()))
    return (parts.scheme, parts.netloc) == ("https", "app.example")


async def test_no_payload_leads_off_the_origin_after_a_login() -> None:
    world = World()
    refused = 0
    for payload in payloads():
        browser = world.browser()
        started = await browser.load(
            "https://app.example/bff/login?" + urlencode({"return_to": payload})
        )
        if started.status != 303:
            assert started.status == 400, payload
            refused += 1
            continue
        at_provider = await browser.load(started.one("location") or "")
        hop = await browser.load(at_provider.one("location") or "", site="cross-site")
        target = hop.text.partition("0;url=")[2].partition('"')[0]
        assert lands_at_home(target), payload
    assert refused > len(payloads()) // 2


@pytest.mark.parametrize("payload", ["https://evil.example/", "//evil.example", "/\\evil.example"])
async def test_logout_returns_to_the_application_only(payload: str) -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/bff/logout?" + urlencode({"return_to": payload}), "POST")
    assert answer.status == 400
    assert answer.json()["code"] == "login.return_to"
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is True


@pytest.mark.parametrize(
    "state", ["", "https://evil.example/", "x", "A" * 200, "//evil.example", "%00"]
)
async def test_the_way_back_from_logout_believes_only_a_state_of_ours_j3(state: str) -> None:
    world = World()
    answer = await world.browser().load(
        "https://app.example/bff/logged-out?" + urlencode({"state": state})
    )
    assert answer.status == 200
    assert "evil" not in answer.text
    assert '0;url=/"' in answer.text


async def test_a_login_state_is_no_logout_state_b14() -> None:
    world = World()
    browser = world.browser()
    started = await browser.load("https://app.example/bff/login?return_to=/public/deep")
    state = (started.one("location") or "").partition("state=")[2].partition("&")[0]
    answer = await browser.load(f"https://app.example/bff/logged-out?state={state}")
    assert '0;url=/"' in answer.text


@pytest.mark.parametrize("resume", ["x", "A" * 300, "https://evil.example/"])
async def test_a_made_up_resume_goes_nowhere(resume: str) -> None:
    world = World()
    answer = await world.browser().load(
        "https://app.example/bff/login?" + urlencode({"resume": resume})
    )
    assert answer.status == 400
    assert answer.one("location") is None


@pytest.mark.parametrize("unsafe", ["https://evil.example/", "//evil.example", "/bff/login"])
async def test_a_target_is_checked_where_it_is_used_however_it_was_sealed_e13(unsafe: str) -> None:
    """As if an older release, with laxer rules, had sealed it."""
    world = World()
    browser = world.browser()
    await browser.load("https://app.example/bff/login")
    binding = LoginBinding(browser.cookies[LOGIN].value)
    attempt = LoginAttempt(
        attempt_id="attempt-1", provider="main", return_to=unsafe, issued_at=world.clock.now()
    )
    attempts = Attempts(world.ring, world.clock, attempt)
    state, bound = attempts.seal(attempt, binding)
    parameters = {
        "state": state,
        "redirect_uri": "https://app.example/bff/callback/main",
        "code_challenge": code_challenge(bound.verifier),
        "nonce": bound.nonce.reveal(),
        "scope": "openid",
    }
    answer = urlencode(world.provider._authorize(parameters))
    hop = await browser.load(f"https://app.example/bff/callback/main?{answer}", site="cross-site")
    assert SESSION in browser.cookies
    assert '0;url=/"' in hop.text
    assert "evil" not in hop.text
    # The same after a denial, and on the way back from a state that does not fit.
    resume = attempts.refused(Code.STATE_EXPIRED, attempt, binding).resume
    landed = await browser.load(
        f"https://app.example/bff/login?resume={resume}", site="same-origin"
    )
    assert landed.one("location") == "/"
