"""What was found out about one system."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from bench.traffic import Run

Growth = list[tuple[int, float]]


@dataclass(slots=True)
class Figures:
    """A row of the result. None means: not measured, and `notes` say why.

    `core`, `idle` and `others` are shares of the system's core: used by it, by nobody, by others.
    Latencies in microseconds; `single` is the median with one connection, `cpu` per request;
    `bodies` in octets a second; memory in octets, `rest` of the worker (RSS), the others how much
    the program as a whole grows for each.
    """

    key: str
    name: str
    version: str = ""
    built: str = ""
    missing: str | None = None
    per_second: float | None = None
    rounds: list[int] = field(default_factory=list)
    cpu: float | None = None
    core: float | None = None
    idle: float | None = None
    others: float | None = None
    reads: float | None = None
    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    p999: float | None = None
    single: float | None = None
    bodies: dict[str, float | None] = field(default_factory=dict)
    rest: int | None = None
    rest_total: int | None = None
    per_session: float | None = None
    per_session_stored: float | None = None
    per_channel: dict[str, float | None] = field(default_factory=dict)
    connections: Growth = field(default_factory=list)
    sessions: Growth = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def counted(self, what: str, runs: Sequence[Run]) -> list[Run]:
        """Return the runs that count; say why the others do not."""
        faults = [run.fault for run in runs if run.fault]
        if faults:
            self.notes.append(
                f"{what}: {len(faults)} of {len(runs)} runs do not count: {faults[0]}"
            )
        return [run for run in runs if not run.fault]

    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


def from_document(document: dict[str, object]) -> Figures:
    """Return what `document` wrote."""
    return Figures(**document)  # type: ignore[arg-type]  # our own file, by our own names
