"""How a gateway is put together over the ports; nothing here opens or decides anything."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from starlette.types import ASGIApp

from gateway import __version__, logs
from gateway.adapters.metrics import CONTENT_TYPE, CountedAudit, Metrics, Sources
from gateway.edge.routes import RouteTable
from gateway.errors import Code
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
    RevocationQueue,
    SessionStore,
    Upstream,
)
from gateway.session.administration import Administration
from gateway.session.leftovers import Leftovers
from gateway.session.live import LiveChannels
from gateway.session.login import Login
from gateway.session.logout import Logout
from gateway.session.manager import Sessions
from gateway.session.offering import Offering
from gateway.session.own_tasks import OwnTasks
from gateway.session.provider import Provider, provider_of
from gateway.session.provider_logout import ProviderLogout
from gateway.session.refresh import Refresher
from gateway.session.revocation import Revocations
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


@dataclass(frozen=True, slots=True)
class Parts:
    """One implementation of every port."""

    store: SessionStore
    grants: GrantLock
    revocations: RevocationQueue
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
    login: Login
    own_tasks: OwnTasks
    revocations: Revocations
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
        await self.login.aclose()
        await self.own_tasks.aclose()
        await self.revocations.aclose()


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
    providers = {
        client.provider: Provider(
            client, parts.back_channel, parts.jose, parts.clock, parts.entropy
        )
        for client in settings.clients
    }
    sessions = Sessions(
        parts.store,
        ring,
        settings.session,
        parts.clock,
        parts.entropy,
        audit,
        lambda facts: provider_of(providers, facts) is not None,
    )
    revocations = Revocations(
        Offering(providers, parts.clock, audit), parts.revocations, ring, parts.clock, parts.entropy
    )
    own_tasks = OwnTasks()
    logout = Logout(providers, sessions, revocations, own_tasks)
    refresher = Refresher(
        providers,
        sessions,
        parts.grants,
        revocations.give_back,
        audit,
        parts.entropy,
        _timing(settings, timing or Timing()),
    )
    metrics.tell_of_refreshes(refresher.circuits, refresher.unwritten)
    metrics.tell_of_revocations(revocations.counts)
    leftovers = Leftovers(sessions, revocations.give_back)
    account = Account(site, sessions, refresher, logout, leftovers)
    login = Login(providers, sessions, revocations.give_back, settings.login, audit)
    live = LiveChannels(sessions, refresher)
    provider_logout = ProviderLogout(providers, sessions, own_tasks)
    calls = ProviderCalls(site, provider_logout, parts.clock)
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
    orders = Orders(Administration(sessions, audit), parts.clock, audit, own_tasks)
    access = access_of(settings)
    if announce:
        audit.record(logs.loaded(settings))

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
        login=login,
        own_tasks=own_tasks,
        revocations=revocations,
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


def _timing(settings: Settings, timing: Timing) -> Timing:
    """Have nobody wait for a provider whose answer the back channel waits for no more."""
    limits = settings.back_channel
    takes = max(limits.total_timeout, min(timing.provider_takes, limits.refresh_timeout))
    return replace(timing, provider_takes=takes)


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
