"""A result as a whole: read from and written to `bench/results/latest.json`."""

import json
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.figures import from_document
from bench.programs import CORES
from bench.targets import Table

LATEST = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Result:
    """`load` is the machine's load average before the benchmark began.

    `others` is the largest share of the systems' core that somebody else used while one of them was
    measured.
    """

    command: str
    date: str
    machine: str
    commit: str
    load: float
    others: float
    minutes: float
    table: Table

    @property
    def shared(self) -> bool:
        """Whether others used the machine, so that only rough ratios mean something."""
        return self.load > 0.5 or self.others > 0.15

    def write(self, file: Path = LATEST) -> None:
        """Write it for people and programs."""
        file.parent.mkdir(exist_ok=True)
        document = {
            "command": self.command,
            "date": self.date,
            "machine": self.machine,
            "commit": self.commit,
            "load": self.load,
            "others": round(self.others, 3),
            "minutes": round(self.minutes, 1),
            "systems": [_rounded(figures.document()) for figures in self.table.values()],
        }
        file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read(file: Path = LATEST) -> Result:
    """Return a result that was written."""
    document = json.loads(file.read_text())
    rows = [from_document(row) for row in document.pop("systems")]
    return Result(**document, table={row.key: row for row in rows})


def today() -> str:
    """Return the date."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def this_machine() -> str:
    """Return what the figures depend on, without saying whose machine it is."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{len(CORES)} cores of an {model}, Linux {platform.release().split('-')[0]}"


def this_commit() -> str:
    """Return the commit that is checked out, with a + when files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip()


def _rounded(value: object) -> object:
    """Cut digits that mean nothing."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
