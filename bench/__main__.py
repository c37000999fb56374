"""`make bench`: everything, from an empty machine to the table. QUICK=1 takes about two minutes."""

import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from bench import channels, columns, document, phases, result, sessions
from bench.plan import FULL, Plan, chosen_plan
from bench.programs import CORES, OTHER_CORES, BenchError
from bench.result import Result
from bench.stage import VARIANTS, Stage, set_up
from bench.targets import verdicts

_WIDE = 170  # characters: tables are for reading across


def main() -> int:
    """Run the benchmark; 1 when it cannot be run, with one line that says why."""
    signal.signal(signal.SIGTERM, _stop)
    if len(CORES) < 2:
        print("bench: two cores are needed: one for the system, one for everything else")
        return 1
    os.sched_setaffinity(0, map(int, OTHER_CORES.split(",")))
    plan, begun, load = chosen_plan(), time.monotonic(), os.getloadavg()[0]
    try:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            stage = set_up(stack, folder)
            _measure(stage, plan, begun)
    except BenchError as failure:
        print(f"bench: {failure}")
        return 1
    except KeyboardInterrupt:
        print("bench: stopped")
        return 130
    found = _result(plan, stage, load, time.monotonic() - begun)
    _show(found)
    if plan is FULL or os.environ.get("RECORD") == "1":
        found.write()
        document.write(found)
        print("written: bench/results/latest.json, docs/performance.md, docs/performance/*.svg")
    return 0


def _stop(*_: object) -> None:
    """Unwind, so that everything that was started is stopped."""
    sys.exit(143)


def _result(plan: Plan, stage: Stage, load: float, seconds: float) -> Result:
    others = [figures.others or 0 for figures in stage.table.values() if figures.key != "api"]
    return Result(
        command="make bench" if plan is FULL else "QUICK=1 make bench",
        date=result.today(),
        machine=result.this_machine(),
        commit=result.this_commit(),
        load=load,
        others=max(others, default=0),
        minutes=seconds / 60,
        table=stage.table,
    )


def _measure(stage: Stage, plan: Plan, begun: float) -> None:
    """Carry out every phase, in an order in which none spoils the next.

    Memory first, while nothing has been used yet; many connections late, because what was once
    large stays large; many sessions last.
    """
    world, table = stage.world, stage.table

    def say(line: str) -> None:
        print(f"[{time.monotonic() - begun:4.0f} s] {line}", flush=True)

    everybody = stage.subjects
    programs = stage.without(*VARIANTS)
    different = stage.without(*VARIANTS, "gateway-uncached")
    people = [each for each in different if each.cookies]
    for figures in table.values():
        if figures.missing:
            say(f"{figures.name}: not measured, {figures.missing}")
    say(f"{len(programs)} systems are up, everybody is logged in and gets the same answers")
    say("memory of idle channels")
    channels.idle_channels(world, different, plan, table)
    say("throughput")
    phases.throughput(world, [stage.api, *everybody], plan, table)
    say("latency at 60 %")
    phases.latency(world, everybody, plan, table)
    say("one connection")
    phases.single(world, stage.api, everybody, plan, table)
    say("bodies")
    phases.body_speed(world, different, plan, table)
    say("1 to 1,000 connections")
    phases.over_connections(world, different, plan, table)
    say("live sessions")
    sessions.over_sessions(world, people, plan, table, say)
    say("done")


def _show(found: Result) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    table = found.table
    for title, head, rows in (
        ("Speed", columns.SPEED_HEAD, columns.speed_rows(table)),
        ("Bodies and memory", columns.SIZE_HEAD, columns.size_rows(table)),
        ("Targets", columns.TARGET_HEAD, columns.target_rows(verdicts(table))),
    ):
        grid = Grid(title=title, title_justify="left")
        for number, name in enumerate(head):
            grid.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
        for row in rows:
            grid.add_row(*row)
        console.print(grid)
    for note in columns.notes(table):
        console.print(f"- {note}", markup=False, highlight=False)
    disturbed = " (the machine was in use: only rough ratios mean something)" * found.shared
    console.print(f"{found.machine}, {found.minutes:.1f} minutes{disturbed}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
