"""Starting the real programs for end-to-end tests, and stopping exactly those."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROVIDER = ROOT / "tests" / "e2e" / "provider"
_PATIENCE = 90.0  # seconds for a program to say that it is ready


class Program:
    """A child process, everything it prints, and a way to end it by its own id."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        environ: dict[str, str] | None = None,
        directory: Path = ROOT,
    ) -> None:
        self.log = log
        self._out = log.open("wb")
        self.process = subprocess.Popen(  # noqa: S603  our own programs
            list(argv),
            stdout=self._out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})},
            cwd=directory,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the program has printed this, which it does a moment after it acts."""
        self._wait(lambda: self.output.count(text) >= times, f"print {text!r}")

    def wait_until_answering(self, url: str) -> None:
        """Wait until the address answers anything at all."""
        self._wait(lambda: _answers(url), f"answer at {url}")

    def wait_until_ready(self, url: str) -> None:
        """Wait until the address answers with 200."""
        self._wait(lambda: _answers(url, well=True), f"be well at {url}")

    def _wait(self, condition: object, what: str) -> None:
        assert callable(condition)
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if condition():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{self.process.args!r} did not {what}:\n{self.output[-4000:]}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self._out.close()
        return self.process.returncode


@contextlib.contextmanager
def running(
    argv: Sequence[str], log: Path, environ: dict[str, str] | None = None, directory: Path = ROOT
) -> Iterator[Program]:
    """Run a program for the length of a block."""
    program = Program(argv, log, environ, directory)
    try:
        yield program
    finally:
        program.stop()


def free_port() -> int:
    """A loopback port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gateway_command(*arguments: str) -> list[str]:
    """The gateway as its users start it."""
    return [sys.executable, "-m", "gateway", *arguments]


def chromium() -> str | None:
    """Where the browser is; None lets Playwright use its own."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return None


def missing(what: str, how: str) -> None:
    """Fail with one clear line; skip, loudly, only where that was asked for and never in CI."""
    line = f"{what} is missing: {how}"
    if os.environ.get("GATEWAY_TEST_ALLOW_MISSING") == "1" and os.environ.get("CI") != "true":
        pytest.skip(f"NOT TESTED: {line}")
    pytest.fail(line, pytrace=False)


def _answers(url: str, *, well: bool = False) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  loopback, from a test
            return True
    except urllib.error.HTTPError:
        return not well
    except (urllib.error.URLError, OSError):
        return False
