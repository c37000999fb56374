"""Operators look at sessions and end them, by session, person, provider, or all (D7, D8, D9)."""

from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.ports import LookupId, StoredRecord
from tests.support.browser import Browser
from tests.support.world import BASE, CLIENT_SECRET, ISSUER, World, settings_of

OTHER = "https://other.example"
TWO = {
    "providers": {
        **BASE["providers"],
        "other": {**BASE["providers"]["main"], "issuer": OTHER},
    }
}
ALL = b"/admin/sessions?all=true"


def of(issuer: str = ISSUER, subject: str = "ada") -> bytes:
    return b"/admin/sessions?" + urlencode({"issuer": issuer, "subject": subject}).encode()


async def status(browser: Browser) -> int:
    return (await browser.fetch("/api/x")).status


async def session_id(browser: Browser) -> str:
    return str((await browser.fetch("/bff/session")).json()["session_id"])


async def test_a_persons_sessions_are_listed_newest_first_and_without_a_token_d7() -> None:
    world = World()
    first = await world.logged_in()
    world.clock.advance(30)
    second = await world.logged_in()
    answer = await world.admin(of())
    assert answer.status == 200
    assert answer.one("cache-control") == "no-store"
    told = answer.json()
    assert [one["session_id"] for one in told["sessions"]] == [
        await session_id(second),
        await session_id(first),
    ]
    assert told["left_out"] == 0
    older = told["sessions"][1]
    assert older.keys() == {
        "session_id",
        "provider",
        "issuer",
        "subject",
        "created_at",
        "last_seen",
        "expires_in",
        "idle_expires_in",
        "address",
        "user_agent",
    }
    assert (older["provider"], older["issuer"], older["subject"]) == ("main", ISSUER, "ada")
    assert (older["expires_in"], older["idle_expires_in"]) == (43200 - 30, 1800 - 30)
    assert older["address"] == "203.0.113.7"
    secret = [
        *world.issued(),
        CLIENT_SECRET,
        *(b.cookies["__Host-Http-session"].value for b in (first, second)),
    ]
    assert not [one for one in secret if one in answer.text]


async def test_one_session_is_shown_and_ended_and_no_other_d8() -> None:
    world = World()
    laptop, phone = await world.logged_in(), await world.logged_in()
    target = f"/admin/sessions/{await session_id(laptop)}".encode()
    assert (await world.admin(target)).json()["subject"] == "ada"
    assert (await world.admin(target, "DELETE")).json() == {"ended": 1}
    assert [await status(laptop), await status(phone)] == [401, 200]
    for method in ("GET", "DELETE"):
        gone = await world.admin(target, method)
        assert (gone.status, gone.json()["code"]) == (404, "session.not_found")
        assert gone.one("content-type") == "application/problem+json"
    assert len((await world.admin(of())).json()["sessions"]) == 1


async def test_a_persons_sessions_are_ended_and_nobody_elses_d9() -> None:
    """The same subject at another issuer is somebody else."""
    world = World(settings_of(TWO))
    mine = [await world.logged_in(), await world.logged_in()]
    others = await world.logged_in("other")
    world.provider.subject = "bob"
    bobs = await world.logged_in()
    assert (await world.admin(of(), "DELETE")).json() == {"ended": 2}
    assert [await status(one) for one in (*mine, others, bobs)] == [401, 401, 200, 200]
    assert (await world.admin(of(), "DELETE")).json() == {"ended": 0}
    assert (await world.admin(of(OTHER), "DELETE")).json() == {"ended": 1}


@pytest.mark.parametrize(
    "person", [of(subject="nobody"), of("https://id.example/"), of(subject="Ada")]
)
async def test_ending_what_is_not_there_is_no_error(person: bytes) -> None:
    world = World()
    await world.logged_in()
    assert (await world.admin(person)).json() == {"sessions": [], "left_out": 0}
    assert (await world.admin(person, "DELETE")).json() == {"ended": 0}
    nobody = await world.admin(b"/admin/sessions?provider=gone", "DELETE")
    assert nobody.json() == {"ended": 0, "unreadable": 0}
    assert len(world.store.live_sessions()) == 1


async def test_a_providers_sessions_are_ended_and_no_others() -> None:
    world = World(settings_of(TWO))
    mains = [await world.logged_in() for _ in range(60)]
    others = [await world.logged_in("other") for _ in range(3)]
    target = b"/admin/sessions?provider=main"
    assert (await world.admin(target, "DELETE")).json() == {"ended": 60, "unreadable": 0}
    assert {await status(one) for one in mains} == {401}
    assert {await status(one) for one in others} == {200}
    assert (await world.admin(target, "DELETE")).json() == {"ended": 0, "unreadable": 0}


async def test_all_sessions_are_ended_on_every_replica_though_they_are_in_memory_d3() -> None:
    world = World(replicas=2)
    browsers = [await world.logged_in() for _ in range(5)]
    for browser in browsers:
        browser.origins = {**browser.origins, world.home: world.gateways[1].public}
        assert await status(browser) == 200
    assert (await world.admin(ALL, "DELETE")).json() == {"ended": 5, "unreadable": 0}
    assert {await status(browser) for browser in browsers} == {401}
    assert (await world.admin(ALL, "DELETE")).json() == {"ended": 0, "unreadable": 0}
    await browsers[0].navigate("/bff/login")
    assert await status(browsers[0]) == 200


async def test_records_that_do_not_open_are_counted_and_go_only_with_all() -> None:
    world = World()
    browser = await world.logged_in()
    foreign = LookupId("foreign")
    world.store.plant(foreign, StoredRecord(1, b"\x02of another release"))
    provider = await world.admin(b"/admin/sessions?provider=main", "DELETE")
    assert provider.json() == {"ended": 1, "unreadable": 1}
    assert list(world.store.live_sessions()) == [foreign]
    assert (await world.admin(ALL, "DELETE")).json() == {"ended": 0, "unreadable": 1}
    assert world.store.live_sessions() == {}
    assert await status(browser) == 401


async def test_a_store_that_fails_is_an_outage_and_not_an_empty_answer_d11() -> None:
    world = World()
    browser = await world.logged_in()
    world.store.down = True
    for target in (of(), ALL, b"/admin/sessions/abc"):
        answer = await world.admin(target, "DELETE")
        assert (answer.status, answer.json()["code"]) == (503, "store.unavailable")
        assert answer.one("retry-after") == "1"
    assert world.audit("admin.carried_out")[-1]["outcome"] == "failure"
    world.store.down = False
    assert await status(browser) == 200


async def test_every_request_is_audited_and_names_nobody() -> None:
    world = World()
    await world.logged_in()
    await world.logged_in()
    await world.admin(of(), peer="127.0.0.9")
    await world.admin(of(), "DELETE", peer="127.0.0.9")
    await world.admin(b"/admin/sessions?all=yes", "DELETE", peer="127.0.0.9")
    done = world.audit("admin.carried_out")
    assert [one["note"] for one in done] == [
        "listed 2 sessions",
        "ended 2 sessions of a person",
    ]
    assert {one["by"] for one in done} == {"admin"}
    ended = world.audit("session.ended")
    assert [one["by"] for one in ended] == ["admin"] * 2
    (refused,) = [one for one in world.audit("request.refused") if one.get("by") == "admin"]
    assert refused["code"] == "admin.selector"
    for line in (*done, *ended, refused):
        assert line["client"] == "127.0.0.9"
        assert "ada" not in str(line)


async def test_with_the_token_an_operator_may_from_anywhere() -> None:
    token = "o7Ny-admin-of-32-characters-or-more"
    admin: dict[str, Any] = {"host": "0.0.0.0", "token": {"env": "ADMIN_TOKEN"}}
    world = World(settings_of({"admin": admin}, ADMIN_TOKEN=token))
    browser = await world.logged_in()
    shown = (b"authorization", b"Bearer " + token.encode())
    assert len((await world.admin(of(), "GET", shown)).json()["sessions"]) == 1
    assert (await world.admin(ALL, "DELETE", shown)).json()["ended"] == 1
    assert await status(browser) == 401
    assert (await world.admin(b"/livez")).status == 200


async def test_a_list_has_an_end_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.administration._MOST_LISTED", 2)
    world = World()
    for _ in range(3):
        await world.logged_in()
    told = (await world.admin(of())).json()
    assert (len(told["sessions"]), told["left_out"]) == (2, 1)


async def test_a_bug_is_answered_and_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()

    async def broken(*_: object) -> None:
        raise KeyError("ada")

    monkeypatch.setattr(world.store, "members", broken)
    answer = await world.admin(of())
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert "ada" not in answer.text
    assert "internal error" in caplog.text
