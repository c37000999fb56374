"""The tables of the result, as text: the same for the terminal and for the document."""

from collections.abc import Sequence

from bench.figures import Figures
from bench.targets import Table, Verdict, ratio

Rows = list[list[str]]

_NOTHING = "–"
_IDLE = 0.1  # share of the system's core
_SMALL = 1e5  # octets
UNREPEATED = ("gateway-new-targets", "gateway-new-heads")
"""Rows of the gateway whose requests are never the same twice."""
_FEW_READS = 0.05  # keys per request: what is read now and then, not for every request

SPEED_HEAD = (
    "system",
    "requests/s",
    "of nginx",
    "gateway is",
    "p50",
    "p99",
    "p99.9",
    "added at 1 conn.",
    "CPU/request",
    "store reads",
)
SIZE_HEAD = (
    "system",
    "64 KB bodies",
    "10 MB bodies",
    "at rest",
    "per 1,000 sessions",
    "in Redis per session",
    "per event stream",
    "per WebSocket",
)
TARGET_HEAD = ("target", "wanted", "this run", "")


def speed_rows(table: Table) -> Rows:
    """Return the first table: how fast, how late, at what cost."""
    gateway = _speed(table, "gateway")
    nginx = _speed(table, "nginx")
    api = table["api"].single if "api" in table else None
    rows = []
    for figures in _systems(table):
        if figures.missing:
            rows.append([figures.name, f"not measured: {figures.missing}"])
            continue
        added = None if figures.single is None or api is None else figures.single - api
        rows.append(
            [
                figures.name,
                _number(figures.per_second),
                _times(ratio(figures.per_second, nginx)),
                _times(ratio(gateway, figures.per_second)),
                _latency(figures.p50),
                _latency(figures.p99),
                _latency(figures.p999),
                _latency(added),
                _latency(figures.cpu),
                _reads(figures.reads),
            ]
        )
    return rows


def size_rows(table: Table) -> Rows:
    """Return the second table: bodies and memory."""
    rows = []
    for figures in _systems(table):
        if figures.missing or figures.rest is None:
            continue
        per_thousand = None if figures.per_session is None else figures.per_session * 1000
        rows.append(
            [
                figures.name,
                _scaled(figures.bodies.get("64k"), 1e6, "MB/s"),
                _scaled(figures.bodies.get("10m"), 1e6, "MB/s"),
                _scaled(figures.rest, 1e6, "MB"),
                _growth(per_thousand),
                _scaled(figures.per_session_stored, 1e3, "KB", digits=1),
                _scaled(figures.per_channel.get("sse"), 1e3, "KB", digits=1),
                _scaled(figures.per_channel.get("ws"), 1e3, "KB", digits=1),
            ]
        )
    return rows


def target_rows(verdicts: Sequence[Verdict]) -> Rows:
    """Return the third table: what was to be reached."""
    rows = []
    for verdict in verdicts:
        target, found = verdict.target, verdict.found
        sign = "≤" if target.at_most else "≥"
        met = {True: "✔", False: "✘", None: "not measured"}[verdict.met]
        here = _NOTHING if found is None else f"{found:.2f} {target.unit}"
        rows.append([target.text, f"{sign} {target.bound:g} {target.unit}", here, met])
    return rows


def notes(table: Table) -> list[str]:
    """Return everything that does not fit a cell."""
    found = [f"{each.name}: {note}" for each in table.values() for note in each.notes]
    gateway = table.get("gateway")
    if gateway and gateway.reads is not None and gateway.reads > _FEW_READS:
        found.insert(0, "this gateway read the store for every request: its cache was not in use")
    if (api := table.get("api")) and api.per_second:
        found.append(
            f"the API alone, with the load generator on the same core: {api.per_second:,.0f} "
            "requests/s; more than that nobody could show"
        )
    found += [
        f"{each.name}: its core was idle for {each.idle:.0%}: the load generator, the API or the "
        "store was the limit"
        for each in _systems(table)
        if each.idle is not None and each.idle > _IDLE
    ]
    return found + _unrepeated(table)


def _unrepeated(table: Table) -> list[str]:
    """Compare where nothing repeats: peers cost the same either way, the gateway does not."""
    lines = []
    for key in UNREPEATED:
        if not _speed(table, key):
            continue
        peers = [
            f"{found:.2f} × {each.name}"
            for each in _systems(table)
            if not each.key.startswith("gateway")
            and (found := ratio(_speed(table, key), each.per_second)) is not None
        ]
        lines.append(f"{table[key].name}: {'; '.join(peers)}")
    return lines


def _systems(table: Table) -> list[Figures]:
    return [figures for figures in table.values() if figures.key != "api"]


def _speed(table: Table, key: str) -> float | None:
    return table[key].per_second if key in table else None


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:,.0f}"


def _times(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f} ×"


def _latency(microseconds: float | None) -> str:
    if microseconds is None:
        return _NOTHING
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms"


def _reads(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f}"


def _growth(octets: float | None) -> str:
    """Write how much memory came to be used; a little less than before is noise."""
    if octets is not None and octets < _SMALL:
        return "< 0.1 MB"
    return _scaled(octets, 1e6, "MB", digits=1)


def _scaled(value: float | None, by: float, unit: str, digits: int = 0) -> str:
    return _NOTHING if value is None else f"{value / by:,.{digits}f} {unit}"
