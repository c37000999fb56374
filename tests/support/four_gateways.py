"""Four gateway processes on four ports: one application, one store, one provider, one API.

A test says which process gets a request, which a load balancer would not tell it.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.adapters.system import SystemEntropy
from gateway.ports import StoredRecord
from gateway.secret import KeyMaterial
from gateway.session import codec
from gateway.session.model import Tokens
from gateway.session.sealing import KeyRing, RingKey, unb64
from tests.support.certified_login import log_in
from tests.support.controlled_provider import (
    CLIENT_SECRET,
    ControlledProvider,
    controlled_provider,
)
from tests.support.processes import Program, free_port, gateway_command
from tests.support.recording_upstream import Recording, recording_upstream
from tests.support.redis_servers import RealServer, redis_server_binary
from tests.support.redis_servers import running as serving
from tests.support.storm import Caller, Link, until
from tests.support.world import RING_KEY

GATEWAYS = 4
_PATIENCE = 30.0  # seconds for a gateway to be ready
_SECRETS = {"RING_KEY": RING_KEY, "CLIENT_SECRET": CLIENT_SECRET}


@dataclass
class OneGateway:
    """One of the four: its file, its ports, and the programs it has had so far."""

    file: Path
    port: int
    admin: int
    programs: list[Program] = field(default_factory=list)

    def start(self) -> None:
        log = self.file.with_suffix(f".{len(self.programs)}.log")
        command = gateway_command("run", "--config", str(self.file))
        self.programs.append(Program(command, log, _SECRETS))

    def worker(self) -> int:
        """The process that serves."""
        (worker,) = self._ready()["workers"]
        return int(worker["process"])

    def until_ready(self, *, but: int | None = None) -> None:
        """Wait until it serves, by another worker than that one."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                if self._ready()["status"] == "ready" and self.worker() != but:
                    return
            time.sleep(0.05)
        raise AssertionError(f"not ready:\n{self.programs[-1].output[-4000:]}")

    def send(self, number: signal.Signals) -> int:
        """Send this to the worker, past its supervisor; returns its process id."""
        worker = self.worker()
        os.kill(worker, number)
        return worker

    def stop(self) -> int:
        """Ask it to stop, as a release does, and return its exit code."""
        return self.programs[-1].stop()

    def _ready(self) -> Any:
        address = f"http://127.0.0.1:{self.admin}/readyz"
        with urllib.request.urlopen(address, timeout=10) as told:
            return json.load(told)


@dataclass
class FourGateways:
    """All of it, while it runs."""

    home: str
    gateways: list[OneGateway]
    provider: ControlledProvider
    redis: RealServer
    api: Recording

    @property
    def host(self) -> str:
        """The Host field of the one address people know."""
        return self.home.removeprefix("http://")

    @property
    def ports(self) -> list[int]:
        return [gateway.port for gateway in self.gateways]

    def log_in(self, account: str) -> Caller:
        """A browser in which this person has just logged in."""
        return Caller(self.host, log_in(self.home, account))

    async def log_in_and_expire(self, account: str) -> Caller:
        """A browser whose session has an access token that is no good any more."""
        self.provider.plan(first=1)
        browser = await asyncio.to_thread(self.log_in, account)
        await asyncio.sleep(1.1)
        return browser

    @contextlib.asynccontextmanager
    async def refreshing(self, *browsers: Caller) -> AsyncIterator[list[Link]]:
        """Calls that have made the first process spend the refresh token of each session.

        The provider has decided, and by plan holds its answers back for a while.
        """
        links = [await browser.begin(self.ports[0]) for browser in browsers]
        try:
            await until(lambda: len(self.provider.grants()) == len(browsers))
            yield links
        finally:
            for link in links:
                link[1].close()

    def kept(self, browser: Caller) -> Tokens | None:
        """The tokens that Redis holds for this session; None when it holds no session."""
        ring = KeyRing([RingKey("k1", KeyMaterial(unb64(RING_KEY)))], SystemEntropy())
        (value,) = re.findall("__Host-Http-session=([^;]+)", browser.cookie)
        handle = ring.read_handle(value)
        assert handle is not None
        lookup = ring.lookup(handle)
        found = self.redis.command("GET", f"gw:s:{lookup}")
        if not isinstance(found, bytes):
            return None
        record = StoredRecord(int.from_bytes(found[:8], "big"), found[8:])
        return codec.open_session(ring, handle, lookup, record).tokens

    def has_kept_the_newest(self, browser: Caller) -> bool:
        """Whether Redis holds the last tokens that the provider has issued."""
        tokens = self.kept(browser)
        assert tokens is not None
        assert tokens.refresh_token is not None
        access, refresh, _ = self.provider.issued()[-3:]
        return (access, refresh) == (tokens.access_token.reveal(), tokens.refresh_token.reveal())

    def refuse_writes(self) -> None:
        """Have Redis answer every write with an error (`NOREPLICAS`), and read on."""
        self.redis.command("CONFIG", "SET", "min-replicas-to-write", "1")

    def accept_writes(self) -> None:
        self.redis.command("CONFIG", "SET", "min-replicas-to-write", "0")

    def tokens_at_the_api(self) -> list[str]:
        """The bearer token of every call that has reached the API since the last time."""
        found = [request.values(b"authorization") for request in self.api.take()]
        assert all(len(values) == 1 for values in found)
        return [values[0].decode().removeprefix("Bearer ") for values in found]

    def written(self) -> str:
        """Everything the gateways wrote."""
        programs = [program for gateway in self.gateways for program in gateway.programs]
        return "\n".join(program.output for program in programs)


@contextlib.contextmanager
def four_gateways(folder: Path) -> Iterator[FourGateways]:
    """Run them for the length of a block."""
    ports = [free_port() for _ in range(2 * GATEWAYS)]
    home = f"http://localhost:{ports[0]}"
    redis = RealServer(redis_server_binary(), folder / "r", free_port())
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(redis))
        api = stack.enter_context(recording_upstream())
        provider = stack.enter_context(controlled_provider(folder, [home]))
        gateways = []
        for number in range(GATEWAYS):
            port, admin = ports[number], ports[GATEWAYS + number]
            file = folder / f"gateway-{number}.yaml"
            made = _document(home, port, admin, redis.port, provider.issuer, api.port)
            file.write_text(yaml.safe_dump(made))
            gateway = OneGateway(file, port, admin)
            stack.callback(_stop, gateway)
            gateway.start()
            gateways.append(gateway)
        for gateway in gateways:
            gateway.until_ready()
            gateway.programs[-1].wait_for("changes in the store are told")
        yield FourGateways(home, gateways, provider, redis, api)


def _document(
    home: str, port: int, admin: int, redis: int, issuer: str, api: int
) -> dict[str, object]:
    """The configuration of one; they differ in their ports only."""
    return {
        "public_origin": home,
        "listen": {"host": "127.0.0.1", "port": port, "workers": 1},
        "admin": {"host": "127.0.0.1", "port": admin},
        "store": {"url": f"redis://127.0.0.1:{redis}/0"},
        "keys": [{"id": "k1", "secret": {"env": "RING_KEY"}}],
        "log": {"level": "debug"},
        "providers": {
            "main": {
                "issuer": issuer,
                "client_id": "spa",
                "client_secret": {"env": "CLIENT_SECRET"},
                "scopes": ["openid", "profile", "offline_access", "orders.read"],
                "post_logout_redirect_uri": "/bff/logged-out",
            }
        },
        "routes": [{"path": "/api/", "upstream": f"http://127.0.0.1:{api}/"}],
    }


def _stop(gateway: OneGateway) -> None:
    """Stop the program it has by then."""
    if gateway.programs:
        gateway.programs[-1].stop()
