"""Log lines on their way out: whoever writes one never waits for whoever reads it (F35).

Standard output may be a pipe nobody empties, a disk that is full or slow, a terminal that was
stopped. A thread of each process does the writing and is the only one to wait; what it cannot get
rid of is kept up to a bound, then dropped and counted, and said when lines go out again.

Why a thread, and no descriptor that does not block: O_NONBLOCK belongs to the open file, which is
shared with every worker and with whoever started us, and would make their writes fail. Asking
`poll` first promises nothing, because another worker may take the room in between; and a disk
always claims to be ready.
"""

import contextlib
import io
import os
import select
import threading
from collections.abc import Callable, Collection
from queue import Empty, SimpleQueue
from typing import NamedTuple, TextIO, cast

MOST_WAITING = 1048576
"""Octets of lines that wait in one process, some three thousand lines; more are dropped."""

# pipe(7): what is written in one piece of so many octets, no other process's line comes between.
_IN_ONE_PIECE = select.PIPE_BUF

_TRY_AGAIN = 1.0  # seconds between two tries to say that lines were lost
_BEFORE_FORK = 0.05  # seconds for the thread to end before a fork


class Lost(NamedTuple):
    """How many lines this process has lost."""

    audit: int = 0
    other: int = 0


class _Line(NamedTuple):
    octets: bytes
    is_audit: bool


class LogWriter:
    """Writes lines to a descriptor from a thread of its own.

    `put` takes no lock: it is called wherever Python may log, destructors included, which run in
    the middle of anything. Each count is therefore changed by one side only, the thread or those
    who put.
    """

    def __init__(
        self, descriptor: int, notice: Callable[[Lost], str], *, most: int = MOST_WAITING
    ) -> None:
        """`notice` makes the line that says how many were lost; `most` octets may wait."""
        self._descriptor = descriptor
        self._notice = notice
        self._most = most
        self._last: object | None = None  # in the queue, where the thread is to end
        self.forget()
        self._begin()

    def forget(self) -> None:
        """Begin with nothing: in a child process, what waits is the parent's to write."""
        self._lines: SimpleQueue[object] = SimpleQueue()
        self._ahead: object | None = None  # taken out of the queue, and not yet written
        self._taken = self._done = 0  # octets, by those who put and by the thread
        self._dropped, self._failed = [0, 0], [0, 0]  # lines, likewise; the audit log's come second
        self._told = Lost()
        self._may_be_torn = False  # the log may end in half a line, of ours or another process's
        self._thread: threading.Thread | None = None

    def stream(self, *, audit: bool = False) -> TextIO:
        """Return a text stream; each `write` to it is one line."""
        return cast("TextIO", _Stream(self, is_audit=audit))

    def put(self, text: str, *, is_audit: bool) -> None:
        """Take a line, or count it as lost."""
        octets = text.encode("utf-8", "backslashreplace")
        if self._taken - self._done + len(octets) > self._most:
            self._dropped[is_audit] += 1
            return
        self._taken += len(octets)
        self._lines.put(_Line(octets, is_audit))
        if self._last is None:
            self._begin()

    def lost(self) -> Lost:
        """Count the lines that were dropped, and those that could not be written."""
        other, audit = (a + b for a, b in zip(self._dropped, self._failed, strict=True))
        return Lost(audit, other)

    def stop(self, within: float = _BEFORE_FORK) -> None:
        """Write what waits, for so many seconds at most; then the thread ends when it can."""
        if self._last is None:
            self._last = object()
            self._lines.put(self._last)
            self._begin()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(within)

    def go_on(self) -> None:
        """Undo `stop`."""
        self._last = None
        self._begin()

    def rest_at_forks(self) -> None:
        """Have no thread while this process is copied; the copy has none, and none of the lines.

        A thread that a full pipe holds up cannot be ended. It is in the kernel then and holds no
        lock that the copy could miss.
        """
        os.register_at_fork(
            before=self.stop, after_in_parent=self.go_on, after_in_child=self.forget
        )

    def _begin(self) -> None:
        """Have a thread, unless there is one."""
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._write_on, name="log", daemon=True)
        with contextlib.suppress(RuntimeError):  # the system gives none; the next line asks again
            thread.start()
            self._thread = thread

    # -- the thread --------------------------------------------------------------------------------

    def _write_on(self) -> None:
        while (lines := self._next_lines()) is not None:
            if lines:
                self._write(lines)
            if self.lost() != self._told and self._taken - self._done <= self._most // 2:
                self._say_what_is_lost()

    def _next_lines(self) -> list[_Line] | None:
        """Return lines that go out in one piece, none of them for a look around; None to end."""
        first, self._ahead = self._ahead, None
        if first is None:
            try:
                first = self._lines.get(timeout=_TRY_AGAIN if self.lost() != self._told else None)
            except Empty:
                return []
        if not isinstance(first, _Line):
            return None if first is self._last else []
        lines, room = [first], _IN_ONE_PIECE - len(first.octets)
        while not self._lines.empty():
            following = self._lines.get()
            if not isinstance(following, _Line) or len(following.octets) > room:
                self._ahead = following
                break
            lines.append(following)
            room -= len(following.octets)
        return lines

    def _write(self, lines: Collection[_Line]) -> None:
        octets = b"".join(line.octets for line in lines)
        written = self._written(octets)
        self._done += len(octets)
        border = 0
        for line in lines:
            border += len(line.octets)
            self._failed[line.is_audit] += border > written

    def _say_what_is_lost(self) -> None:
        lost = self.lost()
        octets = self._notice(lost).encode()
        if self._written(octets) == len(octets):
            self._told = lost

    def _written(self, octets: bytes) -> int:
        """Write, and return how much of it went out: all, unless the descriptor fails."""
        # What comes next must not stand behind half a line.
        whole = b"\n" + octets if self._may_be_torn else octets
        left = memoryview(whole)
        with contextlib.suppress(OSError):  # a full disk, a reader that is gone
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:  # whoever shares the open file wants it so
                    room = select.poll()
                    room.register(self._descriptor, select.POLLOUT)
                    room.poll(_TRY_AGAIN * 1000)
        if out := len(whole) - len(left):
            self._may_be_torn = whole[out - 1 : out] != b"\n"
        # Where there was no room for ours, there may have been some for half of another's.
        self._may_be_torn |= bool(left)
        return max(0, len(octets) - len(left))


class _Stream(io.TextIOBase):
    def __init__(self, writer: LogWriter, *, is_audit: bool) -> None:
        self._writer = writer
        self._is_audit = is_audit

    def write(self, text: str) -> int:
        self._writer.put(text, is_audit=self._is_audit)
        return len(text)
