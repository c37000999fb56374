"""Rolling out a release or a key: replicas that differ lose nobody a session (F33, D16)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.redis_scripts import unpack
from gateway.errors import Code, Unavailable
from gateway.ports import LookupId, StoredRecord
from tests.support.browser import Cookie
from tests.support.clock import TurnableClock
from tests.support.key_rings import NEW, with_keys
from tests.support.session_vectors import NEWER, NOW, OLDER
from tests.support.token_families import Attempt
from tests.support.world import BASE, SESSION, World, settings_of

OLD_RELEASE = Path(__file__).parents[1] / "vectors" / "sessions.json"


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


@pytest.mark.parametrize("how", ["of a newer release", "under a key of others", "damaged"])
async def test_a_logout_ends_a_session_that_does_not_open_here_f33(how: str) -> None:
    """Whoever can open it would go on serving a copy of the cookie."""
    world = World()
    browser = await world.logged_in()
    copied = dict(browser.cookies)
    lookup = world.lookup_of(browser)
    record = world.store.live_sessions()[lookup]
    if how == "under a key of others":  # the cookie keeps the signature of the day it logged in
        (old,) = world.settings.keys
        other = world.replica(with_keys(world.settings, NEW, old))
        elsewhere = world.browser(other)
        elsewhere.cookies = browser.cookies
        world.clock.advance(61)
        assert (await elsewhere.fetch("/api/x")).status == 200  # written anew, under the new key
    else:
        sealed = b"\x02" + record.sealed[1:] if how == "of a newer release" else record.sealed[:-1]
        world.store.plant(lookup, StoredRecord(record.generation, sealed))
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False
    assert (await browser.fetch("/bff/logout", "POST")).status == 200
    assert SESSION not in browser.cookies
    assert world.store.live_sessions() == {}
    assert [line["by"] for line in world.audit("session.ended")] == ["user"]
    browser.cookies = copied
    assert (await browser.fetch("/api/x")).status == 401


async def test_a_logout_that_cannot_end_what_it_cannot_open_is_no_logout_f33() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    record = world.store.live_sessions()[lookup]
    world.store.plant(lookup, StoredRecord(record.generation, b"\x02" + record.sealed[1:]))
    plain = world.store.end

    async def refuses(*_: Any, **__: Any) -> bool:
        raise Unavailable(Code.STORE_UNAVAILABLE)

    world.store.end = refuses
    assert (await browser.fetch("/bff/logout", "POST")).status == 503
    assert SESSION in browser.cookies
    world.store.end = plain
    world.store.plant(lookup, record)
    assert (await browser.fetch("/api/x")).status == 200


@pytest.mark.parametrize("path", ["/api/x", "/live/bare/x", "/maybe/x"])
@pytest.mark.parametrize("how", ["renamed", "of another issuer"])
async def test_a_session_of_a_provider_that_is_not_configured_here_is_not_served_e16(
    how: str, path: str
) -> None:
    """Its logout tokens reach nobody here. Others may know the provider: nothing is deleted."""
    world = World()
    browser = await world.logged_in()
    main = BASE["providers"]["main"]
    if how == "renamed":
        other = world.replica(settings_of({"providers": {"new": main}}))
    else:
        moved = {"main": {**main, "issuer": "https://moved.example"}}
        other = world.replica(settings_of({"providers": moved}))
    there = world.browser(other)
    there.cookies = browser.cookies
    answer = await there.fetch(path)
    assert answer.status == (200 if path == "/maybe/x" else 401)
    assert len(world.api.received) == (path == "/maybe/x")
    assert not world.api.received or world.api.sent(b"authorization") == []
    assert (await there.fetch("/bff/session")).json()["authenticated"] is False
    assert world.audit("session.unreadable")[0]["note"] == "its provider is not configured here"
    assert len(world.store.live_sessions()) == 1
    assert SESSION in there.cookies
    assert (await browser.fetch("/api/x")).status == 200  # a replica that knows it serves it


async def test_a_page_of_a_session_whose_provider_is_gone_leads_to_one_login() -> None:
    world = World()
    browser = await world.logged_in()
    world.clock.advance(400)
    main = BASE["providers"]["main"]
    there = world.browser(world.replica(settings_of({"providers": {"new": main}})))
    there.cookies = browser.cookies
    assert (await there.navigate("/api/report")).status == 200
    assert len(world.provider.authorizations) == 2
    assert (await there.fetch("/bff/session")).json()["provider"] == "new"
    assert len(world.store.live_sessions()) == 1  # the former one has ended


async def test_a_page_that_meets_a_worker_without_the_new_provider_does_not_loop() -> None:
    world = World()
    old = world.replica(settings_of({"providers": {"old": BASE["providers"]["main"]}}))
    browser = await world.logged_in()
    there = world.browser(old)
    there.cookies = browser.cookies
    assert (await there.navigate("/api/report")).status == 401
    assert len(world.provider.authorizations) == 1
    assert (await browser.navigate("/api/report")).status == 200


async def test_the_users_sessions_are_found_under_an_older_key_too() -> None:
    world = World()
    await world.logged_in()
    (old,) = world.settings.keys
    rotated = world.replica(with_keys(world.settings, NEW, old))
    browser = world.browser(rotated)
    await browser.navigate("/bff/login")
    assert len((await browser.fetch("/bff/sessions")).json()["sessions"]) == 2


@pytest.mark.parametrize("name", ["everything there is", "under the newer key"])
async def test_a_session_of_an_older_release_is_used_slid_and_refreshed(name: str) -> None:
    (written,) = [
        one for one in json.loads(OLD_RELEASE.read_text())["sessions"] if one["name"] == name
    ]
    settings = replace(settings_of(), keys=(NEWER, OLDER))
    world = World(settings, TurnableClock(NOW + 130))
    lookup = LookupId(written["lookup"])
    record = unpack(bytes.fromhex(written["value"]))
    assert record is not None
    world.store.plant(lookup, record, kept_for=1700)
    facts = written["facts"]
    asked = {"scope": "openid profile orders.read"}
    if facts["nonce"]:
        asked["nonce"] = facts["nonce"]
    spent = written["tokens"]["refresh_token"]
    world.provider.refresh_tokens[spent] = Attempt(asked, facts["subject"])
    browser = world.browser()
    browser.cookies[SESSION] = Cookie(written["cookie"], "strict", "app.example")

    assert (await browser.fetch("/api/x")).status == 200
    assert world.api.sent(b"authorization") == [b"Bearer at-of-the-older-release"]
    (slid,) = world.store.live_sessions().values()
    assert slid.generation == record.generation + 1
    world.clock.advance(300)
    assert (await browser.fetch("/api/x")).status == 200
    assert world.api.sent(b"authorization") != [b"Bearer at-of-the-older-release"]
    assert spent not in world.provider.refresh_tokens
    (renewed,) = world.store.live_sessions().values()
    assert renewed.generation > slid.generation
    assert (await browser.fetch("/bff/session")).json()["user"]["sub"] == facts["subject"]
    assert world.audit("session.unreadable") == []
