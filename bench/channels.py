"""What an idle event stream and an idle WebSocket cost in memory."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.figures import Figures
from bench.plan import Plan
from bench.programs import OTHER_CORES, BenchError
from bench.traffic import Subject, head
from bench.world import LOAD

_WARM = 10  # channels before the first reading, so that nothing is counted that is paid once
_SETTLES = 0.5  # seconds

_HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def idle_channels(subjects: Sequence[Subject], plan: Plan, table: dict[str, Figures]) -> None:
    """Fill in what each holds for one channel that says nothing."""
    for subject in subjects:
        figures, system = table[subject.key], subject.system
        for kind in ("sse", "ws"):
            if kind == "ws" and system is not None and system.websockets:
                figures.notes.append(f"WebSockets not measured: {system.websockets}")
                figures.per_channel[kind] = None
                continue
            figures.per_channel[kind] = None
            try:
                cost = _cost(subject, kind, plan.channels)
            except BenchError as failure:
                figures.notes.append(f"idle channels ({kind}) not measured: {failure}")
                continue
            if cost > 0:
                figures.per_channel[kind] = cost
            else:
                figures.notes.append(f"idle channels ({kind}): its memory shrank meanwhile")


def _cost(subject: Subject, kind: str, count: int) -> float:
    program = subject.program
    assert program is not None
    with _held(subject, kind, _WARM):
        pass
    time.sleep(_SETTLES)
    before = program.memory().total
    with _held(subject, kind, count):
        time.sleep(_SETTLES)
        after = program.memory().total
    time.sleep(_SETTLES)
    return (after - before) / count


@contextlib.contextmanager
def _held(subject: Subject, kind: str, count: int) -> Iterator[None]:
    more = _HANDSHAKE if kind == "ws" else ("Connection: keep-alive",)
    origin = f"Origin: {subject.place.origin}"
    channels = replace(subject, prefix="/channels")
    spec = {
        "port": subject.place.port,
        "head": head(channels, f"/{kind}", (*more, origin)),
        "cookies": subject.cookies[:1],
        "connections": count,
        "status": 101 if kind == "ws" else 200,
        "block": "" if kind == "ws" else "hello",
    }
    holding = subprocess.Popen(
        ["taskset", "-c", OTHER_CORES, str(LOAD), "hold"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert holding.stdin is not None
    assert holding.stdout is not None
    assert holding.stderr is not None
    try:
        holding.stdin.write(json.dumps(spec) + "\n")
        holding.stdin.flush()
        if not holding.stdout.readline().startswith("holding"):
            raise BenchError(holding.stderr.read().strip().removeprefix("load: "))
        yield
    finally:
        holding.stdin.close()
        holding.wait(10)
        holding.stdout.close()
        holding.stderr.close()
