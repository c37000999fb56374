"""The whole world in one process: browsers, the gateway, a store, providers, an API, a clock.

Everything between the browser's octets and the ports is the real program, composed as in
production from a real configuration text.
"""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway import composition, config
from gateway.adapters.audit_log import StructlogAudit
from gateway.adapters.jose import JoserfcJose
from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_revocations import RedisRevocations
from gateway.ports import GrantLock, LookupId
from gateway.session.sealing import KeyRing
from gateway.session.timing import Timing
from gateway.settings import Settings
from tests.support.api import FakeApi
from tests.support.asgi import Answer, call
from tests.support.browser import Browser
from tests.support.clock import SeededEntropy, TurnableClock
from tests.support.memory_lock import MemoryLock
from tests.support.memory_revocations import MemoryRevocations
from tests.support.memory_store import MemoryStore
from tests.support.provider import FakeProvider, Providers

ORIGIN = "https://app.example"
ISSUER = "https://id.example"
SESSION = "__Host-Http-session"
LOGIN = "__Host-Http-login"

RING_KEY = "T7Xl2V0pQ9sM4bWc8ZrEYhKj3NnUaGdF1oLiCxSvBqk"
CLIENT_SECRET = "a-client-secret-of-32-characters"

BASE: dict[str, Any] = {
    "public_origin": ORIGIN,
    "store": {"url": "redis://127.0.0.1:6379/0"},
    "keys": [{"id": "k-2026", "secret": {"env": "RING_KEY"}}],
    "providers": {
        "main": {
            "issuer": ISSUER,
            "client_id": "spa",
            "client_secret": {"env": "CLIENT_SECRET"},
            "scopes": ["openid", "profile", "orders.read"],
        }
    },
    "routes": [
        {"path": "/api/", "upstream": "http://api.internal:8080/v1/", "access": "session"},
        {
            "path": "/api/admin/",
            "upstream": "http://api.internal:8080/admin/",
            "access": "session",
            "scopes": ["admin"],
            "websocket": True,
        },
        {
            "path": "/public/",
            "upstream": "http://api.internal:8080/public/",
            "access": "public",
            "token": "none",
        },
        {
            "path": "/other/",
            "upstream": "http://other.internal:9000/",
            "access": "session",
        },
        {
            "path": "/live/",
            "upstream": "http://api.internal:8080/live/",
            "access": "session",
            "websocket": True,
        },
        {
            "path": "/live/bare/",
            "upstream": "http://api.internal:8080/bare/",
            "access": "session",
            "token": "none",
            "websocket": True,
        },
        {
            "path": "/live/public/",
            "upstream": "http://api.internal:8080/public/",
            "access": "public",
            "token": "none",
            "websocket": True,
        },
        {"path": "/maybe/", "upstream": "http://api.internal:8080/maybe/", "access": "optional"},
    ],
}


def settings_of(changes: dict[str, Any] | None = None, **environ: str) -> Settings:
    """Load the base configuration with top-level keys replaced, and more secrets if need be."""
    text = yaml.safe_dump({**BASE, **(changes or {})}, sort_keys=False)
    secrets = {"RING_KEY": RING_KEY, "CLIENT_SECRET": CLIENT_SECRET, **environ}
    return config.load_text(text, Path(), secrets)


def _lock_of(store: Any) -> GrantLock:
    """The lock beside a store, on the same server."""
    return MemoryLock(store) if isinstance(store, MemoryStore) else RedisLock(store.client)


def _queue_of(store: Any, clock: TurnableClock) -> Any:
    """The queue of revocations beside a store, on the same server."""
    if isinstance(store, MemoryStore):
        return MemoryRevocations(clock, is_down=lambda: store.down)
    return RedisRevocations(store.client)


@dataclass
class World:
    """One gateway and everything around it; `gateways` are replicas on the same store."""

    settings: Settings = field(default_factory=settings_of)
    clock: TurnableClock = field(default_factory=TurnableClock)
    replicas: int = 1
    store: Any = None
    jose: Any = field(default_factory=JoserfcJose)
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        self.store = self.store or MemoryStore(self.clock)
        self.stores: list[Any] = []  # of each replica, in order
        self.revocations = _queue_of(self.store, self.clock)
        self.audit_text = io.StringIO()
        self.api = FakeApi()
        self.providers = {
            client.issuer: FakeProvider(self.clock, issuer=client.issuer)
            for client in self.settings.clients
        }
        self.provider = self.providers[self.settings.clients[0].issuer]
        self.entropy = SeededEntropy()
        self.ring = KeyRing(self.settings.keys, self.entropy)
        self.gateways = [self.replica() for _ in range(self.replicas)]
        self.gateway = self.gateways[0]
        self.home = str(self.settings.public_origin)

    def replica(self, settings: Settings | None = None, store: Any = None) -> composition.Gateway:
        """One more process on the same data, by this client of the store or a new one."""
        if store is None:
            store = self.store.another() if self.stores else self.store
        self.stores.append(store)
        parts = self.parts(store)
        return composition.compose(settings or self.settings, parts, timing=self.timing)

    def parts(self, store: Any) -> composition.Parts:
        """What a process is put together from, over this client of the store."""
        return composition.Parts(
            store=store,
            grants=_lock_of(store),
            revocations=self.revocations,
            back_channel=Providers(*self.providers.values()),
            upstream=self.api,
            jose=self.jose,
            clock=self.clock,
            entropy=self.entropy,
            audit=StructlogAudit(self.ring.audit_key, self.audit_text),
        )

    def browser(
        self, gateway: composition.Gateway | None = None, peer: str = "203.0.113.7"
    ) -> Browser:
        """A fresh browser that reaches the gateway and every provider."""
        origins: dict[str, Any] = {self.home: (gateway or self.gateway).public}
        origins |= dict(self.providers)
        return Browser(origins, self.home, peer, self.clock)

    async def logged_in(self, provider: str | None = None) -> Browser:
        """A browser that has just logged in."""
        browser = self.browser()
        query = f"?provider={provider}" if provider else ""
        await browser.navigate(f"/bff/login{query}")
        assert browser.cookies[self.settings.cookies.session_name].value
        return browser

    async def raw(
        self,
        method: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes = b"",
        *,
        peer: str = "203.0.113.7",
    ) -> Answer:
        """Exactly these octets, no browser's manners."""
        return await call(self.gateway.public, method, target, headers, body, peer=peer)

    async def admin(
        self,
        target: bytes,
        method: str = "GET",
        *fields: tuple[bytes, bytes],
        peer: str = "127.0.0.1",
    ) -> Answer:
        """What the operators' listener says."""
        sent = [(b"host", b"127.0.0.1:9090"), *fields]
        return await call(self.gateway.admin, method, target, sent, peer=peer)

    def audit_key(self, key: bytes) -> None:
        """Start over with another key for the log's pseudonyms."""
        self.ring.audit_key = key
        self.gateways = [self.replica() for _ in range(self.replicas)]
        self.gateway = self.gateways[0]

    def audit(self, event: str | None = None) -> list[dict[str, Any]]:
        """The audit lines so far, all or those of one event."""
        lines = [json.loads(line) for line in self.audit_text.getvalue().splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def issued(self) -> list[str]:
        """Every token and code any provider issued."""
        return [value for provider in self.providers.values() for value in provider.issued]

    def lookup_of(self, browser: Browser) -> LookupId:
        """Where this browser's session lies in the store."""
        handle = self.ring.read_handle(browser.cookies[SESSION].value)
        assert handle is not None
        return self.ring.lookup(handle)
