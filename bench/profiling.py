"""`make profile`: where the microseconds of a request go, by py-spy on the running gateway."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from threading import Thread

from bench.plan import CONNECTIONS
from bench.programs import OTHER_CORES, BenchError
from bench.stage import set_up
from bench.systems.gateway import GATEWAY
from bench.traffic import Load, Subject, orders, send
from bench.world import CACHE, World

_SECONDS = 10
_SAMPLES = 400  # a second
_SHOWN = 40
_PY_SPY = CACHE / "py-spy"


def main() -> int:
    """Print the functions with the most time of their own, in microseconds per request."""
    os.sched_setaffinity(0, map(int, OTHER_CORES.split(",")))
    try:
        _install()
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="profile-")))
            stage = set_up(stack, folder, (GATEWAY,))
            for subject in stage.named("gateway"):
                _profile(stage.world, subject, folder / "stacks")
            if reason := stage.table["gateway"].missing:
                print(f"profile: {reason}")
    except BenchError as failure:
        print(f"profile: {failure}")
        return 1
    return 0


def _install() -> None:
    if not (_PY_SPY / "bin" / "py-spy").exists():
        print("setup: installing py-spy")
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        if subprocess.run([*pip, "--target", str(_PY_SPY), "py-spy"], check=False).returncode:
            raise BenchError("py-spy cannot be installed")


def _profile(world: World, subject: Subject, file: Path) -> None:
    """Measure the cost undisturbed, then sample; the shares of the samples divide the cost."""
    undisturbed = send(world, subject, orders(world), Load(CONNECTIONS, 3, 1))
    if undisturbed.fault:
        raise BenchError(f"the gateway: {undisturbed.fault}")
    load = Load(CONNECTIONS, _SECONDS + 2, 1)
    asking = Thread(target=send, args=(world, subject, orders(world), load))
    asking.start()
    argv = (str(_PY_SPY / "bin" / "py-spy"), "record", "--pid", str(_worker(subject)))
    settings = ("--duration", str(_SECONDS), "--rate", str(_SAMPLES), "--format", "raw", "--native")
    sampled = subprocess.run(
        [*argv, *settings, "--output", str(file)], capture_output=True, text=True, check=False
    )
    asking.join()
    if sampled.returncode or not file.exists():
        raise BenchError(f"py-spy: {sampled.stderr.strip().splitlines()[-1]}")
    stacks = [line.rpartition(" ") for line in file.read_text().splitlines()]
    # The thread that writes the log waits in a system call, which counts as at work here.
    samples = [(s.split(";"), int(count)) for s, _, count in stacks if "log_writer" not in s]
    print(f"{undisturbed.per_second:,.0f} requests/s, {undisturbed.cpu:.1f} µs of CPU per request,")
    print(
        f"{undisturbed.reads:.2f} store reads per request; {sum(n for _, n in samples)} samples\n"
    )
    _print("Own time by function", own_time(samples, _function), undisturbed.cpu)
    _print("Own time by module", own_time(samples, _module), undisturbed.cpu)
    _print("With what they call", with_callees(samples), undisturbed.cpu)


def _worker(subject: Subject) -> int:
    """Return the process that serves: the last one started, should there be a supervisor."""
    program = subject.program
    assert program is not None
    return program.processes()[-1]


Samples = Iterable[tuple[list[str], int]]


def own_time(samples: Samples, named: object) -> Counter[str]:
    """Count samples by the innermost frame."""
    assert callable(named)
    counts: Counter[str] = Counter()
    for frames, number in samples:
        counts[named(frames[-1])] += number
    return counts


def with_callees(samples: Samples) -> Counter[str]:
    """Count samples by every Python function of ours they went through, each once."""
    counts: Counter[str] = Counter()
    for frames, number in samples:
        for name in {_function(frame) for frame in frames if "gateway/" in frame}:
            counts[name] += number
    return counts


def _print(title: str, counts: Counter[str], cost: float) -> None:
    total = counts.total() if title.startswith("Own") else max(counts.values(), default=1)
    print(f"{title} (µs per request)")
    for name, number in counts.most_common(_SHOWN):
        print(f"  {number / total * cost:7.2f}  {name}")
    print()


def _function(frame: str) -> str:
    """`send (gateway/web/relay.py:10)` without the line."""
    return re.sub(r":\d+\)$", ")", frame.replace("site-packages/", ""))


def _module(frame: str) -> str:
    found = re.search(r"\((.*?)(:\d+)?\)$", frame.replace("site-packages/", ""))
    return found[1] if found else frame


if __name__ == "__main__":
    sys.exit(main())
