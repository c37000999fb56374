"""Open channels of a session, as a test follows them: opened, looked at, ended."""

import asyncio

from tests.support.browser import Browser
from tests.support.websocket_ends import Endpoint, LiveApi, connected
from tests.support.world import World


async def settle(world: World) -> None:
    """Let every gateway look at what is due."""
    for gateway in world.gateways:
        gateway.live.sweep()
        await gateway.live.settled()
    await asyncio.sleep(0.01)


async def opened(world: World, path: str = "/live/x") -> tuple[Browser, Endpoint, Endpoint]:
    """Log in and open a WebSocket: the browser, its endpoint and the API's."""
    browser = await world.logged_in()
    here, there = await connected(browser, LiveApi(world), path)
    await settle(world)
    assert here.closed is None
    return browser, here, there


async def ended(
    here: Endpoint, there: Endpoint, reason: str = "session.ended", within: float = 2.0
) -> None:
    """Wait until a WebSocket has been closed at both ends, and for this reason."""
    async with asyncio.timeout(within):
        await here.until(lambda end: end.closed)
        await there.until(lambda end: end.closed)
    assert here.closed == (4401, reason)
    assert there.closed == (1001, reason)
    await here.until(lambda end: end.lost_at_all)
    await there.until(lambda end: end.lost_at_all)
