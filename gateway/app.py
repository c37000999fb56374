"""The composition root: settings in, a running gateway out. Nothing here decides anything."""

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.types import ASGIApp

from gateway import __version__, logs, server
from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.adapters.jose import JoserfcJose
from gateway.adapters.log_writer import LogWriter
from gateway.adapters.metrics import CONTENT_TYPE, CountedAudit, Metrics, Sources
from gateway.adapters.provider_http import ProviderHttp
from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_store import RedisStore
from gateway.adapters.system import SystemClock, SystemEntropy
from gateway.edge.routes import RouteTable, ToUpstream
from gateway.errors import Code, Unavailable
from gateway.ports import (
    AuditEvent,
    AuditLog,
    AuditName,
    BackChannel,
    Caller,
    Clock,
    Entropy,
    GrantLock,
    Jose,
    Outcome,
    SessionStore,
    Upstream,
)
from gateway.session.administration import Administration
from gateway.session.leftovers import Leftovers
from gateway.session.live import LiveChannels
from gateway.session.login import Login
from gateway.session.logout import Logout
from gateway.session.manager import Sessions
from gateway.session.provider import Provider
from gateway.session.provider_logout import ProviderLogout
from gateway.session.refresh import Refresher
from gateway.session.sealing import KeyRing
from gateway.session.timing import Timing
from gateway.settings import Settings
from gateway.web.account import Account
from gateway.web.admin import Admin, readiness
from gateway.web.administration import Access, AdminDesk, CarryOut, Orders
from gateway.web.endpoints import Endpoints
from gateway.web.event_stream import EventStreams
from gateway.web.incidents import Incidents
from gateway.web.open_channels import OpenChannels
from gateway.web.passing_on import PassingOn
from gateway.web.pipeline import Pipeline
from gateway.web.provider_logout import ProviderCalls
from gateway.web.relay import Relay
from gateway.web.request_ids import RequestIds
from gateway.web.signing_in import SigningIn
from gateway.web.site import BASE, Site
from gateway.web.static import StaticFiles
from gateway.web.websocket import WebSockets

_log = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Parts:
    """One implementation of every port."""

    store: SessionStore
    grants: GrantLock
    back_channel: BackChannel
    upstream: Upstream
    jose: Jose
    clock: Clock
    entropy: Entropy
    audit: AuditLog


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway put together: two applications and what to wait for when it stops."""

    public: ASGIApp
    admin: ASGIApp
    refresher: Refresher
    logout: Logout
    leftovers: Leftovers
    providers: Mapping[str, Provider]
    audit: AuditLog
    endpoints: Endpoints
    live: LiveChannels
    channels: OpenChannels
    ping: Callable[[], Awaitable[None]]
    exposition: Callable[[], bytes]
    carry_out: CarryOut

    def refused(self, code: Code, peer: str) -> None:
        """Record what the server refused before it was a request."""
        caller = Caller(address=peer)
        self.audit.record(
            AuditEvent(AuditName.REQUEST_REFUSED, Outcome.REFUSED, code, caller=caller)
        )

    async def aclose(self) -> None:
        """Close what is open; let grants and revocations under way reach their end."""
        await self.channels.aclose()
        await self.live.aclose()
        await self.refresher.aclose()
        await self.logout.aclose()
        await self.leftovers.aclose()


def compose(
    settings: Settings,
    parts: Parts,
    sources: Sources | None = None,
    *,
    announce: bool = True,
    timing: Timing | None = None,
) -> Gateway:
    """Put the gateway together over these parts; `sources` are what adapters count for the metrics.

    `announce` writes into the audit log that the configuration is in force. Tests have a `timing`
    of their own.
    """
    channels = OpenChannels()
    sources = replace(sources or Sources(), channels=channels.count)
    metrics = Metrics(__version__, settings.dangers, sources)
    audit = CountedAudit(parts.audit, metrics)
    site = _site(settings)
    routes = RouteTable(settings.routes, base=BASE)
    ring = KeyRing(settings.keys, parts.entropy)
    sessions = Sessions(parts.store, ring, settings.session, parts.clock, parts.entropy, audit)
    providers = {
        client.provider: Provider(
            client, parts.back_channel, parts.jose, parts.clock, parts.entropy
        )
        for client in settings.clients
    }
    logout = Logout(providers, sessions, audit)
    refresher = Refresher(
        providers, sessions, parts.grants, logout.give_back, audit, parts.entropy, timing
    )
    metrics.tell_of_refreshes(refresher.circuits, refresher.unwritten)
    leftovers = Leftovers(sessions, logout.give_back)
    account = Account(site, sessions, refresher, logout, leftovers)
    login = Login(providers, sessions, logout.give_back, settings.login, audit)
    live = LiveChannels(sessions, refresher)
    calls = ProviderCalls(site, ProviderLogout(providers, sessions), parts.clock)
    endpoints = Endpoints(SigningIn(site, routes, login, sessions), account, calls)
    pipeline = Pipeline(
        site=site,
        routes=routes,
        passing_on=PassingOn(site, routes, sessions, refresher),
        upstream=parts.upstream,
        endpoints=endpoints,
        account=account,
        static=StaticFiles(site, settings.routes),
        websockets=WebSockets(
            live, channels, parts.entropy, max_message=settings.limits.max_message_bytes
        ),
        event_streams=EventStreams(live, channels),
        audit=audit,
        incidents=Incidents(parts.clock, metrics.outage),
        fresh_id=RequestIds(parts.entropy),
    )
    orders = Orders(Administration(sessions, audit), parts.clock, audit)
    access = access_of(settings)
    if announce:
        audit.record(loaded(settings))

    async def exposition() -> bytes:
        return metrics.text()

    return Gateway(
        public=Relay(
            pipeline,
            metrics.observe,
            secure=settings.public_origin.is_secure,
            max_body=settings.limits.max_body_bytes,
        ),
        admin=Admin(
            functools.partial(readiness, parts.store.ping, settings.dangers),
            exposition,
            CONTENT_TYPE,
            __version__,
            AdminDesk(lambda: access, orders.carry_out, lambda: audit),
            loopback_only=settings.admin.is_loopback,
        ),
        refresher=refresher,
        logout=logout,
        leftovers=leftovers,
        providers=providers,
        audit=audit,
        endpoints=endpoints,
        live=live,
        channels=channels,
        ping=parts.store.ping,
        exposition=metrics.text,
        carry_out=orders.carry_out,
    )


def access_of(settings: Settings) -> Access:
    """Return who may administrate."""
    return Access(settings.admin.token, settings.admin.is_loopback)


def _site(settings: Settings) -> Site:
    return Site(
        origin=settings.public_origin,
        accepted_hosts=settings.listen.accepted_hosts,
        cookies=settings.cookies,
        forwarded=settings.forwarded,
        # As long as a session may live: by this cookie a new login finds the browser's older one.
        login_cookie_age=int(settings.session.absolute_timeout + settings.login.attempt_ttl),
        errors_to=settings.errors_to,
    )


def loaded(settings: Settings, by: str = "", generation: int = 1) -> AuditEvent:
    """Return the event that says which configuration is in force, and what brought it there."""
    names = ", ".join(client.provider for client in settings.clients)
    keys = ", ".join(key.key_id for key in settings.keys)
    dangers = ", ".join(settings.dangers) or "none"
    note = f"providers: {names}; keys: {keys}; protections switched off: {dangers}"
    if by:
        note = f"generation {generation}; {note}"
    return AuditEvent(AuditName.CONFIGURATION_LOADED, Outcome.SUCCESS, by=by, note=note)


@asynccontextmanager
async def store_of(settings: Settings) -> AsyncGenerator[StoreSettings]:
    """Say where the store is; the embedded one runs for as long as this is open."""
    if settings.embedded_store is None:
        yield settings.store
        return
    from gateway.adapters.embedded_redis import EmbeddedValkey  # noqa: PLC0415  who has it, pays

    valkey = EmbeddedValkey(Path(settings.embedded_store.directory))
    await valkey.start()
    try:
        yield settings.embedded_store.at(valkey.url)
    finally:
        await valkey.stop()


@asynccontextmanager
async def opened(
    settings: Settings,
    store_settings: StoreSettings,
    lines: LogWriter,
    worker: int | None = None,
    *,
    announce: bool = True,
) -> AsyncGenerator[Gateway]:
    """Open the real parts, put the gateway together, and close everything again."""
    async with AsyncExitStack() as stack:
        store = RedisStore(store_settings)
        stack.push_async_callback(store.aclose)
        back_channel = ProviderHttp(settings.back_channel)
        stack.push_async_callback(back_channel.aclose)
        upstream = Http1Upstream(
            route.to.group for route in settings.routes if isinstance(route.to, ToUpstream)
        )
        stack.push_async_callback(upstream.aclose)
        parts = Parts(
            store=store,
            grants=RedisLock(store.client),
            back_channel=back_channel,
            upstream=upstream,
            jose=JoserfcJose(),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            audit=logs.audit_log(settings, lines.stream(audit=True), worker),
        )
        sources = Sources(pools=upstream.states, lost=lines.lost)
        gateway = compose(settings, parts, sources, announce=announce)
        stack.push_async_callback(gateway.aclose)
        yield gateway


async def run(settings: Settings, lines: LogWriter, *more: server.Listener) -> None:
    """Serve in this process until told to stop; `more` are further listeners (development)."""
    public = server.bind(settings.listen.host, settings.listen.port)
    admin = server.bind(settings.admin.host, settings.admin.port)
    async with store_of(settings) as store, opened(settings, store, lines) as gateway:
        await greet(settings, gateway.ping)
        await server.serve(
            [
                server.Listener(gateway.public, [public], lasting=gateway.channels),
                server.Listener(gateway.admin, [admin]),
                *more,
            ],
            limits=settings.limits,
            refused=gateway.refused,
        )


async def greet(settings: Settings, ping: Callable[[], Awaitable[None]]) -> None:
    """Write down where the gateway listens, and whether the store answers."""
    listen, admin = settings.listen, settings.admin
    _log.info(
        "listening on %s:%d for %s; health and metrics on %s:%d",
        listen.host,
        listen.port,
        settings.public_origin,
        admin.host,
        admin.port,
    )
    try:
        await ping()
    except Unavailable:
        _log.warning("the store does not answer yet; until it does, sessions are answered 503")


def start(settings: Settings, *more: server.Listener) -> None:
    """Run the event loop for `run`."""
    lines = logs.begin(settings)
    try:
        with asyncio.Runner(loop_factory=server.loop_factory()) as runner:
            runner.run(run(settings, lines, *more))
    finally:
        lines.stop(logs.LAST_LINES)
