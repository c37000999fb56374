"""What every system of the benchmark has to say about itself."""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.programs import Command
from bench.world import World


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system is to run: its own folder and its port on loopback."""

    folder: Path
    port: int

    @property
    def origin(self) -> str:
        """The origin browsers use. `localhost`: another site than the identity provider's."""
        return f"http://localhost:{self.port}"


@dataclass(frozen=True, slots=True)
class System:
    """One program under test. Its paths are the same for everybody.

    `/api/orders`, `/api/token`, `/api/body/64k`, `/api/body/10m`, `/channels/sse`, `/channels/ws`.
    `login` is where a login begins, empty when nobody logs in; `callback` where it ends.
    `prepare` writes its configuration and says what to start; `missing` says why it cannot be.
    `websockets` tells why they do not pass; None when they do.
    """

    key: str
    name: str
    login: str
    callback: str
    prepare: Callable[[World, Place], Command]
    missing: Callable[[], str | None]
    version: Callable[[], str]
    built: str
    websockets: str | None = None


def needs(*programs: tuple[str | Path, str]) -> Callable[[], str | None]:
    """Return a check that these exist: a program or a file, and how one gets it."""

    def missing() -> str | None:
        for wanted, remedy in programs:
            there = wanted.exists() if isinstance(wanted, Path) else shutil.which(wanted)
            if not there:
                return f"{wanted} is missing: {remedy}"
        return None

    return missing


def printed_version(argv: Sequence[str], pattern: str = r"\d+\.\d+[\w.-]*") -> Callable[[], str]:
    """Return what finds the version in what a program prints about itself."""

    def version() -> str:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        found = re.search(pattern, ran.stdout + ran.stderr)
        return found[0] if found else "?"

    return version
