"""What somebody has ordered to end ends, though nobody waits for the answer (J15, J16).

A provider waits some seconds for the answer to its logout token (npm oidc-provider 2.5), and then
its connection is lost, and with it the task that served it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from gateway.ports import IndexName, LookupId
from tests.support.clock import TurnableClock
from tests.support.logout_tokens import FRAMED, deliver, frame, logout_token
from tests.support.memory_store import MemoryStore
from tests.support.world import ISSUER, World, settings_of

PEOPLE = 20  # more than are ended at once


class Slow(MemoryStore):
    """A store that takes its time for every end; `begun` says that it is at the first."""

    def __init__(self, clock: TurnableClock) -> None:
        super().__init__(clock)
        self.begun = asyncio.Event()
        self.at_once = self.most_at_once = 0

    async def end(
        self, lookup: LookupId, indexes: Sequence[IndexName], *, keep: float = 0.0
    ) -> bool:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        was_there = await super().end(lookup, indexes, keep=keep)
        self.begun.set()
        await asyncio.sleep(0.01)
        self.at_once -= 1
        return was_there


async def slow_world() -> tuple[World, Slow]:
    clock = TurnableClock()
    world = World(settings_of({"providers": FRAMED}), clock=clock, store=(store := Slow(clock)))
    for _ in range(PEOPLE):
        await world.logged_in()
    assert len(store.live_sessions()) == PEOPLE
    return world, store


ORDERS: dict[str, Callable[[World], Awaitable[Any]]] = {
    "back channel": lambda world: deliver(world, logout_token(world.provider, sid=...)),
    "front channel": lambda world: frame(world, f"iss={quote(ISSUER)}&sid=sid-1"),
    "operator, a person": lambda world: world.admin(
        f"/admin/sessions?issuer={quote(ISSUER)}&subject=ada".encode(), "DELETE"
    ),
    "operator, all": lambda world: world.admin(b"/admin/sessions?all=true", "DELETE"),
}


@pytest.mark.parametrize("order", ORDERS)
async def test_who_orders_and_leaves_has_ended_them_all(order: str) -> None:
    world, store = await slow_world()
    asking = asyncio.ensure_future(ORDERS[order](world))
    await asyncio.wait_for(store.begun.wait(), 5)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    await world.gateway.aclose()  # an orderly stop waits for it
    assert store.live_sessions() == {}
    assert len(world.audit("session.ended")) == PEOPLE
    if order.startswith("operator"):
        assert len(world.audit("admin.carried_out")) == 1


async def test_a_token_whose_provider_left_has_been_used_j11() -> None:
    world, store = await slow_world()
    token = logout_token(world.provider)
    asking = asyncio.ensure_future(deliver(world, token))
    await asyncio.wait_for(store.begun.wait(), 5)
    asking.cancel()
    await world.gateway.aclose()
    assert (await deliver(world, token)).json()["code"] == "logout_token.replayed"


@pytest.mark.parametrize("order", ORDERS)
async def test_several_are_ended_at_once_but_never_with_every_connection(order: str) -> None:
    world, store = await slow_world()
    assert (await ORDERS[order](world)).status == 200
    assert store.live_sessions() == {}
    assert 1 < store.most_at_once <= 8
