"""The supervisor: it serves no browser, and everything that does is its child.

SIGTERM and SIGINT: not ready from now on; after `listen.drain_delay` the workers finish what they
have begun, then the embedded store stops. A second one: at once. SIGHUP: see `reloading`.
"""

import asyncio
import logging
import signal
import socket
from contextlib import AsyncExitStack, suppress

from gateway import __version__, app, logs, server
from gateway.adapters.log_writer import LogWriter
from gateway.adapters.metrics import CONTENT_TYPE, CountedAudit, SupervisorMetrics
from gateway.adapters.redis_client import StoreSettings
from gateway.errors import Code, Misconfigured, Unavailable
from gateway.ports import AuditEvent, AuditName, Caller, Outcome
from gateway.server.sockets import bind, bind_for
from gateway.settings import Settings
from gateway.web.admin import Admin
from gateway.web.administration import Access, AdminDesk
from gateway.workers.crew import Generation
from gateway.workers.forwarding import Forwarding
from gateway.workers.oversight import Oversight, State, health
from gateway.workers.recruiting import Recruiter, seats_for
from gateway.workers.reloading import Reloading, Source
from gateway.workers.succession import Succession
from gateway.workers.watch import Watch

_log = logging.getLogger("gateway.workers")


def start(settings: Settings, source: Source) -> int:
    """Serve until told to stop; return the process's exit code.

    Raises `OSError` for a port that cannot be had, and `Misconfigured` when nothing could start.
    """
    lines = logs.begin(settings)
    lines.rest_at_forks()
    try:
        listen = settings.listen
        public = bind_for(seats_for(settings), listen.host, listen.port)
        admin = bind(settings.admin.host, settings.admin.port)
        # asyncio's own loop: a process that runs it can be forked, one that runs uvloop cannot.
        with asyncio.Runner() as runner:
            return runner.run(Supervisor(settings, source, Recruiter(public), lines).run(admin))
    finally:
        lines.stop(logs.LAST_LINES)


class Supervisor:
    """The process that owns the sockets, the embedded store and the workers."""

    def __init__(
        self, settings: Settings, source: Source, recruiter: Recruiter, lines: LogWriter
    ) -> None:
        """`settings` are those of the start: its sockets and its embedded store stay."""
        self._settings = settings
        self._recruiter = recruiter
        self._lines = lines
        self._metrics = SupervisorMetrics(lines.lost)
        self._succession = Succession(recruiter.hire, self._metrics.restarts.inc)
        self._reloading = Reloading(
            settings,
            source,
            recruiter,
            self._succession,
            self._metrics,
            lambda generation: self._put_in_force(generation, by="reload"),
        )
        self._starting: asyncio.Task[object] | None = None  # what a signal interrupts
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self, admin: socket.socket) -> int:
        """Start, serve and stop; return the exit code."""
        self._starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        try:
            async with AsyncExitStack() as stack:
                store = await stack.enter_async_context(app.store_of(self._settings))
                stack.push_async_callback(self._succession.end)
                overseeing = asyncio.create_task(self._oversee(admin))
                stack.callback(overseeing.cancel)
                await self._serve(store)
                await self._wind_down()
        except asyncio.CancelledError:
            if not self._stop.is_set():
                raise  # not by a signal
        return 1 if self._at_once.is_set() else 0

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()
        if self._starting is not None:
            self._starting.cancel()

    async def _serve(self, store: StoreSettings) -> None:
        """Start, then serve until told to stop, which may be before everything has started."""
        self._starting = asyncio.create_task(self._begin(store))
        await asyncio.wait({self._starting})
        if self._stop.is_set():
            return
        self._starting.result()
        replaced = self._metrics.silences.labels("replaced").inc
        watch = Watch(lambda: self._succession.living, replaced)
        beside = {
            asyncio.create_task(self._reload_when_told()),
            asyncio.create_task(watch.run()),
        }
        await self._stop.wait()
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)

    async def _begin(self, store: StoreSettings) -> None:
        seats = seats_for(self._settings)
        generation = self._succession.prepare(self._settings, store, seats=seats)
        failures = await generation.begin()
        if len(failures) == generation.seats:
            raise Misconfigured([f"no worker could start: {failures[0]}"])
        for why in failures:
            _log.error("a worker did not start: %s", why)
        self._put_in_force(generation, by="start")
        await app.greet(self._settings, self._ping)

    def _put_in_force(self, generation: Generation, by: str) -> None:
        self._succession.current = generation
        settings = generation.settings
        logs.adjust(settings, self._lines)
        self._audit(settings).record(logs.loaded(settings, by, generation.number))
        _log.info("generation %d serves with %d workers", generation.number, generation.seats)

    def _audit(self, settings: Settings) -> CountedAudit:
        stream = self._lines.stream(audit=True)
        return CountedAudit(logs.audit_log(settings, stream), self._metrics)

    async def _ping(self) -> None:
        current = self._succession.current
        if current and await health(current.serving()):
            raise Unavailable(Code.STORE_UNAVAILABLE)

    async def _oversee(self, admin: socket.socket) -> None:
        oversight = Oversight(self._state, self._metrics)
        audit = self._audit(self._settings)
        desk = AdminDesk(
            self._access, Forwarding(self._state).carry_out, lambda: self._audit(self._in_force())
        )
        application = Admin(
            oversight.readiness,
            oversight.metrics,
            CONTENT_TYPE,
            __version__,
            desk,
            loopback_only=self._settings.admin.is_loopback,
        )

        def refused(code: Code, peer: str) -> None:
            caller = Caller(address=peer)
            event = AuditEvent(AuditName.REQUEST_REFUSED, Outcome.REFUSED, code, caller=caller)
            audit.record(event)

        await server.serve(
            [server.Listener(application, [admin])],
            limits=self._settings.limits,
            refused=refused,
            departure=server.Departure(),  # it answers to the last, and ends with the process
        )

    def _in_force(self) -> Settings:
        current = self._succession.current
        return current.settings if current else self._settings

    def _access(self) -> Access:
        """Whoever knows the token of now may administrate at the listener of the start."""
        return Access(self._in_force().admin.token, self._settings.admin.is_loopback)

    def _state(self) -> State:
        return State(
            self._succession.current, self._succession.living, stopping=self._stop.is_set()
        )

    async def _reload_when_told(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._reloading.reload()

    async def _wind_down(self) -> None:
        """Finish, for as long as the grace allows and nobody insists."""
        current = self._succession.current
        delay = current.settings.listen.drain_delay if current else 0.0
        _log.info("stopping: not ready from now on; in %g s connections are refused", delay)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._at_once.wait()
        self._recruiter.close()
        await self._succession.wind_down(self._at_once)
