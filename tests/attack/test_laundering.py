"""Laundering: a cross-site request made same-site by one of our own pages (C3, C4).

The hop page and the login end with a navigation that starts on our site and carries the session.
Nobody but the application itself may choose where that navigation goes, unless it goes where a
session makes no difference.
"""

import re
from urllib.parse import urlencode

import pytest

from tests.support.world import LOGIN, SESSION, World

TARGET = "/api/items/7?action=delete"


async def test_a_strangers_state_does_not_choose_where_my_session_goes() -> None:
    world = World()
    attacker = world.browser()
    started = await attacker.load(
        "https://app.example/bff/login?" + urlencode({"return_to": TARGET})
    )
    state = (started.one("location") or "").partition("state=")[2].partition("&")[0]
    victim = await world.logged_in()
    url = f"https://app.example/bff/callback/main?state={state}&code=x&iss=https%3A%2F%2Fid.example"
    await victim.navigate(url, initiator="https://evil.example")
    assert world.api.received == []
    assert "delete" not in victim.url


@pytest.mark.parametrize("prompt", ["none", "login"])
@pytest.mark.parametrize("site", ["https://evil.example", "https://b.app.example"])
async def test_a_login_link_on_another_site_leads_to_no_api(prompt: str, site: str) -> None:
    world = World()
    victim = await world.logged_in()
    query = urlencode({"return_to": TARGET, "prompt": prompt})
    if prompt == "none":
        world.provider.change_callback = lambda answer: {
            "error": "login_required",
            "state": answer["state"],
            "iss": answer["iss"],
        }
    await victim.navigate(f"/bff/login?{query}", initiator=site)
    assert world.api.received == []


async def test_a_login_link_on_another_site_may_lead_to_a_public_page() -> None:
    world = World()
    browser = world.browser()
    await browser.navigate("/bff/login?return_to=/public/welcome", initiator="https://mail.example")
    assert browser.url == "https://app.example/public/welcome"
    assert SESSION in browser.cookies


async def test_the_application_itself_may_lead_anywhere() -> None:
    world = World()
    browser = world.browser()
    await browser.navigate("/bff/login?return_to=/api/report", initiator="https://app.example")
    assert browser.url == "https://app.example/api/report"
    assert len(world.api.received) == 1


async def a_strangers_way_back(world: World, how: str) -> str:
    """What an attempt of the attacker's own leads to once it no longer fits."""
    attacker = world.browser()
    query = urlencode({"return_to": TARGET})
    started = await attacker.load(f"https://app.example/bff/login?{query}")
    at_provider = await attacker.load(started.one("location") or "")
    if how == "expired":
        world.clock.advance(660)
    else:
        await attacker.load(at_provider.one("location") or "", site="cross-site")
    hop = await attacker.load(at_provider.one("location") or "", site="cross-site")
    found = re.search(r"url=(/bff/login\?resume=[^\"]*)", hop.text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("how", ["expired", "replayed"])
@pytest.mark.parametrize("site", ["cross-site", "same-origin", "none"])
async def test_a_strangers_way_back_is_no_way_to_an_api(how: str, site: str) -> None:
    world = World()
    link = await a_strangers_way_back(world, how)
    victim = await world.logged_in()
    if site == "cross-site":
        await victim.navigate(link, initiator="https://evil.example")
    # Typed in, or reached through some page of ours: it is bound to the attacker's browser.
    landed = await victim.load(f"https://app.example{link}", site=site)
    assert "items" not in (landed.one("location") or "")
    assert "%2Fitems" not in landed.text
    assert world.api.received == []


async def test_a_strangers_way_back_offers_no_button_to_the_target_either() -> None:
    world = World()
    attacker = world.browser()
    started = await attacker.load(
        f"https://app.example/bff/login?{urlencode({'return_to': TARGET})}"
    )
    link = ""
    for _ in range(2):
        at_provider = await attacker.load(started.one("location") or "")
        world.clock.advance(660)
        hop = await attacker.load(at_provider.one("location") or "", site="cross-site")
        found = re.search(r"url=(/bff/login\?resume=[^\"]*)", hop.text)
        assert found is not None
        link = found[1]
        started = await attacker.load(f"https://app.example{link}", site="same-origin")
    assert "%2Fitems" in started.text  # the attacker's own page has it
    landed = await world.browser().load(f"https://app.example{link}", site="cross-site")
    assert landed.status == 400
    assert "%2Fitems" not in landed.text


async def test_cookies_made_up_for_a_broken_login_fill_no_store() -> None:
    world = World()
    browser = world.browser()
    hop = await browser.load(
        "https://app.example/bff/callback/main?state=x&code=x&iss=https%3A%2F%2Fid.example",
        site="cross-site",
    )
    found = re.search(r"url=(/bff/login\?resume=[^\"]*)", hop.text)
    assert found is not None
    writes = world.store.writes
    for number in range(50):
        fields = [
            (b"host", b"app.example"),
            (b"sec-fetch-mode", b"navigate"),
            (b"cookie", f"{LOGIN}={number:043d}".encode()),
        ]
        answer = await world.raw("GET", found[1].encode(), fields)
        assert answer.status == 400
    assert world.store.writes == writes


@pytest.mark.parametrize(
    "hostile", ['/public/"><script>x</script>', "/public/&quot;onload=x", "/public/<b>"]
)
async def test_the_hop_page_is_no_place_for_markup(hostile: str) -> None:
    world = World()
    browser = world.browser()
    query = urlencode({"return_to": hostile})
    started = await browser.load(f"https://app.example/bff/login?{query}")
    if started.status != 303:
        assert started.status == 400
        return
    at_provider = await browser.load(started.one("location") or "")
    hop = await browser.load(at_provider.one("location") or "", site="cross-site")
    assert "<script" not in hop.text
    assert "<b>" not in hop.text
    assert "/&quot;onload" not in hop.text  # escaped once more, so that it stays text
