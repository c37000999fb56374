"""What is wrong with a configuration: every mistake at once, each with its place.

No finding repeats a value from the configuration or the environment, but for names of variables
and files: secrets turn up in the wrong place, and what is printed at start ends in a log.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

Path = tuple[str | int, ...]
"""Where a value stands: `("routes", 0, "path")`, shown as `routes[0].path`."""

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,79}")


class Level(StrEnum):
    """Whether the gateway starts all the same."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake. `source` says where the value came from: a line, or a variable's name."""

    level: Level
    path: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        where = f" ({self.source})" if self.source else ""
        return f"{self.path}: {self.message}{where}"


class Report:
    """Collects findings while the configuration is read."""

    def __init__(self) -> None:
        self.sources: dict[Path, int | str] = {}  # lines, and names of variables
        self._findings: list[tuple[int, Finding]] = []
        self._stand_ins: list[Path] = []

    def unreadable(self, path: Path, message: str) -> None:
        """Record a value that cannot be used at all.

        A stand-in takes its place, so that the rest can be checked; what is found about the
        stand-in is nobody's business and is dropped.
        """
        self.error(path, message)
        self.stand_in(path)

    def stand_in(self, path: Path) -> None:
        """Drop whatever will be found at this path: the value there is not the operator's."""
        self._stand_ins.append(path)

    def error(self, path: Path, message: str) -> None:
        """Record a mistake; the gateway will not start."""
        if not self._stands_in(path):
            self._add(Level.ERROR, path, message)

    def warn(self, path: Path, message: str) -> None:
        """Record something that is allowed and still deserves a look."""
        if not self._stands_in(path):
            self._add(Level.WARNING, path, message)

    def error_if_unknown(self, path: Path, message: str) -> None:
        """Record a mistake unless another one is known at this very place."""
        if not any(finding.path == shown(path) for _, finding in self._findings):
            self.error(path, message)

    @property
    def findings(self) -> list[Finding]:
        """Every finding once: errors first, and those in the order of the file."""
        ordered = sorted(self._findings, key=lambda one: (one[1].level is Level.WARNING, one[0]))
        return list(dict.fromkeys(finding for _, finding in ordered))

    @property
    def has_errors(self) -> bool:
        """Whether anything forbids a start."""
        return any(finding.level is Level.ERROR for _, finding in self._findings)

    def _add(self, level: Level, path: Path, message: str) -> None:
        source = self._source(path)
        line = source if isinstance(source, int) else 0
        told = f"line {source}" if isinstance(source, int) else source
        self._findings.append((line, Finding(level, shown(path), message, told)))

    def _stands_in(self, path: Path) -> bool:
        return any(
            path[: len(other)] == other or other[: len(path)] == path for other in self._stand_ins
        )

    def _source(self, path: Path) -> int | str:
        for length in range(len(path), 0, -1):
            if path[:length] in self.sources:
                return self.sources[path[:length]]
        return ""


def shown(path: Path) -> str:
    """Return a path as text; a key that does not look like one is not repeated."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _PLAIN_KEY.fullmatch(part) else "?"
            text += f".{name}" if text else name
    return text or "configuration"


def render(findings: Iterable[Finding]) -> str:
    """Return the findings as plain text, one line each, with a count below."""
    listed = list(findings)
    lines = [f"{finding.level.value:<7}  {finding}" for finding in listed]
    counts: Mapping[Level, int] = {
        level: sum(finding.level is level for finding in listed) for level in Level
    }
    if listed:
        lines.append(
            ", ".join(
                f"{count} {level.value}{'' if count == 1 else 's'}"
                for level, count in counts.items()
                if count
            )
        )
    return "\n".join(lines)
