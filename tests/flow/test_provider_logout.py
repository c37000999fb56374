"""A provider ends sessions: by sid, by sub, on every replica, and before they exist (J4 to J19)."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from gateway.errors import Code, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer
from gateway.ports import IndexName, LookupId, StoredRecord
from tests.support.asgi import Answer
from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.full_store import FullStore
from tests.support.logout_tokens import FRAMED, deliver, frame, logout_token, post
from tests.support.memory_store import MemoryStore
from tests.support.world import BASE, ISSUER, SESSION, World, settings_of


async def is_in(browser: Browser) -> bool:
    return bool((await browser.fetch("/bff/session")).json()["authenticated"])


async def person(world: World, subject: str, sid: str | None) -> Browser:
    world.provider.subject, world.provider.sid = subject, sid
    return await world.logged_in()


async def crowd(world: World) -> dict[str, Browser]:
    """Ada in three browsers, two of them in one session of the provider, and somebody else."""
    return {
        "one": await person(world, "ada", "sid-1"),
        "same": await person(world, "ada", "sid-1"),
        "two": await person(world, "ada", "sid-2"),
        "bob": await person(world, "bob", "sid-3"),
    }


async def left(people: dict[str, Browser]) -> set[str]:
    return {name for name, browser in people.items() if await is_in(browser)}


# -- whose sessions end


@pytest.mark.parametrize(
    ("claims", "survivors"),
    [
        ({"sid": "sid-1", "sub": ...}, {"two", "bob"}),
        ({"sid": ..., "sub": "ada"}, {"bob"}),
        ({"sid": "sid-1", "sub": "ada"}, {"two", "bob"}),
        ({"sid": "sid-2", "sub": "ada"}, {"one", "same", "bob"}),
        ({"sid": "sid-1", "sub": "bob"}, {"one", "same", "two", "bob"}),
        ({"sid": "sid-9", "sub": ...}, {"one", "same", "two", "bob"}),
        ({"sid": "sid-9", "sub": "ada"}, {"one", "same", "two", "bob"}),
        ({"sid": ..., "sub": "eve"}, {"one", "same", "two", "bob"}),
    ],
    ids=["sid", "sub", "both", "the other", "not theirs", "unknown sid", "ended", "unknown sub"],
)
async def test_a_logout_token_ends_what_it_names_and_nothing_else_j12(
    claims: dict[str, Any], survivors: set[str]
) -> None:
    world = World()
    people = await crowd(world)
    answer = await deliver(world, logout_token(world.provider, **claims))
    assert (answer.status, answer.body) == (200, b"")  # unknown ones are logged out already (J15)
    assert answer.one("cache-control") == "no-store"
    assert answer.all("set-cookie") == []
    assert await left(people) == survivors
    ended = world.audit("session.ended")
    assert len(ended) == len(people) - len(survivors)
    assert {line["by"] for line in ended} <= {"backchannel_logout"}
    assert all(line["provider"] == "main" for line in ended)


async def test_whoever_comes_with_the_cookie_afterwards_is_told_that_the_session_ended() -> None:
    world = World()
    browser = await world.logged_in()
    await deliver(world, logout_token(world.provider))
    answer = await browser.fetch("/api/x")
    assert answer.status == 401
    assert answer.json()["code"] == "session.ended"
    assert SESSION not in browser.cookies


@pytest.mark.parametrize("typ", ["logout+jwt", "JWT", None])
async def test_a_typ_that_is_not_said_passes_unless_it_has_to_be_j10(typ: str | None) -> None:
    strict = {"main": {**BASE["providers"]["main"], "require_logout_typ": True}}
    for changes, survives in ((None, False), ({"providers": strict}, typ != "logout+jwt")):
        world = World(settings_of(changes))
        browser = await world.logged_in()
        answer = await deliver(world, logout_token(world.provider, typ=typ))
        assert answer.status == (400 if survives else 200)
        assert await is_in(browser) is survives


async def test_other_members_of_the_form_are_ignored_j4() -> None:
    world = World()
    browser = await world.logged_in()
    body = f"a=1&a=2&logout_token={logout_token(world.provider)}&%ff=x&"
    form = b"Application/X-WWW-Form-URLencoded; charset=utf-8"
    assert (await post(world, body.encode(), content_type=form)).status == 200
    assert not await is_in(browser)


async def test_a_session_of_an_issuer_that_the_name_no_longer_stands_for_is_left_alone() -> None:
    """And one of a provider that is configured no more: nobody may speak for it."""
    world = World()
    browser = await world.logged_in()
    moved = {"main": {**BASE["providers"]["main"], "client_id": "spa"}}
    gateway = world.replica(settings_of({"providers": {"renamed": moved["main"]}}))
    token = logout_token(world.provider)
    assert (await deliver(world, token, gateway=gateway)).status == 404
    assert (await deliver(world, token, gateway=gateway, name="renamed")).status == 200
    assert await is_in(browser)


async def test_a_session_sealed_under_an_older_key_is_found_as_well_d16() -> None:
    world = World()
    browser = await world.logged_in()
    newer = [{"id": "k-2027", "secret": {"env": "NEW_KEY"}}, *BASE["keys"]]
    new_key = "V7Xl2V0pQ9sM4bWc8ZrEYhKj3NnUaGdF1oLiCxSvBqk"
    gateway = world.replica(settings_of({"keys": newer}, NEW_KEY=new_key))
    assert (await deliver(world, logout_token(world.provider), gateway=gateway)).status == 200
    assert not await is_in(browser)


TWO_NAMES = {
    "main": {**BASE["providers"]["main"], "frontchannel_logout": True},
    "stepup": {**BASE["providers"]["main"], "scopes": ["openid", "admin"]},
}


@pytest.mark.parametrize("channel", ["back", "front"])
async def test_a_client_that_is_configured_under_two_names_is_one_to_its_provider(
    channel: str,
) -> None:
    world = World(settings_of({"providers": TWO_NAMES}))
    one, two = await world.logged_in("main"), await world.logged_in("stepup")
    if channel == "back":
        token = logout_token(world.provider)
        assert (await deliver(world, token)).status == 200
        again = await deliver(world, token, name="stepup")
        assert again.json()["code"] == "logout_token.replayed"
    else:
        assert (await frame(world, f"iss={quote(ISSUER)}&sid=sid-1")).status == 200
    assert world.store.live_sessions() == {}
    assert not await is_in(one)
    assert not await is_in(two)
    assert {line["provider"] for line in world.audit("session.ended")} == {"main", "stepup"}


# -- everywhere at once


async def test_every_replica_may_be_told_and_every_replica_knows_j16() -> None:
    world = World(replicas=3)
    browser = await world.logged_in()
    copies = []
    for gateway in world.gateways:  # each has the session in memory
        copy = world.browser(gateway)
        copy.cookies = dict(browser.cookies)
        assert (await copy.fetch("/api/x")).status == 200
        copies.append(copy)
    answer = await deliver(world, logout_token(world.provider), gateway=world.gateways[2])
    assert answer.status == 200
    for copy in copies:
        assert (await copy.fetch("/api/x")).status == 401


async def test_a_lost_link_bounds_how_long_a_replica_may_not_know_j16() -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    assert (await browser.fetch("/api/x")).status == 200
    world.stores[0].cut()
    await deliver(world, logout_token(world.provider), gateway=world.gateways[1])
    world.clock.advance(1)
    assert (await browser.fetch("/api/x")).status == 401


# -- repeats and faults


async def test_a_token_is_good_once_on_all_replicas_together_j11() -> None:
    world = World(replicas=2)
    token = logout_token(world.provider)
    answers = [await deliver(world, token, gateway=gateway) for gateway in world.gateways]
    assert [answer.status for answer in answers] == [200, 400]
    assert answers[1].json()["code"] == "logout_token.replayed"


async def test_two_providers_may_use_the_same_jti() -> None:
    """What one of them sends must not make the other one's token a replay."""
    other = {**BASE["providers"]["main"], "issuer": "https://other.example"}
    world = World(settings_of({"providers": {**BASE["providers"], "other": other}}))
    for name, provider in zip(("main", "other"), world.providers.values(), strict=True):
        token = logout_token(provider, jti="1")
        assert (await deliver(world, token, name=name)).status == 200


class Interrupted(MemoryStore):
    """A store that does something first, before its operation of this number."""

    at = -1
    count = 0
    first: Callable[[], Awaitable[object]] | None = None

    def interrupt(self, at: int, first: Callable[[], Awaitable[object]]) -> None:
        self.at, self.count, self.first = at, 0, first

    async def _operation(self) -> None:
        self.count += 1
        if self.count - 1 == self.at and self.first is not None:
            first, self.first = self.first, None
            await first()

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        await self._operation()
        return await super().read_many(lookups)

    async def create(self, *args: Any, **kwargs: Any) -> bool:
        await self._operation()
        return await super().create(*args, **kwargs)

    async def end(
        self, lookup: LookupId, indexes: Sequence[IndexName], *, keep: float = 0.0
    ) -> bool:
        await self._operation()
        return await super().end(lookup, indexes, keep=keep)

    async def members(self, index: IndexName) -> list[LookupId]:
        await self._operation()
        return await super().members(index)

    async def claim(self, name: str, *, ttl: float) -> bool:
        await self._operation()
        return await super().claim(name, ttl=ttl)

    async def claimed(self, name: str) -> bool:
        await self._operation()
        return await super().claimed(name)

    async def mark(self, names: Sequence[IndexName], value: float, *, ttl: float) -> None:
        await self._operation()
        await super().mark(names, value, ttl=ttl)

    async def marks(self, names: Sequence[IndexName]) -> list[float | None]:
        await self._operation()
        return await super().marks(names)


def interrupted() -> tuple[World, Interrupted]:
    clock = TurnableClock()
    store = Interrupted(clock)
    return World(clock=clock, store=store), store


async def test_wherever_the_store_fails_the_token_may_come_again_and_works() -> None:
    faults = 0
    for at in range(30):
        world, store = interrupted()
        await crowd(world)
        token = logout_token(world.provider, sub="ada", sid=...)

        async def fail() -> None:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="switched off by the test")

        store.interrupt(at, fail)
        answer = await deliver(world, token)
        if answer.status == 200:
            break
        faults += 1
        assert answer.status == 503
        assert answer.json()["code"] == "store.unavailable"
        assert answer.one("retry-after") == "1"
        assert (await deliver(world, token)).status == 200
        assert len(store.live_sessions()) == 1
        assert len(world.audit("session.ended")) == 3
    assert faults >= 6


async def test_a_full_store_takes_no_mark_and_yet_the_sessions_end() -> None:
    clock = TurnableClock()
    world = World(clock=clock, store=(store := FullStore(clock)))
    browser = await world.logged_in()
    store.full = True
    token = logout_token(world.provider)
    for _ in range(2):  # nothing of it is remembered: a login under way may have been missed
        answer = await deliver(world, token)
        assert (answer.status, answer.json()["code"]) == (503, "store.unavailable")
        assert store.live_sessions() == {}
    assert not await is_in(browser)
    assert len(world.audit("session.ended")) == 1
    store.full = False
    assert (await deliver(world, token)).status == 200
    assert (await deliver(world, token)).json()["code"] == "logout_token.replayed"


async def test_a_provider_that_cannot_be_asked_for_its_keys_is_503_and_the_token_stays_good() -> (
    None
):
    world = World()
    browser = await world.logged_in()
    fresh = world.replica()
    world.provider.down = True
    token = logout_token(world.provider)
    answer = await deliver(world, token, gateway=fresh)
    assert (answer.status, answer.json()["code"]) == (503, "provider.unavailable")
    assert await is_in(browser)
    world.provider.down = False
    world.clock.advance(6)
    assert (await deliver(world, token, gateway=fresh)).status == 200
    assert not await is_in(browser)


async def test_keys_that_are_none_are_the_providers_fault_not_the_tokens() -> None:
    world = World()
    world.provider.metadata = {"jwks_uri": None}
    answer = await deliver(world, logout_token(world.provider))
    assert (answer.status, answer.json()["code"]) == (503, "provider.unavailable")


# -- what is left of a session that ended without its cookie (J14)


def refresh_tokens(world: World) -> list[str]:
    return [value for value in world.provider.issued if value.startswith("rt-")]


async def settled(world: World) -> None:
    for gateway in world.gateways:
        await gateway.revocations.aclose()


@pytest.mark.parametrize("path", ["/api/x", "/bff/session", "/maybe/x"])
async def test_the_refresh_token_is_revoked_when_the_browser_comes_back_j14(path: str) -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    cookies = dict(browser.cookies)
    await deliver(world, logout_token(world.provider), gateway=world.gateways[1])
    await settled(world)
    assert world.provider.revoked == []  # nobody can open it yet
    for _ in range(3):
        browser.cookies = dict(cookies)
        await browser.fetch(path)
        if path == "/maybe/x":  # served without a session; the cookie is looked at later
            await browser.fetch("/bff/session")
        await settled(world)
    assert world.provider.revoked == refresh_tokens(world)
    assert len(world.audit("token.revoked")) == 1


async def test_offline_access_outlives_the_providers_session_j14() -> None:
    scopes = ["openid", "offline_access"]
    offline = {"main": {**BASE["providers"]["main"], "scopes": scopes}}
    world = World(settings_of({"providers": offline}))
    browser = await world.logged_in()
    await deliver(world, logout_token(world.provider))
    assert (await browser.fetch("/api/x")).status == 401
    await settled(world)
    assert world.provider.revoked == []


async def test_what_nobody_comes_for_is_gone_after_the_sessions_last_deadline_j14() -> None:
    world = World(settings_of({"session": {"absolute_timeout": "2h", "idle_timeout": "1h"}}))
    browser = await world.logged_in()
    await deliver(world, logout_token(world.provider))
    world.clock.advance(2 * 3600)
    await browser.fetch("/api/x")
    await settled(world)
    assert world.provider.revoked == []


async def test_what_is_left_is_no_session_and_a_fault_at_it_changes_no_answer_j14() -> None:
    world = World()
    browser = await world.logged_in()
    cookies = dict(browser.cookies)
    await deliver(world, logout_token(world.provider))
    assert world.store.live_sessions() == {}
    world.provider.answers["/revoke"] = deque([BackChannelAnswer(500)])
    answer = await browser.fetch("/api/x")
    assert (answer.status, answer.json()["code"]) == (401, "session.ended")
    await settled(world)
    assert world.audit("token.revocation_failed") != []
    browser.cookies = cookies
    assert (await browser.fetch("/api/x")).status == 401


# -- a logout that overtakes its login (J13)


async def overtaken(world: World, order: Callable[[], Awaitable[object]]) -> tuple[Browser, Answer]:
    """Log in; `order` is carried out between the token answer and the save."""
    plain = world.provider.send

    async def send(request: Any) -> Any:
        answer = await plain(request)
        if request.url.endswith("/token"):
            await order()
        return answer

    world.provider.send = send  # type: ignore[method-assign]  # an order in the middle
    browser = world.browser()
    page = await browser.navigate("/bff/login?return_to=/public/x")
    world.provider.send = plain  # type: ignore[method-assign]
    return browser, page


@pytest.mark.parametrize(
    "claims", [{}, {"sub": ...}, {"sid": ...}], ids=["both", "sid alone", "sub alone"]
)
async def test_a_logout_between_the_token_answer_and_the_save_wins_j13(
    claims: dict[str, Any],
) -> None:
    world = World(replicas=2)

    async def order() -> None:
        token = logout_token(world.provider, **claims)
        assert (await deliver(world, token, gateway=world.gateways[1])).status == 200

    browser, page = await overtaken(world, order)
    assert page.status == 403
    assert "login.overtaken" in page.text
    assert "/bff/login?provider=main&amp;return_to=%2Fpublic%2Fx" in page.text
    assert SESSION not in browser.cookies
    assert world.store.live_sessions() == {}
    assert not await is_in(browser)
    await settled(world)
    assert world.provider.revoked == refresh_tokens(world)
    (ended,) = world.audit("session.ended")
    assert ended["by"] == "backchannel_logout"
    assert world.audit("login.succeeded") == []
    assert world.audit("login.failed")[-1]["code"] == "login.overtaken"
    # Logging in again is another login, with a younger ID token.
    world.clock.advance(1)
    await browser.navigate("/bff/login")
    assert await is_in(browser)


@pytest.mark.parametrize(
    "claims",
    [{"sid": "sid-2", "sub": ...}, {"sid": ..., "sub": "bob"}, {"sid": "sid-1", "sub": "bob"}],
    ids=["another sid", "another person", "their sid, another person"],
)
async def test_somebody_elses_logout_overtakes_nobody_j12_j13(claims: dict[str, Any]) -> None:
    world = World()
    browser, page = await overtaken(
        world, lambda: deliver(world, logout_token(world.provider, **claims))
    )
    assert page.status == 200
    assert await is_in(browser)


async def test_a_logout_overtakes_logins_by_every_name_of_its_client_j13() -> None:
    world = World(settings_of({"providers": TWO_NAMES}))
    _, page = await overtaken(
        world, lambda: deliver(world, logout_token(world.provider), name="stepup")
    )
    assert page.status == 403
    assert world.store.live_sessions() == {}


async def test_a_hanging_revocation_does_not_hold_whoever_was_overtaken_h16() -> None:
    world = World()
    plain = world.provider.send

    async def hangs(request: Any) -> Any:
        if request.url.endswith("/revoke"):
            await asyncio.Event().wait()
        answer = await plain(request)
        if request.url.endswith("/token"):
            await deliver(world, logout_token(world.provider))
        return answer

    world.provider.send = hangs  # type: ignore[method-assign]  # hangs at one path
    page = await asyncio.wait_for(world.browser().navigate("/bff/login"), 5)
    assert page.status == 403
    assert world.store.live_sessions() == {}


@pytest.mark.parametrize("again", [{}, {"sub": ...}, {"sid": ...}], ids=["both", "sid", "sub"])
async def test_a_later_login_survives_though_the_provider_keeps_its_sid_j13(
    again: dict[str, Any],
) -> None:
    world = World()
    first = await world.logged_in()
    await deliver(world, logout_token(world.provider, **again))
    world.clock.advance(1)
    later = await world.logged_in()
    assert await is_in(later)
    assert not await is_in(first)


async def test_an_older_logout_that_comes_late_ends_nothing_that_begins_after_it_j13() -> None:
    """Delivered after a login it is older than, it ends what there is: the specification's word.

    But a login that is under way with a younger ID token goes through.
    """
    world = World()
    token = logout_token(world.provider)
    world.clock.advance(5)
    browser, page = await overtaken(world, lambda: deliver(world, token))
    assert page.status == 200
    assert await is_in(browser)


async def test_marks_are_under_every_key_for_replicas_that_know_but_one_of_them_d16() -> None:
    world = World()
    newer = [{"id": "k-2027", "secret": {"env": "NEW_KEY"}}, *BASE["keys"]]
    new_key = "V7Xl2V0pQ9sM4bWc8ZrEYhKj3NnUaGdF1oLiCxSvBqk"
    ahead = world.replica(settings_of({"keys": newer}, NEW_KEY=new_key))
    _, page = await overtaken(
        world, lambda: deliver(world, logout_token(world.provider), gateway=ahead)
    )
    assert page.status == 403
    assert world.store.live_sessions() == {}


async def test_no_interleaving_of_a_login_and_its_logout_leaves_a_session_j13() -> None:
    """The whole logout before each step of the login, and the whole login before each step of it.

    Its ID token and the logout token are of one second, so the logout has to win throughout.
    """
    steps = 0
    for at in range(40):
        world, store = interrupted()
        token = logout_token(world.provider)
        store.interrupt(at, lambda w=world, t=token: deliver(w, t))  # type: ignore[misc]  # bound early
        await world.browser().navigate("/bff/login")
        if store.first is not None:  # the login had fewer steps
            await deliver(world, token)
            assert store.live_sessions() == {}
            break
        steps += 1
        assert store.live_sessions() == {}, at
    assert steps >= 4
    for at in range(40):
        world, store = interrupted()
        token = logout_token(world.provider)
        store.interrupt(at, lambda w=world: w.browser().navigate("/bff/login"))  # type: ignore[misc]
        await deliver(world, token)
        if store.first is not None:
            break
        steps += 1
        assert store.live_sessions() == {}, at
    assert steps >= 8


# -- the front channel


async def test_a_frame_ends_the_sessions_of_its_sid_without_any_cookie_j18_j19() -> None:
    world = World(settings_of({"providers": FRAMED}))
    people = await crowd(world)
    answer = await frame(world, f"iss={quote(ISSUER, safe='')}&sid=sid-1&x=1")
    assert answer.status == 200
    assert await left(people) == {"two", "bob"}
    assert {line["by"] for line in world.audit("session.ended")} == {"frontchannel_logout"}
    again = await frame(world, f"iss={quote(ISSUER, safe='')}&sid=sid-1")
    assert (again.status, again.body) == (200, answer.body)


async def test_the_frames_page_is_for_the_provider_and_nobody_else_j18() -> None:
    issuer = f"{ISSUER}:8443/realms/main"
    main = {**FRAMED["main"], "issuer": issuer}
    world = World(settings_of({"providers": {"main": main}}))
    answer = await frame(world, "iss=x&sid=y")
    policy = answer.one("content-security-policy") or ""
    assert f"frame-ancestors {ISSUER}:8443" in policy.split("; ")
    assert policy.count("frame-ancestors") == 1
    assert "default-src 'none'" in policy
    assert answer.one("x-frame-options") is None
    assert answer.one("cache-control") == "no-store"
    assert answer.one("x-content-type-options") == "nosniff"
    assert answer.all("set-cookie") == []
    assert "<script" not in answer.text


async def test_a_store_that_is_down_is_told_to_a_frame_too() -> None:
    world = World(settings_of({"providers": FRAMED}))
    world.store.down = True
    answer = await frame(world, f"iss={quote(ISSUER, safe='')}&sid=sid-1")
    assert answer.status == 503
