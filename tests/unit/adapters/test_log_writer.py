"""Lines on their way to readers that stall, leave, or are full disks (F35)."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from gateway.adapters.log_writer import LogWriter, Lost

LINE = "x" * 99 + "\n"
PIPE = 65536  # octets that a pipe of Linux holds unless told otherwise
PATIENCE = 10.0


def told(lost: Lost) -> str:
    return f"lost {lost.audit} {lost.other}\n"


class Reading:
    """A pipe, and who reads from it when told to."""

    def __init__(self) -> None:
        self.end, self.to = os.pipe()
        self.octets = b""

    def read_on(self) -> None:
        """Read until the writer's end is closed."""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):
            while piece := os.read(self.end, 65536):
                self.octets += piece

    @property
    def lines(self) -> list[str]:
        return self.octets.decode().splitlines()

    def close(self) -> None:
        for end in (self.end, self.to):
            with suppress(OSError):
                os.close(end)


@pytest.fixture
def pipe() -> Iterator[Reading]:
    with closing(Reading()) as made:
        yield made


@contextmanager
def writing(descriptor: int, most: int = 100_000) -> Iterator[LogWriter]:
    writer = LogWriter(descriptor, told, most=most)
    try:
        yield writer
    finally:
        writer.stop(PATIENCE)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def returns(act: Callable[[], object]) -> bool:
    """Whether this comes back although nobody reads; blocked, it never would."""
    acting = threading.Thread(target=act, daemon=True)
    acting.start()
    acting.join(PATIENCE)
    return not acting.is_alive()


def test_lines_go_out_in_their_order_and_none_waits_for_the_next(pipe: Reading) -> None:
    pipe.read_on()
    with writing(pipe.to) as writer:
        writer.stream().write("first\n")
        until(lambda: pipe.lines == ["first"])
        for number in range(1000):
            writer.stream(audit=number % 2 == 0).write(f"{number}\n")
        until(lambda: pipe.lines == ["first", *map(str, range(1000))])
    assert writer.lost() == (0, 0)


def test_a_reader_that_stalls_stops_nobody_and_learns_later_what_is_lost_f35(
    pipe: Reading,
) -> None:
    with writing(pipe.to) as writer:

        def put_all() -> None:
            for number in range(4000):
                writer.put(LINE, is_audit=number % 4 == 0)

        assert returns(put_all)
        audit, other = writer.lost()
        # What fits into the pipe and the bound is kept, the rest is counted.
        assert 4000 - (PIPE + 100_000) // 100 - 50 < audit + other < 4000
        assert audit > 100
        pipe.read_on()
        until(lambda: f"lost {audit} {other}" in pipe.lines)
        writer.put("after\n", is_audit=False)
        until(lambda: "after" in pipe.lines)
    assert pipe.lines.count(f"lost {audit} {other}") == 1  # said once
    assert len(pipe.lines) == 4000 - audit - other + 2


def test_a_full_disk_loses_lines_and_recovers_f35(tmp_path: Path) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    file = tmp_path / "log"
    try:
        with writing(descriptor) as writer:
            writer.put("audit\n", is_audit=True)
            writer.put("other\n", is_audit=False)
            until(lambda: writer.lost() == (1, 1))
            with file.open("wb") as opened:
                os.dup2(opened.fileno(), descriptor)  # there is room again
            until(lambda: file.read_text() == "\nlost 1 1\n")  # nobody has to log for that
            writer.put("after\n", is_audit=False)
            until(lambda: file.read_text() == "\nlost 1 1\nafter\n")
        assert writer.lost() == (1, 1)
    finally:
        os.close(descriptor)


def test_behind_half_a_line_of_another_process_a_line_stands_by_itself_f35(
    tmp_path: Path,
) -> None:
    """The disk was full for both; for the other one in the middle of a line."""
    file = tmp_path / "log"
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with writing(descriptor) as writer:
            writer.put("lost\n", is_audit=True)
            until(lambda: writer.lost() == (1, 0))
            file.write_text("half of anoth")
            with file.open("ab") as opened:
                os.dup2(opened.fileno(), descriptor)  # there is room again
            writer.put("after\n", is_audit=True)
            until(lambda: "after" in file.read_text() and "lost 1 0" in file.read_text())
    finally:
        os.close(descriptor)
    first, *rest = file.read_text().splitlines()
    assert first == "half of anoth"
    assert set(rest) == {"lost 1 0", "after"}


def test_a_line_cut_in_two_is_lost_and_the_next_does_not_stand_behind_it(
    tmp_path: Path,
) -> None:
    first = Reading()
    with writing(first.to, most=10_000_000) as writer:
        writer.put("y" * (PIPE + 10_000) + "\n", is_audit=False)  # the pipe takes a part
        time.sleep(0.1)
        os.close(first.end)
        until(lambda: writer.lost() == (0, 1))
        file = tmp_path / "log"
        with file.open("wb") as opened:
            os.dup2(opened.fileno(), first.to)
        writer.put("after\n", is_audit=False)
        until(lambda: "after" in file.read_text())
    os.close(first.to)
    lines = file.read_text().splitlines()
    assert lines[0] == ""  # ends what was cut
    assert set(lines[1:]) == {"lost 0 1", "after"}


def test_a_descriptor_that_others_made_non_blocking_is_waited_for(pipe: Reading) -> None:
    os.set_blocking(pipe.to, False)
    with writing(pipe.to, most=10_000_000) as writer:
        for _ in range(2000):
            writer.put(LINE, is_audit=False)
        pipe.read_on()
        until(lambda: len(pipe.lines) == 2000)
    assert writer.lost() == (0, 0)


def test_stopping_writes_what_waits_but_never_waits_for_long(pipe: Reading) -> None:
    with writing(pipe.to, most=10_000_000) as writer:
        for _ in range(1200):
            writer.put(LINE, is_audit=False)  # more than the pipe holds
        assert returns(lambda: writer.stop(0.2))
        pipe.read_on()  # whatever is left goes out when it can
        until(lambda: len(pipe.lines) == 1200)


def test_after_a_stop_it_goes_on(pipe: Reading) -> None:
    pipe.read_on()
    with writing(pipe.to) as writer:
        for number in range(50):
            writer.put(f"{number}\n", is_audit=False)
            writer.stop()
            writer.go_on()
        until(lambda: pipe.lines == list(map(str, range(50))))


FORKING = """
import os, sys, threading
from gateway.adapters.log_writer import LogWriter
writer = LogWriter(1, str)
writer.rest_at_forks()
for number in range(20):
    writer.put(f"before {number}\\n", is_audit=False)
    if not (child := os.fork()):
        alone = threading.active_count() == 1
        if alone:
            child_writer = LogWriter(1, str)
            child_writer.put(f"child {number}\\n", is_audit=False)
            child_writer.stop(5)
        os._exit(not alone)
    assert os.waitpid(child, 0)[1] == 0
    writer.put(f"after {number}\\n", is_audit=False)
writer.stop(5)
"""


def test_a_copy_of_the_process_has_no_thread_and_writes_no_line_twice() -> None:
    found = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-W", "error", "-c", FORKING], capture_output=True, check=True, timeout=60
    )
    lines = found.stdout.decode().splitlines()
    wanted = [f"{when} {number}" for number in range(20) for when in ("before", "child", "after")]
    assert lines == wanted
    assert found.stderr == b""


STALLED_FORK = """
import os, sys
from gateway.adapters.log_writer import LogWriter
there, here = os.pipe()
writer = LogWriter(here, str)
writer.rest_at_forks()
for _ in range(2000):
    writer.put("x" * 99 + "\\n", is_audit=False)
for _ in range(3):
    if not (child := os.fork()):
        own = LogWriter(1, str)
        own.put("child\\n", is_audit=False)
        own.stop(5)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
left = 2000 * 100
while left:
    left -= len(os.read(there, 65536))
writer.put("last\\n", is_audit=False)
assert os.read(there, 100) == b"last\\n"
"""


def test_a_reader_that_stalls_does_not_keep_a_process_from_forking_f35() -> None:
    found = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", STALLED_FORK], capture_output=True, check=True, timeout=60
    )
    assert found.stdout == b"child\n" * 3
