"""Mix-up: an answer of one provider presented as another's (E7, E8, RFC 9207, RFC 9700 4.4)."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.support.browser import Browser
from tests.support.world import SESSION, World, settings_of

EVIL = "https://evil-id.example"


def two_providers() -> World:
    main = {
        "issuer": "https://id.example",
        "client_id": "spa",
        "client_secret": {"env": "CLIENT_SECRET"},
        "scopes": ["openid"],
    }
    return World(settings_of({"providers": {"main": main, "evil": {**main, "issuer": EVIL}}}))


def _without_iss(parameters: dict[str, str]) -> None:
    del parameters["iss"]


async def callback_url(world: World, provider: str = "main") -> tuple[Browser, str]:
    browser = world.browser()
    started = await browser.load(f"https://app.example/bff/login?provider={provider}")
    at_provider = await browser.load(started.one("location") or "")
    return browser, at_provider.one("location") or ""


def changed(url: str, change: Callable[[dict[str, str]], None], path: str | None = None) -> str:
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query))
    change(parameters)
    return f"https://app.example{path or parts.path}?{urlencode(parameters)}"


@pytest.mark.parametrize(
    "iss",
    [
        EVIL,
        "https://id.example/",
        "https://ID.example",
        "http://id.example",
        "https://id.example?x",
        "",
    ],
)
async def test_an_answer_with_another_iss_spends_no_code_anywhere(iss: str) -> None:
    world = two_providers()
    browser, url = await callback_url(world)
    await browser.load(changed(url, lambda p: p.update(iss=iss)))
    assert [provider.seen("/token") for provider in world.providers.values()] == [0, 0]
    assert SESSION not in browser.cookies


async def test_an_answer_without_the_promised_iss_is_refused_e8() -> None:
    world = two_providers()
    browser, url = await callback_url(world)
    await browser.load(changed(url, _without_iss))
    assert world.provider.seen("/token") == 0


async def test_an_answer_at_another_providers_redirect_uri_is_refused() -> None:
    world = two_providers()
    browser, url = await callback_url(world)
    await browser.load(changed(url, lambda p: None, "/bff/callback/evil"))
    assert [provider.seen("/token") for provider in world.providers.values()] == [0, 0]
    assert world.audit("login.failed")[-1]["code"] == "callback.issuer"


async def test_each_provider_has_its_own_redirect_uri() -> None:
    world = two_providers()
    for name in ("main", "evil"):
        await callback_url(world, name)
    uris = {provider.authorizations[0]["redirect_uri"] for provider in world.providers.values()}
    assert uris == {
        "https://app.example/bff/callback/main",
        "https://app.example/bff/callback/evil",
    }


async def test_a_malicious_provider_that_relays_the_code_gets_no_login_and_no_code_e7() -> None:
    """The attack itself: the person picks `evil`, which sends them on to the honest provider."""
    world = two_providers()
    honest, evil = world.providers["https://id.example"], world.providers[EVIL]
    browser, _ = await callback_url(world, "evil")
    asked = evil.authorizations[0]
    # The honest provider's answer to a request with the parameters that `evil` passed on.
    relayed = honest._authorize({**asked, "scope": "openid"})
    target = "https://app.example/bff/callback/evil?" + urlencode(relayed)
    await browser.load(target, site="cross-site")
    assert evil.seen("/token") == 0
    assert honest.seen("/token") == 0


async def test_an_unknown_provider_makes_no_request_leave_e21() -> None:
    world = two_providers()
    browser = world.browser()
    for query in (
        "provider=https%3A%2F%2Fx.example",
        "provider=nobody",
        "iss=https%3A%2F%2Fx.example",
        "iss=https%3A%2F%2Fid.example%2F",  # exactly, or another one
        "iss=https%3A%2F%2Fid.example&provider=evil",  # one by name, one by issuer
    ):
        answer = await browser.load(f"https://app.example/bff/login?{query}")
        assert 400 <= answer.status < 500
        assert answer.one("location") is None
    assert [provider.requests for provider in world.providers.values()] == [[], []]


async def test_a_login_somebody_else_starts_goes_to_an_issuer_of_ours_or_nowhere_e21() -> None:
    world = two_providers()
    browser = world.browser()
    for issuer in world.providers:
        query = urlencode({"iss": issuer, "target_link_uri": "https://evil.example/"})
        answer = await browser.load(f"https://app.example/bff/login?{query}")
        assert answer.status == 400  # the target is checked like any other
        query = urlencode({"iss": issuer, "target_link_uri": "https://app.example/public/a"})
        answer = await browser.load(f"https://app.example/bff/login?{query}")
        assert (answer.one("location") or "").startswith(f"{issuer}/authorize?")
