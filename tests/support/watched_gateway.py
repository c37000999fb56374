"""The gateway, and a signal that makes each worker say what it has lying about.

`python -m tests.support.watched_gateway run -c FILE` is what `python -m gateway run -c FILE` becomes,
and SIGUSR1: the process writes one line, `lying about: {JSON}`, with its number of tasks and what only the garbage collector could
free since the last time, by kind. From the first time on the collector does not come by itself.
"""

import asyncio
import gc
import json
import os
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import CodeType
from typing import Any

SAID = "lying about: "


def say(*_: Any) -> None:
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    garbage = Counter(_kind(one) for one in gc.garbage)
    gc.garbage.clear()
    gc.set_debug(0)
    told = {"tasks": len(asyncio.all_tasks()), "garbage": garbage}
    os.write(2, f"{SAID}{json.dumps(told)}\n".encode())


def _kind(one: object) -> str:
    code = getattr(one, "f_code", None)
    if isinstance(code, CodeType):
        return f"a frame of {code.co_qualname}"
    return f"{type(one).__module__}.{type(one).__qualname__}"


def lying_about(worker: int, log: Path) -> dict[str, Any]:
    """Ask a worker; its answer is the last line that begins so."""
    before = log.read_text("utf-8").count(SAID)
    os.kill(worker, signal.SIGUSR1)
    for _ in range(500):
        lines = [line for line in log.read_text("utf-8").splitlines(keepends=True) if SAID in line]
        if len(lines) > before and lines[-1].endswith("\n"):
            told: dict[str, Any] = json.loads(lines[-1].partition(SAID)[2])
            return told
        time.sleep(0.01)
    raise AssertionError("the worker did not say")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, say)
    sys.argv = ["gateway", sys.argv[-1]]
    runpy.run_module("gateway.workers", run_name="__main__", alter_sys=True)
