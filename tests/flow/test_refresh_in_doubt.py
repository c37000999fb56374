"""When nobody knows whether a refresh token was spent, its good access token is used to its end."""

import asyncio
from collections import deque

from gateway.oidc.back_channel import BackChannelAnswer
from tests.support.world import World


async def test_at_its_very_end_nobody_has_to_wait_for_the_pause_that_was_rounded_up_h10() -> None:
    """Callers are told whole seconds, and more rather than less; we go by the exact ones."""
    world = World()
    browser = await world.logged_in()
    world.provider.answers["/token"] = deque([BackChannelAnswer(502, "text/html", b"bad gateway")])
    for seconds in (250, 42):  # the access token is good for 295: three more
        world.clock.advance(seconds)
        assert (await browser.fetch("/api/x")).status == 200
        await asyncio.sleep(0.02)
    assert world.provider.seen("/token") == 2  # the login, and the one whose outcome is unknown
    world.clock.advance(3.1)
    assert (await browser.fetch("/api/x")).status == 200
    assert world.provider.seen("/token") == 3
