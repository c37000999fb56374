"""SIGHUP: the configuration is read anew, and a generation with it takes the place of the old."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.metrics import SupervisorMetrics
from gateway.adapters.redis_client import StoreSettings
from gateway.errors import Misconfigured
from gateway.settings import Settings
from gateway.workers.crew import Generation
from gateway.workers.decisions import (
    can_end_sessions_of,
    is_same_embedded_store,
    kept_until_restart,
)
from gateway.workers.oversight import health
from gateway.workers.reading import read_again
from gateway.workers.recruiting import Recruiter, seats_for
from gateway.workers.succession import Succession

_log = logging.getLogger("gateway.workers")

_STORE_WITHIN = 10.0  # seconds for a new generation's store to answer


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration comes from, at the start and at every reload."""

    file: Path
    environ: Mapping[str, str]


class Reloading:
    """Changes the configuration, or leaves everything as it is."""

    def __init__(
        self,
        first: Settings,
        source: Source,
        recruiter: Recruiter,
        succession: Succession,
        metrics: SupervisorMetrics,
        put_in_force: Callable[[Generation], None],
    ) -> None:
        """`first` are the settings of the start: its sockets and its embedded store stay."""
        self._first = first
        self._source = source
        self._recruiter = recruiter
        self._succession = succession
        self._metrics = metrics
        self._put_in_force = put_in_force

    async def reload(self) -> None:
        """Reload, and count what came of it. Never raises."""
        await self._succession.room()
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
        old = self._succession.current
        if old is None:
            return "failed"
        for key in kept_until_restart(self._first, settings):
            _log.warning("%s has changed; that takes effect after a restart only", key)
        seats = seats_for(settings)
        self._recruiter.make_room(seats)
        store = self._store_after(old, settings)
        generation = self._succession.prepare(settings, store, seats=seats)
        try:
            failures = await generation.begin()
            if not failures and await health(generation.serving(), _STORE_WITHIN):
                # A wrong address must not take the place of a right one; an outage may.
                if not await health(old.serving(), _STORE_WITHIN):
                    failures = ["the store does not answer under the new configuration"]
        except BaseException:
            self._succession.dismiss(generation)
            raise
        if failures:
            _log.error("reload failed, nothing has changed: %s", failures[0])
            self._succession.dismiss(generation)
            return "failed"
        self._put_in_force(generation)
        leisure = settings.limits.reload_grace
        if not can_end_sessions_of(old.settings, old.store, settings, store):
            _log.warning(
                "another store, origin or cookie, or a key or a provider is gone: "
                "channels of the old workers end now"
            )
            leisure = 0.0
        self._succession.retire(old, leisure)
        return "loaded"

    def _store_after(self, old: Generation, settings: Settings) -> StoreSettings:
        if not is_same_embedded_store(self._first, settings):
            return old.store
        if settings.embedded_store is None:
            return settings.store
        return settings.embedded_store.at(old.store.url)  # where it is, it stays
