"""When a token is offered again, what lies in the queue, and what keeps looking there."""

import asyncio
import json
import math

import pytest

from gateway.secret import KeyMaterial, RefreshToken
from gateway.session.offering import GIVE_UP_AFTER, pause_before_next
from gateway.session.revocation_entries import (
    MOST_OCTETS,
    GivenBack,
    seal,
    unseal,
    written_at,
)
from gateway.session.revocation_pump import RevocationPump
from gateway.session.sealing import CannotOpen, KeyRing, RingKey
from tests.support.clock import SeededEntropy

RING = KeyRing([RingKey("a", KeyMaterial(b"k" * 32))], SeededEntropy())
GIVEN_BACK = GivenBack(
    provider="main",
    issuer="https://id.example",
    token=RefreshToken("rt-1"),
    since=1_700_000_000.5,
    subject="ada",
    session="public-id",
)


# -- when -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (0, 5),
        (-3600, 5),  # a clock that was set back
        (10, 5),
        (20, 10),
        (600, 300),
        (1200, 600),
        (80_000, 600),
        (GIVE_UP_AFTER - 1, 600),
        (GIVE_UP_AFTER, None),
        (math.inf, None),
    ],
)
def test_the_older_a_token_the_longer_the_pause_until_it_is_given_up(
    age: float, pause: float | None
) -> None:
    assert pause_before_next(age, 0.0) == pause


@pytest.mark.parametrize(("age", "after", "pause"), [(0, 120, 120), (600, 120, 300), (0, 1, 5)])
def test_a_provider_may_ask_for_a_longer_pause_and_never_for_a_shorter(
    age: float, after: float, pause: float
) -> None:
    assert pause_before_next(age, after) == pause


def test_a_provider_that_is_down_all_day_is_asked_some_hundred_and_fifty_times() -> None:
    age, attempts = 0.0, 1
    while (pause := pause_before_next(age, 0.0)) is not None:
        age += pause
        attempts += 1
    assert 140 < attempts < 170
    assert age < GIVE_UP_AFTER + 600


# -- what -----------------------------------------------------------------------------------------


def test_what_was_sealed_is_what_is_read() -> None:
    assert unseal(RING, seal(RING, GIVEN_BACK)) == GIVEN_BACK
    assert written_at(seal(RING, GIVEN_BACK)) == 1_700_000_000


def test_two_entries_are_never_the_same_octets() -> None:
    """They are the members of a set: equal ones would be one."""
    assert seal(RING, GIVEN_BACK) != seal(RING, GIVEN_BACK)


def test_the_longest_token_fits() -> None:
    longest = GivenBack("main", "https://id.example", RefreshToken("t" * 16384), 0.0, "s" * 255, "")
    assert len(seal(RING, longest)) < MOST_OCTETS / 2
    assert unseal(RING, seal(RING, longest)) == longest


def test_an_entry_shows_no_token_and_no_name() -> None:
    entry = seal(RING, GIVEN_BACK)
    for text in (b"rt-1", b"ada", b"id.example", b"main", b"public-id"):
        assert text not in entry
    assert "rt-1" not in repr(GIVEN_BACK)
    assert "ada" not in repr(GIVEN_BACK)


def test_the_time_in_front_says_nothing_about_what_is_sealed() -> None:
    _, _, envelope = seal(RING, GIVEN_BACK).partition(b".")
    assert unseal(RING, b"1." + envelope).since == GIVEN_BACK.since


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        (b"", None),
        (b"garbage", None),
        (b"17.", None),
        (b".abc", None),
        (b"-1.abc", None),
        (b"1234567890123.abc", None),
        (b"17.a c", None),
        (b"17.abc\n", None),
        (b"17." + b"a" * MOST_OCTETS, None),
        (b"17.abc", 17),
    ],
)
def test_what_we_did_not_seal_does_not_open(entry: bytes, written: float | None) -> None:
    with pytest.raises(CannotOpen):
        unseal(RING, entry)
    assert written_at(entry) == written


@pytest.mark.parametrize("purpose", ["logout", "state", "resume"])
def test_an_envelope_of_another_purpose_does_not_open(purpose: str) -> None:
    """B14: browsers are handed such envelopes."""
    plain = json.dumps({"provider": "main", "token": "x"}).encode()
    with pytest.raises(CannotOpen):
        unseal(RING, b"17." + RING.seal_envelope(purpose, plain).encode())


@pytest.mark.parametrize("plain", [b"{}", b"[]", b"1", b'{"provider":"main"}', b"not json"])
def test_an_entry_of_another_release_does_not_open(plain: bytes) -> None:
    with pytest.raises(CannotOpen):
        unseal(RING, b"17." + RING.seal_envelope("revocation", plain).encode())


# -- the pump -------------------------------------------------------------------------------------


async def test_the_pump_looks_again_and_again_whatever_happened_and_stops_when_closed() -> None:
    looks = 0
    enough = asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise KeyError(looks)
        if looks == 5:
            enough.set()

    pump = RevocationPump(look, SeededEntropy(), every=0.001)
    pump.start()
    pump.start()
    async with asyncio.timeout(5):
        await enough.wait()
    await pump.aclose()
    await pump.aclose()
    seen = looks
    await asyncio.sleep(0.02)
    assert looks == seen


async def test_a_pump_that_never_began_can_be_closed() -> None:
    async def look() -> None:
        raise AssertionError

    await RevocationPump(look, SeededEntropy()).aclose()


def test_a_pump_needs_an_event_loop() -> None:
    async def look() -> None:
        raise AssertionError

    with pytest.raises(RuntimeError):
        RevocationPump(look, SeededEntropy()).start()
