"""What a provider publishes anew is used within the hour, without a restart (F7)."""

from tests.support.provider import KEY, OTHER_KEY, sign
from tests.support.world import ORIGIN, SESSION, World

NEW = "https://id.example/v2/token"


async def test_a_token_endpoint_that_moves_is_followed_and_the_old_one_left_alone_f7() -> None:
    world = World()
    await world.logged_in()
    world.provider.metadata = {"token_endpoint": NEW}
    world.clock.advance(3601)
    browser = world.browser()
    await browser.navigate("/bff/login")
    assert SESSION in browser.cookies
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/v2/token") == 1
    assert world.provider.seen("/token") == 1  # the first login's


async def test_metadata_is_asked_for_once_an_hour_however_many_log_in_f7() -> None:
    world = World()
    for _ in range(5):
        await world.logged_in()
        world.clock.advance(719)
    assert world.provider.seen("/.well-known/openid-configuration") == 1
    world.clock.advance(6)
    await world.logged_in()
    assert world.provider.seen("/.well-known/openid-configuration") == 2


async def test_a_key_the_provider_has_withdrawn_is_believed_for_an_hour_at_most_f7() -> None:
    world = World()
    await world.logged_in()
    world.provider.jwks = [OTHER_KEY.as_dict(private=False)]
    world.provider.sign = lambda claims: sign(claims, KEY)  # whoever took it signs on
    world.clock.advance(3601)
    browser = world.browser()
    started = await browser.load(f"{ORIGIN}/bff/login")
    at_provider = await browser.load(started.one("location") or "")
    answer = await browser.load(at_provider.one("location") or "", site="cross-site")
    assert answer.status == 502
    assert SESSION not in browser.cookies
    assert world.store.live_sessions().keys() == set()
    world.provider.sign = lambda claims: sign(claims, OTHER_KEY)
    assert SESSION in (await world.logged_in()).cookies
