"""Whoever uses up a provider's limit keeps logged-out people logged in (J17).

Tokens that fail may come from the address of the genuine provider: other customers of it have it
send theirs here, it repeats itself, or no proxy says who is who. Each test asserts that the
genuine logout is carried out all the same, and that what strangers can spend stays bounded.
"""

import itertools
import tracemalloc
from collections.abc import Callable
from urllib.parse import quote

import pytest

from gateway.web.failure_limit import ADMITTED, FAILURES, MOST_ADDRESSES, WINDOW, FailureLimit
from gateway.web.provider_logout import FRAMES
from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.logout_tokens import (
    CountingJose,
    deliver,
    frame,
    framed,
    logout_claims,
    logout_token,
    post,
)
from tests.support.provider import OTHER_KEY, Claims, sign
from tests.support.world import ISSUER, World

MANY = FAILURES * 3
HEADER = {"kid": "k1", "typ": "logout+jwt"}


async def is_logged_out(world: World, browser: Browser) -> bool:
    return (await browser.fetch("/api/x")).status == 401 and not world.store.live_sessions()


def forged(world: World) -> str:
    """Right in everything but the signature, and another one each time."""
    return sign(logout_claims(world.provider), OTHER_KEY, HEADER)


TENANTS: dict[str, Claims] = {
    "another client": {"aud": "another-client"},
    "another client beside ours": {"aud": ["spa", "another-client"]},
    "another realm": {"iss": f"{ISSUER}/realms/another"},
}


@pytest.mark.parametrize("tenant", TENANTS)
async def test_another_customer_of_the_same_provider_does_not_silence_it(tenant: str) -> None:
    world = World(jose=(jose := CountingJose()))
    browser = await world.logged_in()
    before = jose.checks
    for _ in range(MANY):
        answer = await deliver(world, logout_token(world.provider, **TENANTS[tenant]))
        assert (answer.status, answer.json()["code"]) == (400, "logout_token.claims")
    assert jose.checks == before
    assert (await deliver(world, logout_token(world.provider))).status == 200
    assert await is_logged_out(world, browser)


async def test_a_provider_that_repeats_itself_is_heard_on_j11() -> None:
    world = World()
    browser = await world.logged_in()
    done = [logout_token(world.provider, sid=f"gone-{number}") for number in range(MANY)]
    for token in done:
        assert (await deliver(world, token)).status == 200
    for token in done:  # delivered at least once
        assert (await deliver(world, token)).json()["code"] == "logout_token.replayed"
    assert (await deliver(world, logout_token(world.provider))).status == 200
    assert await is_logged_out(world, browser)


async def test_ones_own_id_token_has_no_signature_checked_however_often_g17() -> None:
    """Signed by the provider, for us, and to be had by everybody who may log in."""
    world = World(jose=(jose := CountingJose()))
    await world.logged_in()
    (id_token,) = [value for value in world.provider.issued if value.count(".") == 2]
    before = jose.checks
    for _ in range(MANY):
        assert (await deliver(world, id_token)).status == 400
    assert jose.checks == before


JUNK: dict[str, Callable[[World], bytes]] = {
    "no token": lambda _: b"x=y",
    "no form of a token": lambda _: b"logout_token=x",
    "forged": lambda world: b"logout_token=" + forged(world).encode(),
}


@pytest.mark.parametrize("kind", JUNK)
async def test_junk_from_the_providers_own_address_does_not_silence_it(kind: str) -> None:
    """Everybody behind a proxy that does not say who is who, for one."""
    world = World()
    browser = await world.logged_in()
    junk = [await post(world, JUNK[kind](world)) for _ in range(MANY)]
    assert junk[-1].json()["code"] == "logout_token.too_many"
    assert (await deliver(world, logout_token(world.provider))).status == 200
    assert await is_logged_out(world, browser)


async def test_what_passes_over_the_limit_has_a_bound_for_all_addresses_together() -> None:
    world = World(jose=(jose := CountingJose()))
    browser = await world.logged_in()
    peers = ["192.0.2.10", "192.0.2.11", "192.0.2.12"]
    for peer in peers:
        for _ in range(FAILURES + 1):
            assert (await deliver(world, forged(world), peer=peer)).status == 400
    before = jose.checks
    for peer, _ in itertools.product(peers, range(ADMITTED)):
        assert (await deliver(world, forged(world), peer=peer)).status == 429
    assert jose.checks == before + ADMITTED
    late = await deliver(world, logout_token(world.provider))
    assert (late.status, late.one("retry-after")) == (429, "1")
    world.clock.advance(1)
    assert (await deliver(world, logout_token(world.provider))).status == 200
    assert await is_logged_out(world, browser)


@pytest.mark.parametrize(
    "query", [f"iss={quote(ISSUER)}&sid=x", "iss=x&sid=sid-1", ""], ids=["sid", "iss", "nothing"]
)
async def test_a_hostile_page_full_of_frames_does_not_silence_the_right_one(query: str) -> None:
    """In the victim's own browser: its address is the one the right frame comes from."""
    world = framed()
    browser = await world.logged_in()
    for _ in range(FRAMES + 10):
        assert (await frame(world, query)).status == 200
    assert (await frame(world, f"iss={quote(ISSUER)}&sid=sid-1")).status == 200
    assert await is_logged_out(world, browser)


async def test_frames_that_name_no_session_of_this_provider_ask_the_store_nothing() -> None:
    world = framed()
    reads = world.store.reads
    for _ in range(MANY):
        await frame(world, "iss=https%3A%2F%2Fevil.example&sid=sid-1")
    assert world.store.reads == reads


# -- the table


def test_addresses_whose_failures_are_long_past_are_forgotten() -> None:
    clock = TurnableClock()
    limit = FailureLimit(clock)
    for number in range(1000):
        limit.failed(f"10.0.{number >> 8}.{number & 255}")
        clock.advance(0.001)
    clock.advance(WINDOW)
    limit.failed("10.1.0.1")
    assert len(limit) == 1


def test_an_address_takes_no_more_room_however_often_it_fails() -> None:
    limit = FailureLimit(TurnableClock(), most=FRAMES)
    tracemalloc.start()
    try:
        for number in range(_SOME):
            for _ in range(FRAMES + 1):
                limit.failed(f"2001:db8:0:{number:x}::1")
        octets, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert octets / _SOME * MOST_ADDRESSES < _ROOM


_SOME = 50  # addresses
_ROOM = 10_000_000  # octets for the whole table; a time for each failure would take 170 million
