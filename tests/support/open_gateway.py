"""A real gateway process with public routes to upstreams on this machine: no login needed."""

import contextlib
import json
import socket
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import yaml

from tests.support.http_answer import read_all
from tests.support.processes import Program, free_port, running
from tests.support.world import CLIENT_SECRET, RING_KEY


@dataclass
class OpenGateway:
    """A running gateway and where it is."""

    port: int
    admin: int
    program: Program

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def host(self) -> bytes:
        """The field that every request needs."""
        return b"Host: localhost:%d\r\n" % self.port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def say(self, octets: bytes) -> bytes:
        """Send, and return everything until the gateway closes."""
        with self.connect() as link:
            link.sendall(octets)
            return read_all(link)

    def refusals(self) -> int:
        """How many requests have been refused, by the audit log."""
        return self.program.output.count('"request.refused"')

    def ready(self) -> dict[str, Any]:
        """What `/readyz` says; raises HTTPError unless it is 200."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=10) as told:
            found: dict[str, Any] = json.load(told)
        return found

    def metric(self, name: str) -> float:
        """The sum of a metric's samples; `name` may go on into the labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as told:
            lines = told.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def resident(self) -> int:
        """Octets of memory that the gateway and its workers hold."""
        return self._memory("VmRSS")

    def most_resident(self) -> int:
        """The most octets of memory they have held, each at its own worst moment."""
        return self._memory("VmHWM")

    def open_files(self) -> int:
        """How many files and sockets the gateway and its workers have open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._processes())

    def _memory(self, name: str) -> int:
        return sum(_octets(pid, name) for pid in self._processes())

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        try:
            found = [int(worker["process"]) for worker in self.ready()["workers"]]
        except HTTPError as unready:
            found = [int(worker["process"]) for worker in json.load(unready)["workers"]]
        assert found, "what is measured would be the supervisor alone"
        return found

    def _processes(self) -> tuple[int, ...]:
        return (self.program.process.pid, *self.workers())


def _octets(pid: int, name: str) -> int:
    """What the system says of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def open_gateway(
    folder: Path,
    routes: dict[str, dict[str, Any]],
    *,
    workers: int | str = 1,
    module: str = "gateway",
    log_to: Path | None = None,
    **more: Any,
) -> Iterator[OpenGateway]:
    """Run a gateway whose routes are public: path and what else is said about each.

    Its standard output goes to `log_to`, which may be a pipe, or to the program's own log.
    """
    port, admin = free_port(), free_port()
    settings = {
        "public_origin": f"http://localhost:{port}",
        "listen": {"host": "127.0.0.1", "port": port, "workers": workers},
        "admin": {"host": "127.0.0.1", "port": admin},
        "store": {"url": "embedded:store"},
        "keys": [{"id": "k", "secret": {"env": "RING_KEY"}}],
        "providers": {
            "main": {
                "issuer": "http://127.0.0.1:1",
                "client_id": "spa",
                "client_secret": {"env": "CLIENT_SECRET"},
            }
        },
        "routes": [
            {"path": path, "access": "public", "token": "none", **route}
            for path, route in routes.items()
        ],
        **more,
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(settings))
    environ = {"RING_KEY": RING_KEY, "CLIENT_SECRET": CLIENT_SECRET}
    command = [sys.executable, "-m", module, "run", "-c", str(file)]
    if log_to is not None:
        command = ["sh", "-c", f'exec "$0" "$@" > {log_to}', *command]
    with running(command, folder / "log", environ) as program:
        program.wait_until_answering(f"http://127.0.0.1:{admin}/readyz")
        if log_to is None:
            program.wait_for("listening on")
        program.wait_until_ready(f"http://127.0.0.1:{admin}/readyz")
        yield OpenGateway(port, admin, program)
