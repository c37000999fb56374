"""All workers as one: what the supervisor's admin listener says of them."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gateway.adapters.metrics import SupervisorMetrics
from gateway.web.admin import Readiness
from gateway.workers.crew import Generation
from gateway.workers.exposition import merged
from gateway.workers.worker import Worker

_METRICS_WITHIN = 0.5  # seconds for a worker's metrics
_HEALTH_WITHIN = 0.9  # seconds; who probes has rarely more patience than one


@dataclass(frozen=True, slots=True)
class State:
    """What the supervisor is doing: the generation in force, and all that live."""

    current: Generation | None
    generations: Collection[Generation]
    stopping: bool


class Oversight:
    """Readiness and metrics of the gateway as a whole."""

    def __init__(self, state: Callable[[], State], metrics: SupervisorMetrics) -> None:
        self._state = state
        self._metrics = metrics

    async def readiness(self) -> Readiness:
        """Ready is who has a worker that serves and a store that answers."""
        state = self._state()
        members = _described(state)
        if state.stopping:
            return Readiness(ready=False, status="stopping", members=members)
        why = await health(state.current.serving() if state.current else [])
        if why:
            return Readiness(ready=False, status="unready", members={"reasons": [why], **members})
        return Readiness(ready=True, status="ready", members=members)

    async def metrics(self) -> bytes:
        """Return the metrics of every worker that says them in time, and the supervisor's own."""
        state = self._state()
        workers = sorted(_all(state), key=lambda worker: worker.number)
        answers = await asyncio.gather(
            *(worker.ask("metrics", _METRICS_WITHIN) for worker in workers)
        )
        told = {
            worker.number: text
            for worker, text in zip(workers, answers, strict=True)
            if text is not None
        }
        self._metrics.silences.labels("left_out").inc(len(workers) - len(told))
        self._metrics.workers.set(len(state.current.serving()) if state.current else 0)
        return merged(self._metrics.text().decode(), told).encode()


async def health(workers: Collection[Worker], within: float = _HEALTH_WITHIN) -> str:
    """Return "" when one of the workers can serve sessions, else what is in the way.

    A worker that says nothing within so many seconds counts as one that cannot.
    """
    why = "workers.none_ready"
    questions = [worker.ask("health", within) for worker in workers]
    for question in asyncio.as_completed(questions):
        answer = await question
        if answer == "":
            return ""
        why = "workers.silent" if answer is None else answer
    return why


def _all(state: State) -> list[Worker]:
    return [
        worker
        for generation in state.generations
        for worker in generation.workers
        if worker.has_started
    ]


def _described(state: State) -> dict[str, object]:
    current = state.current
    listed = sorted(
        (worker.number, worker.pid, generation.number, worker.state)
        for generation in state.generations
        for worker in generation.workers
    )
    names = ("worker", "process", "generation", "state")
    return {
        "generation": current.number if current else 0,
        "workers": [dict(zip(names, one, strict=True)) for one in listed],
        "protections_switched_off": list(current.settings.dangers) if current else [],
    }
