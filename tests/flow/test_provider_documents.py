"""What a provider publishes is garbage, huge, another's, or signed with other keys (F14, F15).

At the start there is a page and no session; later the last good copy is used, and nobody who has a
session notices at all.
"""

import asyncio
import json
from collections import deque
from typing import Any

import pytest

from gateway.adapters.jose import MAX_KEYS
from gateway.oidc.back_channel import BackChannelAnswer
from gateway.session.provider import REFETCHES
from tests.support.browser import Browser
from tests.support.provider import EC_KEY, KEY, OTHER_KEY, FakeProvider, sign
from tests.support.world import SESSION, World

DISCOVERY = "/.well-known/openid-configuration"
JSON = "application/json"
METADATA = {
    "issuer": "https://id.example",
    "authorization_endpoint": "https://id.example/authorize",
    "token_endpoint": "https://id.example/token",
    "jwks_uri": "https://id.example/jwks",
}


def documents(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in {**METADATA, **changes}.items() if v is not ...}).encode()


GARBAGE: dict[str, tuple[int, bytes]] = {
    "nothing": (200, b""),
    "a page": (200, b"<h1>login</h1>"),
    "a list": (200, b"[]"),
    "null": (200, b"null"),
    "an empty object": (200, b"{}"),
    "cut off": (200, documents()[:-30]),
    "not UTF-8": (200, b'{"issuer":"\xff"}'),
    "very deep": (200, b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "500": (500, b"oops"),
    "404": (404, documents()),
    "a redirect": (302, b""),
}
BAD_METADATA = GARBAGE | {
    "another issuer": (200, documents(issuer="https://evil.example")),
    "an issuer with a slash more": (200, documents(issuer="https://id.example/")),
    "no issuer": (200, documents(issuer=...)),
    "jwks over http": (200, documents(jwks_uri="http://id.example/jwks")),
    "jwks on this machine": (200, documents(jwks_uri="http://127.0.0.1/jwks")),
    "tokens over http": (200, documents(token_endpoint="http://id.example/token")),
    "no token endpoint": (200, documents(token_endpoint=...)),
    "an endpoint that is a number": (200, documents(token_endpoint=7)),
    "two issuers": (200, b'{"issuer":"https://evil.example",' + documents()[1:]),
}
BAD_KEYS = GARBAGE | {
    "keys that are no list": (200, b'{"keys":{"kid":"k1"}}'),
    "no keys": (200, b'{"keys":[]}'),
    "keys that are none": (200, b'{"keys":[null,7,"k1",{}]}'),
    "a secret": (200, b'{"keys":[{"kty":"oct","kid":"k1","k":"AAAA"}]}'),
}


def publishes(provider: FakeProvider, path: str, status: int, body: bytes) -> None:
    """Have it say this from now on, however often it is asked."""
    provider.answers[path] = deque([BackChannelAnswer(status, JSON, body)] * 100)


async def is_served(browser: Browser) -> bool:
    return (await browser.fetch("/api/x")).status == 200


BAD: list[Any] = [
    *(pytest.param(DISCOVERY, *bad, id=f"metadata: {name}") for name, bad in BAD_METADATA.items()),
    *(pytest.param("/jwks", *bad, id=f"keys: {name}") for name, bad in BAD_KEYS.items()),
]


@pytest.mark.parametrize(("path", "status", "body"), BAD)
async def test_f14_garbage_at_the_start_is_a_page_and_heals(
    path: str, status: int, body: bytes
) -> None:
    world = World()
    publishes(world.provider, path, status, body)
    browser = world.browser()
    page = await browser.navigate("/bff/login")
    assert page.status in (502, 503)
    assert "text/html" in (page.one("content-type") or "")
    assert SESSION not in browser.cookies
    assert world.store.live_sessions() == {}
    assert all(one.url.startswith("https://id.example/") for one in world.provider.requests)
    world.provider.answers.clear()
    world.clock.advance(61)
    await browser.navigate("/bff/login")
    assert SESSION in browser.cookies


@pytest.mark.parametrize(("path", "status", "body"), BAD)
async def test_f14_garbage_later_leaves_the_last_good_copy_in_use(
    path: str, status: int, body: bytes
) -> None:
    world = World()
    browser = await world.logged_in()
    publishes(world.provider, path, status, body)
    for _ in range(3):
        world.clock.advance(1500)
        assert await is_served(browser)  # refreshed on the way
    assert world.provider.seen(path) >= 2
    assert SESSION in (await world.logged_in()).cookies


async def test_f14_ten_thousand_keys_are_looked_at_up_to_a_bound() -> None:
    world = World()
    good: dict[str, Any] = {**KEY.as_dict(private=False)}
    crowd: list[Any] = [
        {**good, "kid": f"n{number}", "n": good["n"][:-2] + "AQ"} for number in range(10_000)
    ]
    publishes(world.provider, "/jwks", 200, json.dumps({"keys": [good, *crowd]}).encode())
    async with asyncio.timeout(5):
        browser = await world.logged_in()
    assert await is_served(browser)
    keys = await world.gateway.providers["main"]._keys.get()
    assert len(keys.keys) <= MAX_KEYS


# -- keys that change (F15)


def signing_with(world: World, key: Any) -> None:
    world.provider.sign = lambda claims: sign(claims, key)


async def test_f15_keys_rotated_after_a_login_cost_the_next_one_a_single_fetch() -> None:
    world = World()
    earlier = await world.logged_in()
    world.provider.jwks = [OTHER_KEY.as_dict(private=False)]
    signing_with(world, OTHER_KEY)
    assert SESSION in (await world.logged_in()).cookies
    assert world.provider.seen("/jwks") == 2
    assert SESSION in (await world.logged_in()).cookies
    assert world.provider.seen("/jwks") == 2
    world.clock.advance(400)
    assert await is_served(earlier)  # its refreshed ID token is signed with the new key
    assert world.audit("token.refresh_failed") == []


async def test_f15_a_provider_that_goes_back_to_an_older_key_is_followed() -> None:
    world = World()
    await world.logged_in()
    for key in (OTHER_KEY, KEY):
        world.clock.advance(61)
        world.provider.jwks = [key.as_dict(private=False)]
        signing_with(world, key)
        assert SESSION in (await world.logged_in()).cookies
    assert world.provider.seen("/jwks") == 3


async def test_f15_going_back_to_a_key_that_is_still_published_costs_nothing() -> None:
    world = World()
    world.provider.jwks = [key.as_dict(private=False) for key in (KEY, OTHER_KEY)]
    for key in (KEY, OTHER_KEY, KEY, OTHER_KEY, KEY):
        signing_with(world, key)
        assert SESSION in (await world.logged_in()).cookies
    assert world.provider.seen("/jwks") == 1


async def test_f15_a_flood_of_unknown_kids_costs_two_fetches_a_minute_and_no_good_login() -> None:
    world = World()
    await world.logged_in()
    before = world.provider.seen("/jwks")
    for number in range(200):
        kid = {"kid": f"unknown-{number}"}
        world.provider.sign = lambda claims, kid=kid: sign(claims, OTHER_KEY, kid)
        browser = world.browser()
        page = await browser.navigate("/bff/login")
        assert (page.status, SESSION in browser.cookies) == (502, False)
        if number % 20 == 0:
            world.provider.sign = None
            assert SESSION in (await world.logged_in()).cookies
        world.clock.advance(59 / 200)
    assert world.provider.seen("/jwks") - before <= REFETCHES == 2
    world.clock.advance(61)
    world.provider.jwks = [EC_KEY.as_dict(private=False), OTHER_KEY.as_dict(private=False)]
    signing_with(world, OTHER_KEY)
    assert SESSION in (await world.logged_in()).cookies  # and a real rotation is seen again
