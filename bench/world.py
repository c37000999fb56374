"""What stands around every system: Redis, an identity provider, an API; all on the other cores."""

import base64
import contextlib
import json
import os
import random
import shutil
import socket
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.programs import OTHER_CORES, Command, Program, free_port, start
from tests.support.certificates import Certificates, make_certificates

BENCH = Path(__file__).parent
CACHE = BENCH / ".cache"
LOAD = CACHE / "bin" / "load"
NODE = BENCH / "node"

CLIENT_ID = "bench"
CLIENT_SECRET = "bench-client-secret-of-40-characters-001"
SCOPES = ("openid", "profile", "email", "offline_access", "orders.read")
WITHOUT_CACHE = "uncached"
"""A user of Redis that may do everything but CLIENT: it cannot keep what it reads."""

JSON_BYTES = 179
BLOCK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is; `small` is the API's document, `block` a piece of its bodies."""

    folder: Path
    issuer: str
    api: str
    tls_api: str
    channels: str
    redis_port: int
    certificates: Certificates
    small: str
    block: str
    api_port: int

    @property
    def redis(self) -> str:
        """The address of Redis, for a system that may do everything there."""
        return f"redis://127.0.0.1:{self.redis_port}/0"

    def keys_read(self) -> int:
        """How many keys clients of Redis have looked up and found so far."""
        return self._redis_says("keyspace_hits")

    def stored(self) -> int:
        """How many octets of data Redis holds."""
        return self._redis_says("used_memory_dataset")

    def end_channels(self) -> None:
        """End every channel that is still open between a system and the API."""
        with urllib.request.urlopen(f"{self.channels}/end", timeout=5):  # noqa: S310  loopback
            pass

    def _redis_says(self, name: str) -> int:
        with socket.create_connection(("127.0.0.1", self.redis_port), timeout=5) as plain:
            plain.sendall(b"INFO\r\nQUIT\r\n")
            text = b""
            while piece := plain.recv(65536):
                text += piece
        wanted = f"{name}:".encode()
        (line,) = (each for each in text.split(b"\r\n") if each.startswith(wanted))
        return int(line.partition(b":")[2])


def open_world(stack: contextlib.ExitStack, folder: Path, redirect_uris: Sequence[str]) -> World:
    """Start everything; it is stopped with the stack."""
    chance = random.Random(179)  # noqa: S311  the same bodies every time
    block = base64.b64encode(chance.randbytes(BLOCK_BYTES // 4 * 3)).decode()
    small = _orders()
    bodies = folder / "bodies"
    bodies.mkdir()
    (bodies / "orders.json").write_text(small)
    (bodies / "64k").write_text(block)
    (bodies / "10m").write_text(block * 160)
    ports = [free_port() for _ in range(5)]
    world = World(
        folder=folder,
        redis_port=ports[0],
        issuer=f"http://127.0.0.1:{ports[1]}",
        api=f"http://127.0.0.1:{ports[2]}",
        tls_api=f"https://localhost:{ports[3]}",
        channels=f"http://127.0.0.1:{ports[4]}",
        certificates=make_certificates(folder),
        small=small,
        block=block,
        api_port=ports[2],
    )

    def begin(name: str, command: Command) -> Program:
        return start(stack, command, folder / f"{name}.log", OTHER_CORES)

    begin("redis", _redis(folder, ports[0]))
    begin("provider", _provider(world, ports[1], redirect_uris))
    api = (str(LOAD), "api", str(ports[2]), str(bodies))
    begin("api", Command(api, answers=world.api))
    begin("tls-api", _tls_api(world, ports[3]))
    channels = (str(LOAD), "channels", str(ports[4]))
    begin("channels", Command(channels, answers=world.channels))
    return world


def _orders() -> str:
    """A JSON document of exactly `JSON_BYTES` octets."""
    order = {"id": 4711, "status": "shipped", "currency": "EUR", "total": "129.90", "note": ""}
    missing = JSON_BYTES - len(json.dumps({"orders": [order]}))
    order["note"] = ("left with the neighbours; " * 8)[:missing]
    return json.dumps({"orders": [order]})


def _redis(folder: Path, port: int) -> Command:
    settings = (
        "bind 127.0.0.1",
        f"port {port}",
        'save ""',
        "appendonly no",
        f'dir "{folder}"',
        "user default on nopass ~* &* +@all",
        f"user {WITHOUT_CACHE} on >{WITHOUT_CACHE} ~* &* +@all -client",
    )
    file = folder / "redis.conf"
    file.write_text("\n".join(settings) + "\n")
    return Command(("redis-server", str(file)), says="Ready to accept connections")


def _provider(world: World, port: int, redirect_uris: Sequence[str]) -> Command:
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uris": list(redirect_uris),
        "grant_types": ["authorization_code", "refresh_token"],
    }
    settings = {"port": port, "issuer": world.issuer, "client": client}
    argv = ("node", str(NODE / "provider.mjs"), json.dumps(settings))
    return Command(argv, {"NODE_ENV": "production"}, says="ready")


NGINX_MAIN = """
daemon off;
worker_processes 1;
{user}
pid {folder}/{name}.pid;
error_log {folder}/{name}-error.log error;
pcre_jit on;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/{name}-1;
  proxy_temp_path {folder}/{name}-2;
  proxy_max_temp_file_size 0;
  fastcgi_temp_path {folder}/{name}-3;
  uwsgi_temp_path {folder}/{name}-4;
  scgi_temp_path {folder}/{name}-5;
{http}
}}
"""
"""What any nginx of the benchmark has in common; one worker, as one core is what everybody gets."""


def nginx_command(folder: Path, name: str, http: str, answers: str) -> Command:
    """Return how to start an nginx of ours with these lines in its `http` block."""
    file = folder / f"{name}.conf"
    # Or its worker would become somebody who may not enter our folder.
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(NGINX_MAIN.format(folder=folder, name=name, user=user, http=http))
    argv = (nginx_binary() or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(file))
    return Command(argv, answers=answers)


def nginx_binary() -> str | None:
    """Where nginx is; Debian puts it where not everybody looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")


def _tls_api(world: World, port: int) -> Command:
    token = r"~^Bearer\ eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{300,}\.[A-Za-z0-9_-]{300,}$"
    return nginx_command(
        world.folder,
        "tls-api",
        f"""
  map $http_authorization $signed_in {{ default 0; "{token}" 1; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {world.certificates.certificate};
    ssl_certificate_key {world.certificates.key};
    if ($signed_in = 0) {{ return 401; }}
    location = /orders {{ default_type application/json; return 200 '{world.small}'; }}
  }}""",
        # That something is wrong with our certificate is an answer, too.
        answers=f"http://127.0.0.1:{port}",
    )
