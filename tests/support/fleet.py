"""Several gateways on one real store, any of which can be killed in the middle of anything.

A killed process asks nobody and is answered by nobody from then on; what it had sent off before
may still take effect. Another one takes its place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import composition
from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_store import RedisStore
from gateway.edge.messages import Body, UpstreamRequest
from gateway.oidc.back_channel import BackChannelRequest
from gateway.ports import LookupId, StoredRecord, UpstreamAnswer
from gateway.secret import SessionHandle, StoreUrl
from gateway.session.sealing import KeyRing
from gateway.settings import Settings
from tests.support.api import FakeApi
from tests.support.browser import Browser
from tests.support.clock import SeededEntropy
from tests.support.faulty_lock import FaultyLock
from tests.support.faulty_store import FaultyStore, Way
from tests.support.held_line import Line, Presented
from tests.support.provider import Providers
from tests.support.world import World

_HANDLE_OCTETS = 32


class Drawn(SeededEntropy):
    """Randomness that can be looked up: whose handle leads to which record."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.handles: dict[LookupId, SessionHandle] = {}

    def octets(self, count: int) -> bytes:
        drawn = super().octets(count)
        if count == _HANDLE_OCTETS:
            handle = SessionHandle(drawn)
            self.handles[KeyRing.lookup(handle)] = handle
        return drawn


@dataclass(eq=False)
class Replica:
    """One process of the fleet, and what can be done to it."""

    gateway: composition.Gateway
    store: FaultyStore
    lock: FaultyLock
    line: Line

    @property
    def way(self) -> Way:
        return self.store.way

    @property
    def is_dead(self) -> bool:
        return self.way.dead


class WatchfulApi(FakeApi):
    """The API; `look` sees every request that reaches it."""

    look: Callable[[UpstreamRequest], None]

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        self.look(request)
        return await super().send(request, body)


def _nothing(*_: object) -> None:
    return


@dataclass
class Fleet(World):
    """`store` is a client of the real one, and stays; each replica gets a client of its own."""

    address: StoreSettings = field(
        default_factory=lambda: StoreSettings(StoreUrl("redis://127.0.0.1"))
    )
    wrote: Callable[[LookupId, StoredRecord], None] = _nothing
    reached: Callable[[BackChannelRequest, Presented | None], None] = _nothing
    members: list[Replica] = field(default_factory=list)
    made: tuple[FaultyStore, FaultyLock, Line] = field(init=False)  # for the newest replica

    def __post_init__(self) -> None:
        self.drawn = Drawn("fleet")
        self.watchful = WatchfulApi()
        super().__post_init__()

    def replica(self, settings: Settings | None = None, store: Any = None) -> composition.Gateway:
        gateway = super().replica(settings, store or RedisStore(self.address))
        store, lock, line = self.made
        self.members.append(Replica(gateway, store, lock, line))
        return gateway

    def parts(self, store: Any) -> composition.Parts:
        way = Way()
        faulty = FaultyStore(way, store, self.store, self._noted)
        lock = FaultyLock(way, RedisLock(store.client), RedisLock(self.store.client))
        line = Line(Providers(*self.providers.values()), self.reached)
        self.made = faulty, lock, line
        real = super().parts(store)
        return replace(
            real,
            store=faulty,
            grants=lock,
            back_channel=line,
            upstream=self.watchful,
            entropy=self.drawn,
        )

    def _noted(self, lookup: LookupId, record: StoredRecord) -> None:
        self.wrote(lookup, record)

    def tab(self, browser: Browser, at: Replica, person: tuple[str, str]) -> Browser:
        """The same browser, all of whose requests go to this replica.

        Whenever the provider is asked, it finds this person: subject and provider session.
        """

        async def authorize(scope: Any, receive: Any, send: Any) -> None:
            self.provider.subject, self.provider.sid = person
            await self.provider(scope, receive, send)

        tab = self.browser(at.gateway)
        tab.origins = {**tab.origins, self.provider.issuer: authorize}
        tab.cookies = browser.cookies
        return tab

    async def kill(self, place: int) -> None:
        """Let a replica die where it stands, and start another in its place."""
        killed = self.members[place]
        killed.way.dead = killed.line.dead = True
        await killed.store.own.aclose()
        self.replica()
        self.members[place] = self.members.pop()

    async def aclose(self) -> None:
        """Close the ways to the store; what the gateways still do, they do for nobody."""
        for member in self.members:
            await member.store.own.aclose()
