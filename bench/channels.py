"""What an idle event stream and an idle WebSocket cost in memory."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.figures import Figures
from bench.plan import SESSIONS, Plan
from bench.programs import OTHER_CORES, BenchError
from bench.traffic import Subject, head
from bench.world import LOAD, World

_WARM = 10  # channels before the first reading, so that nothing is counted that is paid once
_SETTLES = 0.5  # seconds

_HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def idle_channels(
    world: World, subjects: Sequence[Subject], plan: Plan, table: dict[str, Figures]
) -> None:
    """Fill in what each holds for one channel that says nothing.

    The event streams are still open when the WebSockets come: memory that was given back would be
    used again, and these would seem to cost nothing.
    """
    for subject in subjects:
        figures = table[subject.key]
        with contextlib.ExitStack() as open_channels:
            for kind in ("sse", "ws"):
                figures.per_channel[kind] = None
                if kind == "ws" and subject.system is not None and subject.system.websockets:
                    figures.notes.append(f"WebSockets not measured: {subject.system.websockets}")
                    continue
                try:
                    cost = _cost(subject, kind, plan.channels, open_channels)
                except BenchError as failure:
                    figures.notes.append(f"idle channels ({kind}) not measured: {failure}")
                    continue
                if cost > 0:
                    figures.per_channel[kind] = cost
                else:
                    figures.notes.append(f"idle channels ({kind}): its memory shrank meanwhile")
        world.end_channels()
        time.sleep(_SETTLES)


def _cost(subject: Subject, kind: str, count: int, stack: contextlib.ExitStack) -> float:
    """Open channels, which stay open as long as the stack; return the growth for each."""
    program = subject.program
    assert program is not None
    with _held(subject, kind, _WARM):
        pass
    time.sleep(_SETTLES)
    before = program.memory().total
    stack.enter_context(_held(subject, kind, count))
    time.sleep(_SETTLES)
    return (program.memory().total - before) / count


@contextlib.contextmanager
def _held(subject: Subject, kind: str, count: int) -> Iterator[None]:
    more = _HANDSHAKE if kind == "ws" else ("Connection: keep-alive",)
    origin = f"Origin: {subject.place.origin}"
    channels = replace(subject, prefix="/channels")
    spec = {
        "port": subject.place.port,
        "head": head(channels, f"/{kind}", (*more, origin)),
        "cookies": subject.cookies[:SESSIONS],
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
