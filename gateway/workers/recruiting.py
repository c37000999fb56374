"""Starting workers: each gets a number, its sockets, and a line to the supervisor."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from gateway.server.sockets import grow, share, shut_out
from gateway.settings import Settings
from gateway.workers import decisions
from gateway.workers.channel import Channel
from gateway.workers.crew import Generation
from gateway.workers.forking import fork_from_loop
from gateway.workers.serving import Assignment, work
from gateway.workers.worker import Worker

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def seats_for(settings: Settings) -> int:
    """Return how many workers the settings want on this machine."""
    if settings.listen.workers:
        return settings.listen.workers
    quota = ""
    with suppress(OSError):
        quota = _QUOTA.read_text()
    able = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return decisions.cores(len(able(0)) if able else os.cpu_count() or 1, quota)


class Recruiter:
    """Forks workers off, and keeps the public sockets open for all of them."""

    def __init__(self, public: list[socket.socket]) -> None:
        self._public = public
        self._numbers: set[int] = set()  # of workers that live

    def make_room(self, seats: int) -> None:
        """Have a socket for every seat; raises `OSError`. None is ever closed before the end."""
        grow(self._public, seats)

    def close(self) -> None:
        """Let nobody new in. Who has begun to connect is still accepted, by the workers."""
        shut_out(self._public)
        for one in self._public:
            one.close()

    async def hire(self, generation: Generation, seat: int) -> Worker:
        """Start a worker; raises `OSError`."""
        number = decisions.lowest_free(self._numbers)
        self._numbers.add(number)
        ours, theirs = socket.socketpair()
        doors = share(self._public, seat, generation.seats)
        assignment = Assignment(
            number,
            generation.settings,
            generation.store,
            tuple(doors),
            tuple(one for one in self._public if one not in doors),
        )
        keep = {theirs.fileno(), *(one.fileno() for one in self._public)}
        try:
            with theirs:
                pid = await fork_from_loop(lambda: work(assignment, theirs), keep)
        except BaseException:
            ours.close()
            self._numbers.discard(number)
            raise
        worker = Worker(number, pid, await Channel.over(ours))
        worker.ended.add_done_callback(lambda _: self._numbers.discard(number))
        return worker
