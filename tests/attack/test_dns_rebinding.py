"""A page whose name now resolves to 127.0.0.1 asks the operators' listener on this machine."""

import pytest

from tests.support.asgi import call
from tests.support.world import World, settings_of

PATHS = (b"/livez", b"/readyz", b"/metrics", b"/admin/sessions")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "fields",
    [
        [(b"host", b"rebound.example:9090")],
        [(b"host", b"localhost.rebound.example")],
        [(b"host", b"127.0.0.1.rebound.example:9090")],
        [(b"host", b"127.0.0.1@rebound.example")],
        [(b"host", b"127.0.0.1"), (b"host", b"rebound.example")],
        [(b"host", b"")],
        [],
    ],
)
async def test_a_loopback_listener_tells_a_foreign_name_nothing_k3(
    path: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    world = World()
    await world.logged_in()
    world.store.reads = 0
    answer = await call(world.gateway.admin, "GET", path, fields)
    assert answer.status == 421
    assert answer.json() == {"status": "misdirected"}
    assert world.store.reads == 0


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:9090", b"127.1.2.3", b"LOCALHOST:9090", b"localhost", b"[::1]:9090"]
)
async def test_this_machines_own_names_are_answered(host: bytes) -> None:
    answer = await call(World().gateway.admin, "GET", b"/livez", [(b"host", host)])
    assert answer.status == 200


@pytest.mark.parametrize(
    ("listen", "status"),
    [
        ("0.0.0.0", 200),
        ("::", 200),
        ("gateway.internal", 200),
        ("127.0.0.2", 421),
        ("::1", 421),
        ("localhost", 421),
        ("LOCALHOST", 421),
        ("gateway.localhost", 421),
    ],
)
async def test_a_listener_that_others_can_reach_answers_to_any_name(
    listen: str, status: int
) -> None:
    world = World(settings_of({"admin": {"host": listen, "port": 9090}}))
    fields = [(b"host", b"gateway-7.monitoring.internal:9090")]
    assert (await call(world.gateway.admin, "GET", b"/livez", fields)).status == status
