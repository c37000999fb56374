"""Laundering: a cross-site request made same-site by one of our own pages (C3, C4).

The hop page and the login end with a navigation that starts on our site and carries the session.
Nobody but the application itself may choose where that navigation goes, unless it goes where a
session makes no difference.
"""

import re
from urllib.parse import urlencode

import pytest

from tests.support.world import SESSION, World

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


async def a_strangers_resumption(world: World) -> str:
    """What an attempt of the attacker's own leads to once it has expired: a sealed way back."""
    attacker = world.browser()
    query = urlencode({"return_to": TARGET})
    started = await attacker.load(f"https://app.example/bff/login?{query}")
    at_provider = await attacker.load(started.one("location") or "")
    world.clock.advance(660)
    hop = await attacker.load(at_provider.one("location") or "", site="cross-site")
    found = re.search(r"url=(/bff/login\?resume=[^\"]*)", hop.text)
    assert found is not None
    return found[1]


async def test_a_strangers_way_back_is_no_way_to_an_api() -> None:
    world = World()
    link = await a_strangers_resumption(world)
    victim = await world.logged_in()
    await victim.navigate(link, initiator="https://evil.example")
    assert world.api.received == []
    # The same link, where the page that follows is ours: with no restart left it is an explanation.
    for _ in range(3):
        landed = await victim.load(f"https://app.example{link}", site="cross-site")
        assert "delete" not in landed.text
        assert "items" not in (landed.one("location") or "")


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
