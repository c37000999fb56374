"""How long something took, many times: percentiles, and the table of `bench.endings`."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "sessions.md"
BEGIN, END = "<!-- endings:begin -->", "<!-- endings:end -->"

_HEAD = (
    "event",
    "times",
    "answered after, p50",
    "401 elsewhere: p50",
    "p99",
    "longest",
    "WebSocket closed elsewhere: p50",
    "p99",
    "longest",
    "event stream ended elsewhere: p50",
    "p99",
    "longest",
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles by nearest rank, so each is a duration that occurred. Seconds."""

    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, durations: Sequence[float]) -> "Spread":
        """Return the spread of at least one duration."""
        ordered = sorted(durations)
        return cls(_ranked(ordered, 50), _ranked(ordered, 99), ordered[-1])


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of event.

    `answered` is when the process it was sent to had answered it; empty for what nobody sends.
    """

    event: str
    answered: Sequence[float]
    refused: Sequence[float]
    closed: Sequence[float]
    silent: Sequence[float]

    def longest(self) -> float:
        """Return how long it took at most until it had taken effect everywhere."""
        return max(*self.refused, *self.closed, *self.silent)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, in milliseconds."""
    lines = [_line(_HEAD), _line(["---", *["---:"] * (len(_HEAD) - 1)])]
    for row in rows:
        spreads = map(Spread.of, (row.refused, row.closed, row.silent))
        times = [time for one in spreads for time in (one.p50, one.p99, one.longest)]
        answered = milliseconds(Spread.of(row.answered).p50) if row.answered else "–"
        cells = [row.event, str(len(row.refused)), answered, *map(milliseconds, times)]
        lines.append(_line(cells))
    return "\n".join(lines)


def milliseconds(seconds: float) -> str:
    """Return a duration with as many digits as mean something."""
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def written_into(text: str, section: str) -> str:
    """Return the document with another section between its markers."""
    found = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    if len(found.findall(text)) != 1:
        raise ValueError("the document has not exactly one place for the table")
    return found.sub(lambda _: f"{BEGIN}\n\n{section}\n\n{END}", text)


def _ranked(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
