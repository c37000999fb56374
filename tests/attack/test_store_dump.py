"""A dump of the store holds no token, handle, name or address in clear (D10, ASVS 14.2.4).

Nor does what waits there to be revoked.
"""

import pytest

from gateway.secret import KeyMaterial
from gateway.session import codec, revocation_entries
from gateway.session.sealing import CannotOpen, KeyRing, RingKey
from tests.support.world import LOGIN, SESSION, World


def dump(world: World) -> bytes:
    return repr((vars(world.store), vars(world.revocations))).encode()


async def test_nothing_readable_is_in_the_store_after_a_login() -> None:
    world = World()
    browser = await world.logged_in()
    cookie = browser.cookies[SESSION].value
    octets = dump(world)
    assert b"StoredRecord" in octets
    handle = world.ring.read_handle(cookie)
    assert handle is not None
    readable = [
        cookie,
        cookie.partition(".")[0],
        browser.cookies[LOGIN].value,
        handle.reveal().hex(),
        "Ada Lovelace",
        "ada@example.org",
        "203.0.113.7",
        "id.example",
        "sid-1",
        *world.issued(),
    ]
    for text in readable:
        assert text.encode() not in octets, text
    assert repr(handle.reveal())[2:-1].encode() not in octets


async def test_nothing_readable_waits_to_be_revoked() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await browser.fetch("/bff/logout", "POST")
    assert len(world.revocations.due) == 1
    octets = dump(world)
    for text in ("Ada Lovelace", "ada", "id.example", "sid-1", *world.issued()):
        assert text.encode() not in octets, text


async def test_what_waits_to_be_revoked_opens_with_the_servers_keys_only() -> None:
    """ADR 0024 says why without the cookie: there is none any more."""
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await browser.fetch("/bff/logout", "POST")
    (entry,) = world.revocations.due
    thief = KeyRing([RingKey("k-2026", KeyMaterial(b"t" * 32))], world.entropy)
    with pytest.raises(CannotOpen):
        revocation_entries.unseal(thief, entry)
    given_back = revocation_entries.unseal(world.ring, entry)
    # The refresh token, and no other secret of the session.
    assert given_back.token.reveal() in world.provider.refresh_tokens
    others = [value for value in world.issued() if value != given_back.token.reveal()]
    _, plain = world.ring.open_envelope("revocation", entry.partition(b".")[2].decode())
    assert all(value.encode() not in plain for value in others)


async def test_a_dump_and_the_servers_keys_open_no_token_without_the_cookie() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    record = world.store.live_sessions()[lookup]
    # Somebody with the ring and the record, guessing the one thing they lack.
    facts = codec.open_facts(world.ring, lookup, record)
    assert facts.subject == "ada"
    for _ in range(10):
        try:
            codec.open_session(world.ring, world.ring.new_handle(), lookup, record)
        except CannotOpen:
            continue
        raise AssertionError("a stranger's handle opened the tokens")
    assert all(value not in repr(facts) for value in world.issued())


async def test_a_stolen_cookie_and_a_dump_open_nothing_without_the_servers_keys() -> None:
    world = World()
    browser = await world.logged_in()
    handle = world.ring.read_handle(browser.cookies[SESSION].value)
    assert handle is not None
    lookup = world.lookup_of(browser)
    record = world.store.live_sessions()[lookup]
    thief = KeyRing([RingKey("k-2026", KeyMaterial(b"t" * 32))], world.entropy)
    with pytest.raises(CannotOpen):
        codec.open_session(thief, handle, lookup, record)
