"""`gateway run` with several workers, as a test meets it."""

import asyncio
import io
import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from gateway import config
from gateway.adapters.redis_store import RedisStore
from gateway.adapters.system import SystemClock, SystemEntropy
from gateway.logs import audit_log
from gateway.secret import AccessToken, RefreshToken
from gateway.session.manager import Sessions
from gateway.session.model import Tokens
from gateway.session.sealing import KeyRing
from tests.support.new_sessions import facts_of_login
from tests.support.processes import Program, free_port, gateway_command
from tests.support.world import CLIENT_SECRET, RING_KEY

NEW_KEY = "pW3kYtB0xVhQm8ZrLc5UeJ1nGdSaF7oTiX4vRyKzN2M"
SECRETS = {"RING_KEY": RING_KEY, "NEW_KEY": NEW_KEY, "CLIENT_SECRET": CLIENT_SECRET}
PATIENCE = 20.0  # seconds, for things that take a fraction of one
TOKEN = "e2e-access-token"

People = dict[str, str]
"""Cookies by subject."""


@dataclass
class Crew:
    """A running gateway: its program, ports, configuration file and folder."""

    program: Program
    port: int
    admin: int
    file: Path
    document: dict[str, Any]

    @property
    def pid(self) -> int:
        return self.program.process.pid

    def get(self, path: str) -> tuple[int, str]:
        """Ask the admin listener."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/readyz")[1])
        return found

    def workers(self, state: str = "ready") -> list[int]:
        """The process ids of the workers in this state."""
        return [one["process"] for one in self.ready()["workers"] if one["state"] == state]

    def metric(self, name: str) -> float:
        """The sum of a metric's samples; `name` may have labels."""
        lines = self.get("/metrics")[1].splitlines()
        found = [line for line in lines if line.startswith((name + " ", name + "{"))]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def lines(self) -> list[dict[str, Any]]:
        """Every line it has written; each has to be one JSON object."""
        return [json.loads(line) for line in self.program.output.splitlines()]

    def said(self, text: str) -> bool:
        return any(text in line.get("event", "") for line in self.lines())

    def write(self, **changes: object) -> None:
        """Change the configuration file, and nothing else."""
        self.document |= changes
        self.file.write_text(yaml.safe_dump(self.document, sort_keys=False))

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def until(self, holds: Any) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110  in another process
                await asyncio.sleep(0.02)

    async def reload(self) -> None:
        """Send SIGHUP and wait until the new generation alone is left."""
        before = self.ready()["generation"]
        self.send(signal.SIGHUP)

        def done() -> bool:
            found = self.ready()
            living = {one["generation"] for one in found["workers"]}
            return bool(found["generation"] == before + 1 and living == {before + 1})

        await self.until(done)

    async def log_in(
        self,
        subject: str = "ada",
        token: str = TOKEN,
        refresh_token: str | None = None,
        lifetime: float = 3600.0,
    ) -> str:
        """Put a session into the store, as a login does, and return its cookie."""
        made = await self.log_in_all(
            {subject: token}, refresh_token=refresh_token, lifetime=lifetime
        )
        return made[subject]

    async def log_in_all(
        self,
        people: Mapping[str, str],
        *,
        seen_ago: float = 0.0,
        refresh_token: str | None = None,
        lifetime: float = 3600.0,
    ) -> People:
        """Log in each of these subjects with their token, so many seconds ago: their cookies.

        `lifetime` is that of the tokens, in seconds.
        """
        settings = config.load(self.file, SECRETS)
        store_settings = settings.store
        if settings.embedded_store is not None:
            directory = Path(settings.embedded_store.directory)
            store_settings = settings.embedded_store.at(
                type(settings.store.url)(f"unix://{directory}/valkey.sock")
            )
        patient = replace(  # whatever the gateway's own timeouts are
            store_settings, connect_timeout=3.0, command_timeout=3.0, slot_timeout=9.0, budget=9.0
        )
        store = RedisStore(patient)
        clock, entropy = SystemClock(), SystemEntropy()
        ring = KeyRing(settings.keys, entropy)
        audit = audit_log(settings, io.StringIO())
        sessions = Sessions(store, ring, settings.session, clock, entropy, audit)
        now = clock.now() - seen_ago
        spare = None if refresh_token is None else RefreshToken(refresh_token)

        async def one(subject: str, token: str) -> str:
            facts = facts_of_login(
                sessions.new_session_id(), settings.clients[0].issuer, subject, now
            )
            tokens = Tokens(AccessToken(token), now + lifetime, now, frozenset(), spare)
            session = await sessions.create(facts, tokens)
            return f"{settings.cookies.session_name}={ring.cookie_value(session.handle)}"

        made = await asyncio.gather(*(one(*person) for person in people.items()))
        await store.aclose()
        return dict(zip(people, made, strict=True))


def document(port: int, admin: int, folder: Path, store: str, workers: object) -> dict[str, Any]:
    """A small configuration with one public route to files in `folder / "site"`."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "index.html").write_text("<!doctype html><title>app</title>")
    return {
        "public_origin": f"http://localhost:{port}",
        "listen": {"host": "127.0.0.1", "port": port, "workers": workers},
        "admin": {"port": admin},
        # What happens is tested here, not how soon: a busy machine must not fail it.
        "store": {
            "url": store,
            "connect_timeout": "3s",
            "command_timeout": "3s",
            "operation_timeout": "9s",
        },
        "keys": [{"id": "k1", "secret": {"env": "RING_KEY"}}],
        "providers": {
            "main": {
                "issuer": "https://id.example.com",
                "client_id": "spa",
                "client_secret": {"env": "CLIENT_SECRET"},
            }
        },
        "routes": [{"path": "/", "static": str(site), "access": "public"}],
    }


@contextmanager
def crewed(
    folder: Path,
    store: str,
    /,
    workers: object = 2,
    *,
    open_files: int | None = None,
    **changes: object,
) -> Iterator[Crew]:
    """Run a gateway for the length of a block; whatever it leaves behind is ended by its id.

    No process of it may have more than `open_files`.
    """
    port, admin = free_port(), free_port()
    file = folder / "gateway.yaml"
    made = document(port, admin, folder, store, workers)
    made |= changes
    file.write_text(yaml.safe_dump(made, sort_keys=False))
    command = gateway_command("run", "-c", str(file))
    if open_files is not None:
        command = ["sh", "-c", f'ulimit -n {open_files}; exec "$0" "$@"', *command]
    program = Program(command, folder / "log", SECRETS)
    crew = Crew(program, port, admin, file, made)
    started: list[int] = []
    try:
        program.wait_for("listening on")
        started = crew.workers()
        yield crew
    finally:
        with suppress(OSError, ValueError):
            started = crew.workers() + crew.workers("draining")
        program.stop()
        for pid in started:
            with suppress(OSError):
                if str(file).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


def left_over(file: Path) -> list[int]:
    """Processes that were started with this configuration file and are still there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(file).encode() in entry.read_bytes() and lives(int(entry.parent.name)):
                found.append(int(entry.parent.name))
    return found


def lives(pid: int) -> bool:
    """Whether the process exists and has not merely been left unburied."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def memory(pid: int) -> dict[str, int]:
    """Kilobytes by name, from the kernel: VmRSS, Pss, Private_Dirty and others."""
    text = Path(f"/proc/{pid}/status").read_text() + Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    }
