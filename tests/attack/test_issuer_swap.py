"""Issuer swap: a provider's name that now stands for another issuer sees no older token (E16)."""

from tests.support.provider import FakeProvider
from tests.support.world import BASE, World, settings_of

NEW = "https://new-id.example"


def moved() -> dict[str, object]:
    return {"providers": {"main": {**BASE["providers"]["main"], "issuer": NEW}}}


async def test_a_refresh_token_is_never_sent_to_another_issuer() -> None:
    world = World()
    browser = await world.logged_in()
    settings = settings_of(moved())
    stranger = FakeProvider(world.clock, issuer=NEW)
    world.providers[NEW] = stranger
    browser.origins = {**browser.origins, world.home: world.replica(settings).public}
    world.clock.advance(400)
    answer = await browser.fetch("/api/x")
    assert answer.status == 401
    logout = await browser.fetch("/bff/logout", "POST")
    assert "id_token_hint" not in logout.json()["redirect_to"]
    sent = b"".join(request.body for request in stranger.requests)
    for value in world.provider.issued:
        assert value.encode() not in sent
    assert world.api.received == []


async def test_a_session_of_a_provider_that_was_removed_calls_no_api() -> None:
    world = World()
    browser = await world.logged_in()
    other = {"providers": {"other": {**BASE["providers"]["main"], "issuer": NEW}}}
    browser.origins = {
        **browser.origins,
        world.home: world.replica(settings_of(other)).public,
    }
    assert (await browser.fetch("/api/x")).status == 401
    assert world.api.received == []
