"""The configuration file, read and checked in a process of its own.

What reads configuration is large and is needed for a second: the child that does it ends with it.
It hands the settings over through a socket pair that nobody else holds.
"""

import asyncio
import io
import os
import pickle
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import Misconfigured
from gateway.secret import Secret
from gateway.settings import Settings
from gateway.workers.forking import fork, fork_from_loop

_PATIENCE = 30.0  # seconds; a secret may be in a pipe that nobody writes to


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading: the settings, if there are no errors, and all findings.

    A finding is its level, `error` or `warning`, and its line; `text` shows all of them.
    """

    settings: Settings | None
    findings: tuple[tuple[str, str], ...]
    text: str


def read(config_file: Path, environ: Mapping[str, str]) -> Reading:
    """Read the file. Raises `Misconfigured` when no answer can be had."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as answer:
        with theirs:
            child = fork(_reader(config_file, environ, theirs), {theirs.fileno()})
        octets = answer.read()
    os.waitpid(child, 0)
    return _loaded(octets)


async def read_again(config_file: Path, environ: Mapping[str, str]) -> Reading:
    """Do what `read` does, beside a running event loop, and not for ever."""
    ours, theirs = socket.socketpair()
    with theirs:
        child = await fork_from_loop(_reader(config_file, environ, theirs), {theirs.fileno()})
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    octets = b""
    try:
        async with asyncio.timeout(_PATIENCE):
            octets = await reader.read(-1)
    except TimeoutError:
        pass  # told below, like an answer that is none
    finally:
        writer.close()
        os.kill(child, signal.SIGKILL)  # it has answered, or never will
        os.waitpid(child, 0)  # noqa: ASYNC222  it is dead already
    return _loaded(octets)


def _reader(
    config_file: Path, environ: Mapping[str, str], answer: socket.socket
) -> Callable[[], int]:
    def body() -> int:
        from gateway import config  # noqa: PLC0415  this process alone carries it

        settings, findings = config.check(config_file, environ)
        lines = tuple((one.level.value, str(one)) for one in findings)
        packed = io.BytesIO()
        _Handover(packed).dump(Reading(settings, lines, config.render(findings)))
        with suppress(OSError):  # whoever asked is gone
            answer.sendall(packed.getbuffer())
        return 0

    return body


class _Handover(pickle.Pickler):
    """Packs settings, secrets included, for the process that reads them and no other."""

    def reducer_override(self, obj: Any) -> Any:  # noqa: ANN401  as in pickle
        if isinstance(obj, Secret):
            return type(obj), (obj.reveal(),)
        return NotImplemented


def _loaded(octets: bytes) -> Reading:
    with suppress(pickle.UnpicklingError, EOFError):
        reading = pickle.loads(octets)  # noqa: S301  our own child wrote it, to us alone
        if isinstance(reading, Reading):
            return reading
    raise Misconfigured(["the configuration could not be read; a secret's pipe may be empty"])
