"""The part of `docs/performance.md` that the benchmark writes itself, and its pictures."""

import re
from collections.abc import Sequence
from pathlib import Path

from bench import columns
from bench.columns import Rows
from bench.plot import pictures
from bench.result import Result
from bench.targets import verdicts

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

_NUMBERS = (
    "The same as numbers, every round included: `bench/results/latest.json`. "
    "Versions, and how each is built:"
)
_ABOUT = {
    "throughput.svg": "Requests a second of every system",
    "latency.svg": "Latency of every system at 60 % of its throughput",
    "connections.svg": "Requests a second over 1 to 1,000 connections",
    "sessions.svg": "Requests a second over live sessions",
}


def write(result: Result) -> None:
    """Put the result between the markers, and the pictures beside it."""
    PICTURES.mkdir(exist_ok=True)
    drawn = pictures(result.table)
    for name, text in drawn.items():
        (PICTURES / name).write_text(text)
    text = DOCUMENT.read_text()
    section = f"{BEGIN}\n\n{section_of(result, list(drawn))}\n\n{END}"
    DOCUMENT.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: section, text, flags=re.DOTALL))


def section_of(result: Result, drawn: Sequence[str]) -> str:
    """Return the section as Markdown."""
    table = result.table
    parts = [
        _where(result),
        _table(columns.TARGET_HEAD, columns.target_rows(verdicts(table))),
        _table(columns.SPEED_HEAD, columns.speed_rows(table)),
        _table(columns.SIZE_HEAD, columns.size_rows(table)),
        "\n".join(f"- {note}" for note in columns.notes(table)),
        "\n\n".join(f"![{_ABOUT[name]}](performance/{name})" for name in drawn),
        _NUMBERS,
        "\n".join(
            f"- **{each.name}** {each.version}: {each.built}"
            for each in table.values()
            if each.key != "api" and not each.missing
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _where(result: Result) -> str:
    commit = f", commit {result.commit}" if result.commit else ""
    place = f"{result.machine}{commit}, {result.minutes:.0f} minutes"
    text = f"`{result.command}` on {result.date}: {place}."
    if result.shared:
        text += " Preliminary: the machine was in use while this ran."
    return text


def _table(head: Sequence[str], rows: Rows) -> str:
    width = len(head)
    lines = [_line(head), _line(["---", *["---:"] * (width - 1)])]
    lines += [_line([*row, *[""] * (width - len(row))]) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
