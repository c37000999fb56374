"""Channels end although nothing is told, nothing can be read, or a provider hangs (P4, D3, J16)."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.errors import Code, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.ports import LookupId, StoredRecord
from gateway.session.sealing import KeyRing
from tests.support.clock import TurnableClock
from tests.support.event_streams import Speaker, listen
from tests.support.live_channels import ended, opened, settle
from tests.support.logout_tokens import deliver, logout_token
from tests.support.memory_store import MemoryStore
from tests.support.websocket_ends import LiveApi, connected
from tests.support.world import World


async def ended_elsewhere(world: World) -> None:
    answer = await deliver(world, logout_token(world.provider), gateway=world.gateways[1])
    assert answer.status == 200
    assert world.store.live_sessions() == {}


# -- nothing is told: an ACL, a managed service, a store that is full, a link that stays away


@pytest.mark.parametrize("path", ["/live/x", "/live/bare/x"])
@pytest.mark.parametrize("since", ["before it was opened", "afterwards"])
async def test_a_logout_elsewhere_closes_a_websocket_within_a_second_p4(
    path: str, since: str
) -> None:
    world = World(replicas=2)
    if since == "before it was opened":
        world.stores[0].cut()
    _, here, there = await opened(world, path)
    world.stores[0].cut()
    await settle(world)
    await ended_elsewhere(world)
    world.clock.advance(1)
    await settle(world)
    await ended(here, there)


async def test_a_logout_elsewhere_ends_an_event_stream_within_a_second_p9() -> None:
    world = World(replicas=2)
    world.stores[0].cut()
    Speaker(world)
    hearer = await listen(world, await world.logged_in())
    await settle(world)
    await ended_elsewhere(world)
    world.clock.advance(1)
    await settle(world)
    await hearer.until(lambda one: one.finished)
    assert b"event: gateway.ended" in hearer.octets


async def test_the_gateway_looks_by_itself_as_often_as_that() -> None:
    world = World(replicas=2)
    world.stores[0].cut()
    _, here, there = await opened(world)
    await ended_elsewhere(world)
    for _ in range(3):  # our clock goes on while the loop's timer runs
        world.clock.advance(1)
        await asyncio.sleep(0.5)
    await ended(here, there, within=10)
    await world.gateway.aclose()


async def test_what_is_late_on_its_way_is_not_waited_for() -> None:
    """The link is there and says nothing: nobody has told that it is lost, either."""
    world = World(replicas=2)
    _, here, there = await opened(world)
    world.stores[0].hold()
    await ended_elsewhere(world)
    world.clock.advance(1)
    await settle(world)
    await ended(here, there)


async def test_what_ended_between_a_lost_link_and_the_next_is_noticed() -> None:
    world = World(replicas=2)
    _, here, there = await opened(world)
    world.stores[0].cut()
    await settle(world)
    await ended_elsewhere(world)
    world.stores[0].mend()  # and nothing more happens: no time goes by
    await settle(world)
    await ended(here, there)


async def test_a_session_that_nobody_changed_is_read_but_not_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of channels are looked at every second then."""
    world = World()
    _, here, there = await opened(world)
    world.store.cut()
    await settle(world)
    opened_again: list[object] = []
    monkeypatch.setattr(KeyRing, "open_facts", lambda *asked: opened_again.append(asked))
    reads = world.store.reads
    for _ in range(10):
        world.clock.advance(1)
        await settle(world)
    assert world.store.reads == reads + 10
    assert opened_again == []
    there.text("still here")
    await here.until(lambda end: end.messages == ["still here"])


async def test_while_everything_is_told_nothing_is_read() -> None:
    world = World()
    await opened(world)
    reads = world.store.reads
    for _ in range(10):
        world.clock.advance(1)
        await settle(world)
    assert world.store.reads == reads


# -- it was told, and could not be read


class Busy(MemoryStore):
    """A store that cannot be read while `is_busy`, and tells everything."""

    is_busy = False

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        if self.is_busy:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="every connection is in use")
        return await super().read_many(lookups)


async def test_a_change_that_could_not_be_read_is_looked_at_again_within_a_second_p4() -> None:
    clock = TurnableClock()
    store = Busy(clock)
    world = World(clock=clock, store=store, replicas=2)
    _, here, there = await opened(world)
    store.is_busy = True
    token = logout_token(world.provider)
    assert (await deliver(world, token, gateway=world.gateways[1])).status == 200
    await settle(world)
    assert here.closed is None  # an outage is no verdict (D11)
    store.is_busy = False
    world.clock.advance(1)
    await settle(world)
    await ended(here, there)


# -- a provider does not answer


class Hanging:
    """A provider whose token endpoint answers nobody until it is let go."""

    def __init__(self, world: World) -> None:
        self.let_go = asyncio.Event()
        self._plain = world.provider.send
        world.provider.send = self.send  # type: ignore[method-assign]

    async def send(self, request: BackChannelRequest) -> BackChannelAnswer:
        if request.url.endswith("/token"):
            await self.let_go.wait()
        return await self._plain(request)


async def test_nobody_waits_for_a_provider_that_somebody_elses_token_is_asked_of() -> None:
    world = World(replicas=2)
    api = LiveApi(world)
    crowd = [await world.logged_in() for _ in range(70)]
    pairs = [await connected(browser, api) for browser in crowd]
    await settle(world)
    hanging = Hanging(world)
    world.clock.advance(300)  # every token has run out
    world.stores[0].linked = False  # what ends now is not told
    for browser in (crowd[0], crowd[-1]):
        await world.stores[1].end(world.lookup_of(browser), [])
    world.stores[0].mend()
    for number in (0, -1):
        await ended(*pairs[number])
    assert not hanging.let_go.is_set()
    assert all(here.closed is None for here, _ in pairs[1:-1])
    hanging.let_go.set()
    await world.gateway.live.settled()
    await settle(world)
    assert all(here.closed is None for here, _ in pairs[1:-1])


async def test_a_session_whose_token_is_being_renewed_is_not_renewed_twice() -> None:
    world = World()
    await opened(world)
    hanging = Hanging(world)
    world.clock.advance(300)
    for _ in range(3):
        world.clock.advance(20)
        world.gateway.live.changed(None)
        world.gateway.live.sweep()
        await asyncio.sleep(0.01)
    hanging.let_go.set()
    await settle(world)
    assert world.provider.seen("/token") == 2
