"""Small files that outlive the process: written in one step, read by their owner only.

A reader sees the old text or the new one, never half of either: a file is written under another
name first. It is not forced to the disk, so a loss of power may cost the latest change; a killed
process costs nothing.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

from gateway.oidc.json_object import read_json_object

_log = logging.getLogger("gateway.dev")

_PATIENCE = 15.0  # seconds: longer than a gateway takes to finish what it was asked
_LOOK_EVERY = 0.05

T = TypeVar("T")

_DAMAGE = (OSError, ValueError, KeyError, TypeError)


class KeptFolder:
    """A folder of JSON documents, held by one process at a time.

    Raises `OSError` when the folder cannot be had, also when another process goes on holding it.
    """

    def __init__(self, path: Path, version: int, *, patience: float = _PATIENCE) -> None:
        """`version` is that of the documents; `patience`, seconds for another to end."""
        self.damaged: list[Path] = []  # what could not be read, so that somebody can be told
        self._path = path
        self._version = version
        self._last: dict[str, str] = {}
        self._has_failed = False
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._hold(patience)
        except OSError:
            self.close()
            raise
        for left in path.glob(".*.json-*"):  # by a process killed while it wrote
            left.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock)

    def read(self, name: str, reader: Callable[[dict[str, object]], T]) -> T | None:
        """Return what `reader` makes of a document; None if there is none that it can read.

        `reader` raises `ValueError`, `KeyError` or `TypeError` for a document that is not one.
        """
        path = self._path / name
        try:
            document = read_json_object(path.read_bytes())
            if document.pop("version") != self._version:
                raise ValueError("written by another version")
            return reader(document)
        except FileNotFoundError:
            return None
        except _DAMAGE:
            self.damaged.append(path)
            return None

    def write(self, name: str, document: dict[str, object]) -> None:
        """Keep a document. That it cannot be kept is said once and stops nobody."""
        text = json.dumps({"version": self._version, **document})
        if self._last.get(name) == text:
            return
        path = self._path / name
        try:
            with _beside(path, text) as written:
                written.replace(path)
        except OSError as failure:
            if not self._has_failed:
                reason = failure.strerror
                _log.warning("%s cannot be written (%s); logins end with this run", path, reason)
            self._has_failed = True
            return
        self._last[name] = text
        self._has_failed = False

    def _hold(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    words = "another gateway uses it with the same --provider-port"
                    raise BlockingIOError(errno.EWOULDBLOCK, words) from None
                time.sleep(_LOOK_EVERY)
            else:
                return


def made_once(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a file; whoever comes first makes it, and everybody reads the same."""
    if not path.exists():
        with _beside(path, make()) as written, contextlib.suppress(FileExistsError):
            path.hardlink_to(written)  # unlike a rename, never replaces what another made
    return path.read_text("utf-8").strip()


@contextlib.contextmanager
def _beside(path: Path, text: str) -> Generator[Path]:
    """Write the text, for its owner only, to a new file in the same folder."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        yield written
    finally:
        written.unlink(missing_ok=True)
