"""Growth: nothing a stranger repeats makes the gateway keep more (ASVS 15.2.2)."""

from tests.support.world import World

HOST = [(b"host", b"app.example")]


async def test_made_up_provider_names_reach_neither_the_metrics_nor_the_log() -> None:
    world = World()
    for number in range(50):
        await world.raw("GET", b"/bff/callback/stranger-%d?state=x&code=y" % number, HOST)
    metrics = await world.admin(b"/metrics")
    assert b"stranger" not in metrics.body
    assert "stranger" not in world.audit_text.getvalue()
    assert len(world.audit("login.failed")) == 50


async def test_a_provider_that_stays_down_costs_the_same_for_every_request() -> None:
    world = World()
    world.provider.down = True
    provider = world.gateway.providers["main"]
    depths = []
    for _ in range(30):
        await world.browser().load("https://app.example/bff/login")
        failure = provider._metadata._failure
        assert failure is not None
        depth, frame = 0, failure.__traceback__
        while frame is not None:
            depth, frame = depth + 1, frame.tb_next
        depths.append(depth)
    assert depths[-1] <= depths[1]
    assert world.provider.seen("/.well-known/openid-configuration") == 1
