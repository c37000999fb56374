"""The supervisor: it serves no browser, and everything that does is its child.

SIGTERM and SIGINT: not ready from now on; after `listen.drain_delay` the workers finish what they
have begun, then the embedded store stops. A second one: at once. SIGHUP: the configuration is read
anew; if it is fine, new workers start with it, and the old ones finish.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway import __version__, app, logs, server
from gateway.adapters.log_writer import LogWriter
from gateway.adapters.metrics import CONTENT_TYPE, CountedAudit, SupervisorMetrics
from gateway.adapters.redis_store import StoreSettings
from gateway.errors import Code, Misconfigured, Unavailable
from gateway.ports import AuditEvent, AuditName, Caller, Outcome
from gateway.server.sockets import bind, bind_for
from gateway.settings import Settings
from gateway.web.admin import Admin
from gateway.workers.crew import Generation
from gateway.workers.decisions import is_same_embedded_store, kept_until_restart
from gateway.workers.oversight import Oversight, State, health
from gateway.workers.reading import read_again
from gateway.workers.recruiting import Recruiter, seats_for

_log = logging.getLogger("gateway.workers")

_STORE_WITHIN = 10.0  # seconds for a new generation's store to answer
_MARGIN = 5.0  # seconds beyond the grace, until a worker that does not end is ended


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration comes from, at the start and at every reload."""

    file: Path
    environ: Mapping[str, str]


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
        self._source = source
        self._recruiter = recruiter
        self._lines = lines
        self._metrics = SupervisorMetrics(lines.lost)
        self._generations: set[Generation] = set()
        self._current: Generation | None = None
        self._starting: asyncio.Task[object] | None = None  # what a signal interrupts
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._reload = asyncio.Event()
        self._farewells: set[asyncio.Task[None]] = set()

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
                stack.push_async_callback(self._end_everything)
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
        reloading = asyncio.create_task(self._reload_when_told())
        await self._stop.wait()
        reloading.cancel()
        await asyncio.wait({reloading})

    async def _begin(self, store: StoreSettings) -> None:
        generation = self._generation(self._settings, store)
        failures = await generation.begin()
        if len(failures) == generation.seats:
            raise Misconfigured([f"no worker could start: {failures[0]}"])
        for why in failures:
            _log.error("a worker did not start: %s", why)
        self._put_in_force(generation, by="start")
        await app.greet(self._settings, self._ping)

    def _generation(self, settings: Settings, store: StoreSettings) -> Generation:
        generation = Generation(
            self._current.number + 1 if self._current else 1,
            settings,
            store,
            self._recruiter.hire,
            self._metrics.restarts.inc,
            seats=seats_for(settings),
        )
        self._generations.add(generation)
        return generation

    def _put_in_force(self, generation: Generation, by: str) -> None:
        self._current = generation
        settings = generation.settings
        logs.adjust(settings, self._lines)
        self._audit(settings).record(app.loaded(settings, by, generation.number))
        _log.info("generation %d serves with %d workers", generation.number, generation.seats)

    def _audit(self, settings: Settings) -> CountedAudit:
        stream = self._lines.stream(audit=True)
        return CountedAudit(logs.audit_log(settings, stream), self._metrics)

    async def _ping(self) -> None:
        if self._current and await health(self._current.serving()):
            raise Unavailable(Code.STORE_UNAVAILABLE)

    async def _oversee(self, admin: socket.socket) -> None:
        oversight = Oversight(self._state, self._metrics)
        application = Admin(
            oversight.readiness,
            oversight.metrics,
            CONTENT_TYPE,
            __version__,
            loopback_only=self._settings.admin.is_loopback,
        )
        audit = self._audit(self._settings)

        def refused(code: Code, peer: str) -> None:
            caller = Caller(address=peer)
            event = AuditEvent(AuditName.REQUEST_REFUSED, Outcome.REFUSED, code, caller=caller)
            audit.record(event)

        await server.serve(
            [server.Listener(application, [admin])],
            limits=self._settings.limits,
            refused=refused,
            until=asyncio.Event(),  # it answers to the last, and ends with the process
        )

    def _state(self) -> State:
        return State(self._current, self._generations, stopping=self._stop.is_set())

    async def _reload_when_told(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            _log.info("reloading the configuration from %s", self._source.file)
            outcome = "failed"
            try:
                outcome = await self._reload_from_source()
            except (Misconfigured, OSError) as failure:
                _log.error("reload failed, nothing has changed: %s", failure)
            except Exception:  # noqa: BLE001  a bug, and whoever serves goes on
                _log.exception("reload failed, nothing has changed")
            self._metrics.reloads.labels(outcome).inc()

    async def _reload_from_source(self) -> str:
        reading = await read_again(self._source.file, self._source.environ)
        for level, line in reading.findings:
            _log.log(logging.getLevelNamesMapping()[level.upper()], "configuration: %s", line)
        if reading.settings is None:
            _log.error("reload refused: the configuration has errors, and nothing has changed")
            return "refused"
        return await self._change_to(reading.settings)

    async def _change_to(self, settings: Settings) -> str:
        old = self._current
        if old is None:
            return "failed"
        for key in kept_until_restart(self._settings, settings):
            _log.warning("%s has changed; that takes effect after a restart only", key)
        self._recruiter.make_room(seats_for(settings))
        generation = self._generation(settings, self._store_after(old, settings))
        try:
            failures = await generation.begin()
            if not failures and await health(generation.serving(), _STORE_WITHIN):
                # A wrong address must not take the place of a right one; an outage may.
                if not await health(old.serving(), _STORE_WITHIN):
                    failures = ["the store does not answer under the new configuration"]
        except BaseException:
            self._dismiss(generation)
            raise
        if failures:
            _log.error("reload failed, nothing has changed: %s", failures[0])
            self._dismiss(generation)
            return "failed"
        self._put_in_force(generation, by="reload")
        self._say_farewell(old)
        return "loaded"

    def _store_after(self, old: Generation, settings: Settings) -> StoreSettings:
        if not is_same_embedded_store(self._settings, settings):
            return old.store
        if settings.embedded_store is None:
            return settings.store
        return settings.embedded_store.at(old.store.url)  # where it is, it stays

    def _dismiss(self, generation: Generation) -> None:
        generation.kill()
        self._say_farewell(generation)

    def _say_farewell(self, generation: Generation) -> None:
        generation.drain()
        farewell = asyncio.create_task(self._until_gone(generation))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def _until_gone(self, generation: Generation) -> None:
        grace = generation.settings.limits.shutdown_grace + _MARGIN
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await generation.gone()
        generation.kill()
        await generation.gone()
        self._generations.discard(generation)

    async def _wind_down(self) -> None:
        """Finish, for as long as the grace allows and nobody insists."""
        delay = self._current.settings.listen.drain_delay if self._current else 0.0
        _log.info("stopping: not ready from now on; in %g s connections are refused", delay)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._at_once.wait()
        self._recruiter.close()
        for generation in list(self._generations):
            self._say_farewell(generation)
        insisting = asyncio.create_task(self._at_once.wait())
        while self._farewells and not insisting.done():
            await asyncio.wait({insisting, *self._farewells}, return_when=asyncio.FIRST_COMPLETED)
        insisting.cancel()

    async def _end_everything(self) -> None:
        for generation in list(self._generations):
            generation.kill()
            await generation.gone()
