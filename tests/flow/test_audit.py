"""What the audit log says of each event: the exact members, and whom they point to (D14)."""

import re
from typing import Any

import pytest

from tests.support.world import World

ALWAYS = {"log", "event", "outcome", "time"}
WHO = {"provider", "user", "session", "request_id", "client"}
PSEUDONYM = re.compile(r"[0-9a-f]{16}")


async def a_busy_day() -> World:
    """One of everything, in one world."""
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/admin/x")  # refused for its scope
    await browser.request("POST", "https://app.example/api/x", {}, b"", "none")  # cross-site
    world.clock.advance(400)
    await browser.fetch("/api/x")  # refreshed
    await browser.fetch("/bff/logout", "POST")
    await world.browser().load("https://app.example/bff/callback/main?error=x&state=y")
    world.clock.advance(10)
    ended = await world.logged_in()
    world.provider.refresh_tokens.clear()
    world.clock.advance(400)
    await ended.fetch("/api/x")  # invalid_grant
    return world


MEMBERS = {
    "configuration.loaded": ALWAYS | {"note"},
    "login.started": ALWAYS | {"provider", "request_id", "client"},
    "login.succeeded": ALWAYS | WHO,
    "login.failed": ALWAYS | {"provider", "request_id", "client", "code"},
    "token.refreshed": ALWAYS | WHO,
    "token.refresh_failed": ALWAYS | WHO | {"code", "note"},
    "token.revoked": ALWAYS | WHO,
    "session.ended": ALWAYS | WHO | {"by"},
}


@pytest.mark.parametrize("event", MEMBERS)
async def test_each_event_has_exactly_its_members(event: str) -> None:
    world = await a_busy_day()
    lines = world.audit(event)
    assert lines
    for line in lines:
        assert set(line) == MEMBERS[event]
        assert line["log"] == "audit"
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT[0-9:.]+Z", line["time"])
        for name in {"user", "session"} & set(line):
            assert PSEUDONYM.fullmatch(line[name])
        if "client" in line:
            assert line["client"] == "203.0.113.7"


async def test_a_refusal_says_why_and_after_the_session_was_opened_also_whose() -> None:
    world = await a_busy_day()
    refusals: dict[str, dict[str, Any]] = {
        line["code"]: line for line in world.audit("request.refused")
    }
    about_session = refusals["scope.insufficient"]
    assert about_session["user"] == world.audit("login.succeeded")[0]["user"]
    assert about_session["session"] == world.audit("login.succeeded")[0]["session"]
    before_session = refusals["csrf.origin"]
    assert "user" not in before_session
    assert before_session["outcome"] == "refused"
    assert before_session["request_id"]


async def test_pseudonyms_need_the_key_to_be_made() -> None:
    one, other = World(), World()
    await one.logged_in()
    other.audit_key(b"another key of the same length..")
    await other.logged_in()
    (first,), (second,) = one.audit("login.succeeded"), other.audit("login.succeeded")
    assert first["user"] != second["user"]


async def test_a_session_that_does_not_open_leaves_a_line_without_its_value() -> None:
    world = World()
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    record = world.store.live_sessions()[lookup]
    world.store.plant(lookup, type(record)(record.generation, b"\x01garbage-value"))
    await browser.fetch("/api/x")
    (line,) = world.audit("session.unreadable")
    assert line["outcome"] == "failure"
    assert "garbage" not in world.audit_text.getvalue()


async def test_an_outage_is_counted_every_time_and_written_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    browser = await world.logged_in()
    world.store.down = True
    for _ in range(20):
        await browser.fetch("/api/x")
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.outage"]
    assert len(lines) == 1
    assert lines[0].startswith("store.unavailable")
    world.clock.advance(2)
    await browser.fetch("/api/x")
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.outage"]
    assert "19 more since the last line" in lines[1]
    metrics = (await world.admin(b"/metrics")).text
    assert 'gateway_outages_total{code="store.unavailable"} 21.0' in metrics
    assert "store.unavailable" not in world.audit_text.getvalue()
