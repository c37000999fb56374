"""Secrets and files that the configuration only names.

Messages name variables and files, because the operator has to find them, but only where the name
looks like one: a secret put in the place of its name must not be repeated.
"""

import re
import stat
from collections.abc import Mapping
from pathlib import Path as FilePath

from gateway.config.findings import Path, Report
from gateway.config.secret_reference import SecretReference

LARGEST_SECRET = 65536
"""Octets of a secret's file; private keys in PEM form have a few thousand."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_FILE = re.compile(r"[ -~]{1,255}")


class References:
    """Looks up what a configuration refers to; `directory` is where the file itself lies."""

    def __init__(self, directory: FilePath, environ: Mapping[str, str], report: Report) -> None:
        self._directory = directory.absolute()
        self._environ = environ
        self._report = report

    def text(self, reference: SecretReference | None, path: Path) -> str | None:
        """Return a secret that is text; None after a finding, or when there is no reference."""
        octets = self.octets(reference, path)
        if octets is None:
            return None
        try:
            return octets.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            self._report.unreadable(path, "holds octets that are not UTF-8 text")
            return None

    def octets(self, reference: SecretReference | None, path: Path) -> bytes | None:
        """Return a secret's octets, without the line break that editors leave at the end."""
        if reference is None:
            return None
        found = self._variable(reference.env, path) if reference.env else None
        if reference.file:
            found = self._file(reference.file, path)
        if found is None:
            return None
        found = _without_line_break(found)
        if not found.strip():
            self._report.unreadable(path, "the place it names is empty")
            return None
        return found

    def place(self, name: str) -> FilePath:
        """Return the absolute path of a file or directory named in the configuration."""
        return FilePath(self._directory, name).absolute()

    def holds_the_configuration(self, name: str) -> bool:
        """Whether the configuration file lies in this directory or below it."""
        try:
            return self._directory.resolve().is_relative_to(self.place(name).resolve())
        except (OSError, ValueError):
            return False

    def has_directory(self, name: str) -> bool:
        """Whether the directory is there, for this user."""
        try:
            return self.place(name).is_dir()
        except (OSError, ValueError):
            return False

    def has_file(self, name: str) -> bool:
        """Whether the file is there, for this user."""
        try:
            return self.place(name).is_file()
        except (OSError, ValueError):
            return False

    def certificates(self, name: str | None, path: Path) -> str | None:
        """Return the path of a PEM bundle, as text; reports one that is not there."""
        if name is None:
            return None
        place = self.place(name)
        if not self.has_file(name):
            self._report.unreadable(path, f"there is no file {_named(place, name)}")
        return str(place)

    def _variable(self, name: str, path: Path) -> bytes | None:
        value = self._environ.get(name)
        if value is None:
            told = name if _VARIABLE.fullmatch(name) else "named here"
            self._report.unreadable(
                path, f"the environment variable {told} is not set; set it, or correct the name"
            )
            return None
        return value.encode("utf-8", "surrogateescape")

    def _file(self, name: str, path: Path) -> bytes | None:
        place = self.place(name)
        told = _named(place, name)
        try:
            about = place.stat()
            if not stat.S_ISREG(about.st_mode) and not stat.S_ISFIFO(about.st_mode):
                self._report.unreadable(path, f"{told} is not a file")
                return None
            with place.open("rb") as opened:
                found = opened.read(LARGEST_SECRET + 1)
        except FileNotFoundError:
            self._report.unreadable(path, f"there is no file {told}")
            return None
        except (OSError, ValueError) as trouble:
            self._report.unreadable(path, f"cannot read {told}: {type(trouble).__name__}")
            return None
        if len(found) > LARGEST_SECRET:
            self._report.unreadable(path, f"{told} is larger than {LARGEST_SECRET} bytes")
            return None
        if about.st_mode & stat.S_IROTH:
            self._report.warn(path, f"everybody on this machine may read {told}; chmod 600 it")
        return found


def _named(place: FilePath, name: str) -> str:
    # A bare word may be the secret itself; a path, or a name with an ending, hardly is.
    is_path = ("/" in name or "." in name) and "://" not in name and "@" not in name
    return (
        str(place)
        if is_path and _FILE.fullmatch(str(place))
        else "of that name beside the configuration file"
    )


def _without_line_break(octets: bytes) -> bytes:
    text = octets.removesuffix(b"\n").removesuffix(b"\r")
    # A key of random octets may well end in 0x0a; only text has line breaks to lose.
    return text if all(32 <= octet < 127 or octet in b"\r\n\t" for octet in text) else octets  # noqa: PLR2004  visible ASCII
