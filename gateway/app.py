"""Settings in, a running gateway out: the real parts are opened, served, and closed again."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from gateway import logs, server
from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.adapters.jose import JoserfcJose
from gateway.adapters.log_writer import LogWriter
from gateway.adapters.metrics import Sources
from gateway.adapters.provider_http import ProviderHttp
from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_eviction import advise
from gateway.adapters.redis_lock import RedisLock
from gateway.adapters.redis_revocations import RedisRevocations
from gateway.adapters.redis_store import RedisStore
from gateway.adapters.system import SystemClock, SystemEntropy
from gateway.composition import Gateway, Parts, compose
from gateway.edge.routes import ToUpstream
from gateway.errors import Unavailable
from gateway.settings import Settings

_log = logging.getLogger("gateway")

_THE_FIRST = 0  # of the workers; one line is enough


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
            revocations=RedisRevocations(store.client),
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
        gateway.revocations.start()
        if worker in (None, _THE_FIRST):
            await advise(store.client)
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
