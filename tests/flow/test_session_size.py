"""A session has a greatest size, and what a provider sends can be too much for it (F37).

Tokens, scopes and user claims have limits of their own, so it takes a provider that fills all of
them, and with letters that take six octets each.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws

from tests.support.provider import KEY
from tests.support.world import World

LONG = {"access_token": "a" * 16_384, "refresh_token": "r" * 16_384}


def world_of_a_generous_provider(**claims: str) -> World:
    world = World()
    provider: Any = world.provider
    long: Callable[[Any], Any] = lambda answer: {**answer, **LONG}  # noqa: E731  a switch of the fake
    provider.change_token_answer = long
    provider.sign = lambda issued: signed({**issued, **claims})
    return world


def signed(claims: dict[str, Any]) -> str:
    """As `sign` does, but with letters as they are; a session needs thrice as much for them."""
    payload = json.dumps(claims, ensure_ascii=False).encode()
    return jws.serialize_compact(
        {"alg": "RS256", "kid": KEY.kid}, payload, KEY, algorithms=["RS256"]
    )


async def test_long_tokens_and_claims_fit_into_a_session_f37() -> None:
    world = world_of_a_generous_provider(acr="x" * 10_000)
    browser = await world.logged_in()
    assert (await browser.fetch("/api/x")).status == 200
    record = world.store._data.live(world.lookup_of(browser))
    assert record is not None
    assert len(record.sealed) > 60_000


async def test_a_login_that_brings_too_much_is_refused_and_audited_f37() -> None:
    world = world_of_a_generous_provider(acr="é" * 5_800)
    browser = world.browser()
    landed = await browser.navigate("/bff/login")
    assert landed.status == 502
    assert "session.too_large" in landed.text
    (line,) = world.audit("login.failed")
    assert (line["code"], line["outcome"]) == ("session.too_large", "refused")
    assert "aaa" not in world.audit_text.getvalue()
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False
    assert world.audit("login.succeeded") == []


@pytest.mark.parametrize("seconds", [250, 400], ids=["ahead of time", "when it is needed"])
async def test_a_refresh_that_brings_too_much_ends_the_session_and_is_audited_f37_h10(
    seconds: int,
) -> None:
    world = World()
    provider: Any = world.provider
    provider.sign = lambda issued: signed({**issued, "acr": "é" * 5_800})  # still room for tokens
    browser = await world.logged_in()
    generous: Callable[[Any], Any] = lambda answer: {**answer, **LONG}  # noqa: E731  as above
    provider.change_token_answer = generous
    world.clock.advance(seconds)
    if seconds == 250:
        assert (await browser.fetch("/api/x")).status == 200  # nobody waits
        await asyncio.sleep(0.05)
        world.clock.advance(150)
    world.api.received.clear()
    answer = await browser.fetch("/api/x")
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    assert world.api.received == []
    assert provider.seen("/token") == 2  # the login's and the one that brought too much
    assert provider.revoked == [LONG["refresh_token"]]
    assert world.store.live_sessions() == {}
    (line,) = world.audit("token.refresh_failed")
    assert (line["code"], line["outcome"]) == ("session.too_large", "refused")
    (ended,) = world.audit("session.ended")
    assert ended["by"] == "provider"
    assert world.audit("token.refreshed") == []
    assert "rrr" not in world.audit_text.getvalue()
    assert (await browser.fetch("/api/x")).status == 401
    assert provider.seen("/token") == 2
