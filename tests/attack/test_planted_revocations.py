"""Whoever can write to the store has nothing sent to a provider, and no token of a live session."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.secret import KeyMaterial, RefreshToken
from gateway.session import revocation_entries
from gateway.session.revocation import LEASE
from gateway.session.revocation_entries import GivenBack
from gateway.session.sealing import KeyRing, RingKey
from tests.support.world import World, settings_of

OTHER_ISSUER = "https://evil.example"


async def look(world: World, *, gateway: Any = None) -> None:
    """Have everything that lies in the queue looked at, more than once."""
    for _ in range(3):
        world.clock.advance(600)
        await (gateway or world.gateway).revocations.run_due()


def given_back(world: World, token: str) -> GivenBack:
    return GivenBack(
        provider="main",
        issuer=world.provider.issuer,
        token=RefreshToken(token),
        since=world.clock.now(),
        subject="ada",
        session="",
    )


async def planted(world: World) -> dict[str, bytes]:
    """What somebody could put there who reads the store and logs in as themselves."""
    browser = await world.logged_in()
    record = world.store.live_sessions()[world.lookup_of(browser)]
    token = next(value for value in world.issued() if value.startswith("rt-"))
    answer = await browser.fetch("/bff/logout", "POST")
    query = parse_qs(urlsplit(answer.json()["redirect_to"]).query)
    thief = KeyRing([RingKey("k-2026", KeyMaterial(b"t" * 32))], world.entropy)
    own = revocation_entries.seal(world.ring, given_back(world, token))
    middle = len(own) // 2
    return {
        "a token in clear": token.encode(),
        "JSON in clear": b'{"provider":"main","token":"%b"}' % token.encode(),
        "the state of a logout": b"%d.%b" % (world.clock.now(), query["state"][0].encode()),
        "a session's record": record.sealed,
        "an entry of another ring": revocation_entries.seal(thief, given_back(world, token)),
        "a changed entry": own[:middle] + bytes([own[middle] ^ 1]) + own[middle + 1 :],
        "an entry cut short": own[:-1],
        "noise": bytes(range(256)),
        "nothing": b"",
        "a great deal": b"1." + b"A" * 1_000_000,
    }


async def test_nothing_that_was_planted_is_ever_sent() -> None:
    world = World()
    entries = await planted(world)
    asked = len(world.provider.requests)
    for entry in entries.values():
        await world.revocations.put(entry, due_in=0.0)
    await look(world)
    assert len(world.provider.requests) == asked


async def test_what_was_planted_does_not_stay_for_ever_and_holds_up_nobody() -> None:
    world = World()
    entries = await planted(world)
    for entry in entries.values():
        await world.revocations.put(entry, due_in=0.0)
    far = int(world.clock.now()) + 10**9
    await world.revocations.put(b"%d.%b" % (far, b"A" * 50), due_in=0.0)  # of the far future
    browser = await world.logged_in()
    world.provider.down = True
    await browser.fetch("/bff/logout", "POST")
    world.provider.down = False
    await look(world)
    tokens = [value for value in world.issued() if value.startswith("rt-")]
    assert world.provider.revoked == tokens, "each once: the one before, and the one after"
    world.clock.advance(86400)
    await look(world)
    assert world.revocations.due == {}


@pytest.mark.parametrize("name", ["main", "second"])
async def test_an_entry_is_never_sent_to_another_issuer_e16(name: str) -> None:
    """The name now stands for somebody else, and the token would be theirs to use."""
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await browser.fetch("/bff/logout", "POST")
    world.provider.down = False
    changed = {
        name: {
            "issuer": OTHER_ISSUER,
            "client_id": "spa",
            "client_secret": {"env": "CLIENT_SECRET"},
        }
    }
    # `Providers` of this world fails the test if a stranger is asked for anything.
    gateway = world.replica(settings_of({"providers": changed}))
    asked = len(world.provider.requests)
    await look(world, gateway=gateway)
    assert len(world.provider.requests) == asked
    assert len(world.revocations.due) == 1


async def test_an_entry_that_is_put_back_kills_no_session_that_lives() -> None:
    """Somebody kept a copy: it names the token of a session that has ended, and no other."""
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await browser.fetch("/bff/logout", "POST")
    world.provider.down = False
    (copy,) = world.revocations.due
    await world.gateway.revocations.run_due()
    again = await world.logged_in()
    world.clock.advance(LEASE)
    await world.gateway.revocations.run_due()
    await world.revocations.put(copy, due_in=0.0)
    await world.gateway.revocations.run_due()
    ended, living = (value for value in world.issued() if value.startswith("rt-"))
    assert set(world.provider.revoked) == {ended}
    assert living in world.provider.refresh_tokens
    assert (await again.fetch("/bff/session")).json()["authenticated"] is True
