"""A child process that begins as a copy of this one, and keeps nothing of it but what it needs.

The parent runs an event loop, and the child must not touch it: signals are blocked across the
fork, because a signal that reached the child too early would be written into the parent's wake-up
pipe; every descriptor but those the child needs is closed; nothing inherited is ever collected,
because a socket object of the parent would close a number that is the child's by then; and the
child ends without unwinding the parent's stack. The parent has one thread: the one that writes its
log rests meanwhile (`gateway/adapters/log_writer.py`).
"""

import asyncio
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BROKEN = 70  # exit code of a child that failed in a way nobody foresaw (sysexits.h: EX_SOFTWARE)


def fork(body: Callable[[], int], keep: Collection[int]) -> int:
    """Run `body` in a child process and return its process id; raises `OSError`.

    The child keeps standard input and output, and the descriptors in `keep`. It leads a process
    group of its own: Ctrl-C is for the parent alone.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    gc.collect()  # the child would carry the garbage for ever
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        child = os.fork()
        if child == 0:
            _live(body, keep, mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return child


def fork_from_loop(body: Callable[[], int], keep: Collection[int]) -> asyncio.Future[int]:
    """Do what `fork` does, out of a callback of the running loop.

    In a task the child would for ever be in the middle of that task, and could run no other.
    """
    loop = asyncio.get_running_loop()
    child: asyncio.Future[int] = loop.create_future()

    def call() -> None:
        if child.cancelled():  # nobody would know of it
            return
        try:
            child.set_result(fork(body, keep))
        except OSError as failure:
            child.set_exception(failure)

    loop.call_soon(call)
    return child


def _live(body: Callable[[], int], keep: Collection[int], mask: Iterable[int]) -> None:
    code = _BROKEN
    try:
        gc.freeze()
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        asyncio._set_running_loop(None)  # noqa: SLF001  documented, for makers of event loops
        _close_all_but({0, 1, 2, *keep})
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = body()
    except BaseException:  # noqa: BLE001  nothing may get out: the parent's code stands above
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _close_all_but(keep: Collection[int]) -> None:
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  numbers, not paths
        if int(name) not in keep:
            with suppress(OSError):  # the listing's own descriptor is gone already
                os.close(int(name))
