"""Sending requests with the load generator of `bench/load`, and what came of it."""

import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.plan import SESSIONS
from bench.programs import OTHER_CORES, BenchError, Program, idle_time
from bench.systems.system import Place, System
from bench.world import LOAD, World

_GRACE = 30.0  # seconds a run may take longer than it should


@dataclass(slots=True)
class Subject:
    """A row of the table: a running system, by one of its routes, with sessions of its own.

    `program` is None for the API itself, asked without anything in between.
    """

    key: str
    name: str
    system: System | None
    place: Place
    program: Program | None
    prefix: str = "/api"
    cookies: list[str] = field(default_factory=list)
    bearer: str = ""
    numbered: str = ""  # what differs in every request, and in every answer: `field`, `target`


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer that every request has to get: `block` over and over, `size` octets."""

    path: str
    block: str
    size: int


@dataclass(frozen=True, slots=True)
class Load:
    """How to ask. A `rate` makes it an open loop: requests a second, whatever comes back."""

    connections: int
    seconds: float
    warm_up: float
    rate: float = 0.0
    sessions: int = SESSIONS


@dataclass(frozen=True, slots=True)
class Run:
    """What one run showed. `fault` says why it does not count; None when it does.

    Latencies in microseconds, `cpu` in microseconds of the system's processes per request, `core`
    the share of its core they used, `idle` the share nobody used, `others` the rest, `reads` keys
    looked up in Redis per request.
    """

    per_second: float
    octets_per_second: float
    p50: float
    p99: float
    p999: float
    cpu: float
    core: float
    idle: float
    reads: float
    fault: str | None

    @property
    def others(self) -> float:
        """The share of the system's core that somebody else used: a disturbed run."""
        return max(1 - self.core - self.idle, 0)


def orders(world: World) -> Wanted:
    """Return the small document."""
    return Wanted("/orders", world.small, len(world.small))


def bodies(world: World) -> dict[str, Wanted]:
    """Return the larger ones, by name."""
    size = len(world.block)
    return {
        "64k": Wanted("/body/64k", world.block, size),
        "10m": Wanted("/body/10m", world.block, size * 160),
    }


def send(world: World, subject: Subject, wanted: Wanted, load: Load) -> Run:
    """Carry out one run."""
    spec = {
        "port": subject.place.port,
        "head": head(subject, wanted.path),
        "cookies": subject.cookies[: load.sessions],
        "connections": load.connections,
        "seconds": load.seconds,
        "warm_up": load.warm_up,
        "rate": load.rate,
        "numbered": subject.numbered,
        "status": 200,
        "block": wanted.block,
        "body_bytes": wanted.size,
    }
    program = subject.program
    reads, cpu, idle = world.keys_read(), program.cpu() if program else 0.0, idle_time()
    try:
        result = _generate(spec, load.warm_up + load.seconds)
    except BenchError as failure:
        return Run(0, 0, 0, 0, 0, 0, 0, 0, 0, str(failure))
    cpu, idle = (program.cpu() if program else 0.0) - cpu, idle_time() - idle
    reads = world.keys_read() - reads
    answers = max(result["total"], 1)
    return Run(
        per_second=result["requests"] / load.seconds,
        octets_per_second=result["bytes"] / load.seconds,
        p50=result["p50"],
        p99=result["p99"],
        p999=result["p999"],
        cpu=cpu / answers * 1e6,
        core=cpu / result["elapsed"],
        idle=idle / result["elapsed"],
        reads=reads / answers,
        fault=_fault(result),
    )


def head(subject: Subject, path: str, more: Sequence[str] = ()) -> str:
    """Return a request up to its Cookie field, as a page's script would send it."""
    lines = [
        f"GET {subject.prefix}{path} HTTP/1.1",
        f"Host: localhost:{subject.place.port}",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) bench",
        "Accept: application/json",
        "Accept-Language: en",
        "X-CSRF: 1",
        *more,
    ]
    if subject.bearer:
        lines.append(f"Authorization: Bearer {subject.bearer}")
    return "\r\n".join(lines) + "\r\n"


def _generate(spec: dict[str, object], seconds: float) -> dict[str, float]:
    try:
        ran = subprocess.run(
            ["taskset", "-c", OTHER_CORES, str(LOAD), "run"],
            input=json.dumps(spec),
            capture_output=True,
            text=True,
            timeout=seconds + _GRACE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError("the load generator did not end") from None
    if ran.returncode != 0:
        raise BenchError(ran.stderr.strip() or f"the load generator ended with {ran.returncode}")
    result: dict[str, float] = json.loads(ran.stdout)
    return result


def _fault(result: Mapping[str, object]) -> str | None:
    errors = result["errors"]
    assert isinstance(errors, dict)
    if errors:
        return ", ".join(f"{count} × {what}" for what, count in sorted(errors.items()))
    if result["unanswered"]:
        return f"{result['unanswered']} not answered in time"
    return None if result["requests"] else "no answers"


def median(values: Sequence[float]) -> float | None:
    """Return the median; None of nothing."""
    return statistics.median(values) if values else None
