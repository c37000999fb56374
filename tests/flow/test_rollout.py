"""Rolling out a release or a key: replicas that differ lose nobody a session (F33, D16)."""

from gateway.ports import StoredRecord
from tests.support.key_rings import NEW, with_keys
from tests.support.world import SESSION, World


async def test_a_new_key_in_front_keeps_every_session_and_seals_the_new_ones() -> None:
    world = World()
    browser = await world.logged_in()
    (old,) = world.settings.keys
    rotated = world.replica(with_keys(world.settings, NEW, old))
    browser.origins = {**browser.origins, world.home: rotated.public}
    assert (await browser.fetch("/api/x")).status == 200
    world.clock.advance(400)
    assert (await browser.fetch("/api/x")).status == 200  # refreshed and sealed under the new key
    removed = world.replica(with_keys(world.settings, NEW))
    fresh = world.browser(rotated)
    await fresh.navigate("/bff/login")
    fresh.origins = {**fresh.origins, world.home: removed.public}
    assert (await fresh.fetch("/api/x")).status == 200


async def test_a_replica_without_the_key_asks_for_a_login_and_leaves_the_cookie() -> None:
    world = World()
    browser = await world.logged_in()
    stranger = world.replica(with_keys(world.settings, NEW))
    origins = browser.origins
    browser.origins = {**origins, world.home: stranger.public}
    answer = await browser.fetch("/api/x")
    assert answer.status == 401
    assert answer.all("set-cookie") == []
    browser.origins = origins
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_record_of_a_newer_release_asks_for_a_login_and_leaves_the_cookie() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    record = world.store.live_sessions()[lookup]
    world.store.plant(lookup, StoredRecord(record.generation, b"\x02" + record.sealed[1:]))
    assert (await browser.fetch("/api/x")).status == 401
    assert SESSION in browser.cookies
    world.store.plant(lookup, record)  # rolled back
    assert (await browser.fetch("/api/x")).status == 200


async def test_the_users_sessions_are_found_under_an_older_key_too() -> None:
    world = World()
    await world.logged_in()
    (old,) = world.settings.keys
    rotated = world.replica(with_keys(world.settings, NEW, old))
    browser = world.browser(rotated)
    await browser.navigate("/bff/login")
    assert len((await browser.fetch("/bff/sessions")).json()["sessions"]) == 2
