"""The servers that the ports on Redis keep their contracts on.

The embedded Valkey on its unix socket, redis-server over TCP with a password and an ACL that allows
no command and no key beyond what the gateway says it needs, and redis-server over TLS.
"""

import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.adapters.embedded_redis import EmbeddedValkey
from gateway.adapters.redis_client import StoreSettings
from gateway.secret import Password, StoreUrl
from tests.support.certificates import make_certificates
from tests.support.redis_servers import (
    RealServer,
    command,
    free_port,
    redis_server_binary,
    running,
)

# What gateway/adapters/redis_scripts.py says a server must allow, and nothing else.
ALLOWED = (
    "+mget +set +del +zadd +zrem +zcard +zscore +zrange +zrangebyscore +zremrangebyscore +scan "
    "+type +getrange +hmget +hset +hdel +pexpire +pexpireat +time +eval +evalsha +ping "
    "+auth +select "
    "+client|id +client|tracking +subscribe &__redis__:invalidate"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """How the store reaches a server, and how a test does."""

    settings: StoreSettings
    command: Callable[..., object]


@contextlib.asynccontextmanager
async def embedded(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    folder = request.getfixturevalue("tmp_path_factory").mktemp("valkey")
    valkey = EmbeddedValkey(folder)
    await valkey.start()
    try:
        yield Served(StoreSettings(valkey.url), partial(command, folder / "valkey.sock"))
    finally:
        await valkey.stop()


@contextlib.asynccontextmanager
async def password_and_acl(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    server: RealServer = request.getfixturevalue("acl_server")
    settings = StoreSettings(
        StoreUrl(f"redis://127.0.0.1:{server.port}/0"),
        prefix=f"contract:{uuid.uuid4()}:",
        username="gateway",
        password=Password("store-password"),
    )
    yield Served(settings, server.command)


@contextlib.asynccontextmanager
async def tls(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    server, ca_file = request.getfixturevalue("tls_server")
    url = StoreUrl(f"rediss://localhost:{server.port}/3")
    settings = StoreSettings(url, prefix=f"{uuid.uuid4()}:", ca_file=str(ca_file))
    yield Served(settings, server.command)


def patient(settings: StoreSettings) -> StoreSettings:
    """What a port means is one thing; how long it may take is tested in the fault tests."""
    return dataclasses.replace(
        settings, connect_timeout=5, command_timeout=5, slot_timeout=5, budget=15
    )


SERVERS = {"embedded": embedded, "password and ACL": password_and_acl, "TLS": tls}


@pytest.fixture(scope="session")
def acl_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    settings = (
        "requirepass default-password",
        f"user gateway on >store-password ~contract:* resetchannels -@all {ALLOWED}",
    )
    server = RealServer(
        redis_server_binary(),
        tmp_path_factory.mktemp("acl"),
        port=free_port(),
        settings=settings,
        password="default-password",
    )
    with running(server):
        yield server


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealServer, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    made = make_certificates(folder)
    port = free_port()
    settings = (
        f"tls-port {port}",
        f'tls-cert-file "{made.certificate}"',
        f'tls-key-file "{made.key}"',
        f'tls-ca-cert-file "{made.ca_file}"',
        "tls-auth-clients no",
    )
    server = RealServer(redis_server_binary(), folder, port=port, settings=settings)
    with running(server):
        yield server, made.ca_file
