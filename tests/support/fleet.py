"""Several gateways on one real store, any of which can be killed in the middle of anything.

A killed process asks nobody and is answered by nobody from then on; what it had sent off before
may still take effect. Another one takes its place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway import app
from gateway.adapters.audit_log import StructlogAudit
from gateway.adapters.jose import JoserfcJose
from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_store import RedisStore
from gateway.oidc.back_channel import BackChannelRequest
from gateway.ports import LookupId, StoredRecord
from gateway.secret import SessionHandle
from gateway.session.sealing import KeyRing
from gateway.settings import Settings
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

    gateway: app.Gateway
    store: FaultyStore
    lock: FaultyLock
    line: Line

    @property
    def way(self) -> Way:
        return self.store.way

    @property
    def is_dead(self) -> bool:
        return self.way.dead


def _nothing(*_: object) -> None:
    return


@dataclass
class Fleet(World):
    """`store` is a client of the real one, and stays; each replica gets a client of its own."""

    address: StoreSettings | None = None
    wrote: Callable[[LookupId, StoredRecord], None] = _nothing
    reached: Callable[[BackChannelRequest, Presented | None], None] = _nothing
    members: list[Replica] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.drawn = Drawn("fleet")
        super().__post_init__()

    def replica(self, settings: Settings | None = None, store: Any = None) -> app.Gateway:
        assert self.address is not None
        own = RedisStore(self.address)
        faulty = FaultyStore(Way(), own, self.store, self.wrote)
        lock = FaultyLock(faulty.way, RedisLock(own.client), RedisLock(self.store.client))
        line = Line(Providers(*self.providers.values()), self.reached)
        parts = app.Parts(
            store=faulty,
            grants=lock,
            back_channel=line,
            upstream=self.api,
            jose=JoserfcJose(),
            clock=self.clock,
            entropy=self.drawn,
            audit=StructlogAudit(self.ring.audit_key, self.audit_text),
        )
        gateway = app.compose(settings or self.settings, parts, timing=self.timing)
        self.members.append(Replica(gateway, faulty, lock, line))
        return gateway

    def tab(self, browser: Browser, at: Replica) -> Browser:
        """The same browser, all of whose requests go to this replica."""
        tab = self.browser(at.gateway)
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
        """Close what the living hold open."""
        for member in self.members:
            await member.gateway.aclose()
            await member.store.own.aclose()
