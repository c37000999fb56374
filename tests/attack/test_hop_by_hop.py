"""Hop-by-hop abuse: a client cannot name our own fields away, nor smuggle a hop's (L1-L3, M15)."""

import pytest

from tests.support.world import World

FETCH = {"x-csrf": "1"}


@pytest.mark.parametrize(
    "named",
    [
        "authorization",
        "Authorization",
        "cookie",
        "host",
        "x-forwarded-for",
        "X-Forwarded-Host, X-Forwarded-Proto",
        "forwarded",
        "content-length",
        "via",
        "x-request-id",
        "close, authorization",
    ],
)
async def test_connection_cannot_take_our_fields_away_l3(named: str) -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/api/x", headers={"connection": named})
    assert answer.status == 200
    assert len(world.api.sent(b"authorization")) == 1
    assert world.api.sent(b"authorization")[0].startswith(b"Bearer at-")
    assert world.api.sent(b"host") == [b"api.internal:8080"]
    assert world.api.sent(b"x-forwarded-for") == [b"203.0.113.7"]
    assert world.api.sent(b"x-forwarded-host") == [b"app.example"]
    assert len(world.api.sent(b"forwarded")) == 1
    assert len(world.api.sent(b"via")) == 1
    assert world.api.sent(b"connection") == []


async def test_fields_named_by_connection_are_dropped_on_every_line_l1() -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch(
        "/api/x", headers={"connection": "X-Foo , x-BAR", "x-foo": "1", "x-bar": "2"}
    )
    assert world.api.sent(b"x-foo") == []
    assert world.api.sent(b"x-bar") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("te", "trailers"),
        ("trailer", "x-a"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("proxy-authenticate", "Basic"),
    ],
)
async def test_a_hops_own_fields_stay_on_that_hop_l2_p2(name: str, value: str) -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x", headers={name: value, "connection": f"keep-alive, {name}"})
    assert world.api.sent(name.encode()) == []


async def test_an_answers_hop_by_hop_fields_stay_behind_too() -> None:
    world = World()
    browser = await world.logged_in()
    world.api.fields = (
        (b"connection", b"x-inner, cache-control"),
        (b"x-inner", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"keep-alive", b"timeout=5"),
        (b"x-outer", b"1"),
        (b"upgrade", b"h2c"),
    )
    answer = await browser.fetch("/api/x")
    assert answer.all("x-inner") == answer.all("keep-alive") == answer.all("upgrade") == []
    assert answer.all("transfer-encoding") == answer.all("connection") == []
    assert answer.one("x-outer") == "1"
    assert answer.one("cache-control") == "no-store"


@pytest.mark.parametrize("value", ["5, 5", "+5", "0x5", "-1", "5 5", ""])
async def test_a_length_that_is_no_length_is_refused_m2(value: str) -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/api/x", "POST", {"content-length": value}, b"12345")
    assert answer.status == 400
    assert answer.json()["code"] == "field.malformed"
    assert world.api.received == []
