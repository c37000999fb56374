"""Starting programs on chosen cores, asking the kernel what they cost, stopping exactly those."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 30.0  # seconds for a program to say that it is ready, and for another to stop
_TICKS = os.sysconf("SC_CLK_TCK")

CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [0]
SYSTEM_CORE = str(CORES[0])
"""Where the system under test runs, alone."""
OTHER_CORES = ",".join(map(str, CORES[1:]))
"""Where everything else runs: load generator, API, Redis, identity provider, this program."""


class BenchError(Exception):
    """One line for the person who started the benchmark."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to start, and how to tell that it is ready: a line it prints, or an address.

    An address that answers anything at all is taken for ready.
    """

    argv: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    answers: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident octets of a program and its children.

    `total` counts shared pages once (PSS); `largest` is the RSS of its largest process, the worker.
    """

    total: int
    largest: int


class Program:
    """A child process pinned to cores, everything it prints, and a way to end it by its own id."""

    def __init__(self, command: Command, log: Path, cores: str) -> None:
        self.command = command
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                ["taskset", "-c", cores, *command.argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **command.environ},
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text("utf-8", "replace")

    def wait_until_ready(self) -> None:
        """Return once it is ready; raises `BenchError` with its last words when it never is."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.command.says and self.command.says in self.output:
                return
            if self.command.answers and _answers(self.command.answers):
                return
            time.sleep(0.05)
        last = " | ".join(self.output.strip().splitlines()[-4:])
        raise BenchError(f"{self.log.stem} did not start: {last[-600:]}")

    def processes(self) -> list[int]:
        """Its process id and those of its descendants."""
        found = [self.process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Seconds of CPU used so far, user and system, by the program and its children."""
        return sum(map(_cpu, self.processes()))

    def memory(self) -> Memory:
        """What it occupies now."""
        sizes = [_memory(pid) for pid in self.processes()]
        return Memory(sum(size.total for size in sizes), max(size.largest for size in sizes))

    def stop(self) -> None:
        """End it, and if it does not end in time, everything in the session it was given."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE / 3)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)


def start(stack: contextlib.ExitStack, command: Command, log: Path, cores: str) -> Program:
    """Start a program that is stopped with the stack; return it once it is ready."""
    program = Program(command, log, cores)
    stack.callback(program.stop)
    program.wait_until_ready()
    return program


def free_port() -> int:
    """A loopback port nobody uses now, below those the kernel hands out by itself.

    Systems that open a connection per request use up the latter, and could take this one.
    """
    for port in range(20000 + os.getpid() % 5000, 32000):
        if port not in _GIVEN:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                _GIVEN.add(port)
                return port
    raise BenchError("no free port on 127.0.0.1")


_GIVEN: set[int] = set()


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def idle_time() -> float:
    """Seconds that the systems' core has had nothing to do since the machine was started."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{SYSTEM_CORE}":
            return (int(ticks[3]) + int(ticks[4])) / _TICKS  # idle, waiting for a disk
    return 0.0


def _cpu(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()  # the name may hold anything, spaces included
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int) -> Memory:
    sizes = {"Rss": 0, "Pss": 0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] = int(rest.split()[0]) * 1024
    return Memory(sizes["Pss"], sizes["Rss"])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  loopback
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, OSError):
        return False
