"""A server that drops keys when its memory is full is warned of at start."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.adapters.redis_client import RedisClient, StoreSettings
from gateway.adapters.redis_eviction import advise, evicts_by
from gateway.secret import StoreUrl
from tests.support.redis_servers import RealServer, free_port, redis_server_binary, running

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("redis")
    with running(RealServer(redis_server_binary(), folder, port=free_port())) as started:
        yield started


@pytest.fixture
async def client(server: RealServer) -> AsyncIterator[RedisClient]:
    opened = RedisClient(StoreSettings(StoreUrl(f"redis://127.0.0.1:{server.port}/0")))
    yield opened
    await opened.aclose()


@pytest.mark.parametrize(
    ("memory", "policy", "found"),
    [
        ("100mb", "allkeys-lru", "allkeys-lru"),
        ("100mb", "volatile-ttl", "volatile-ttl"),
        ("100mb", "noeviction", None),
        ("0", "allkeys-lru", None),  # without a limit it is never full
    ],
)
async def test_a_server_that_evicts_is_recognised_and_warned_of(
    memory: str,
    policy: str,
    found: str | None,
    server: RealServer,
    client: RedisClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.command("CONFIG", "SET", "maxmemory", memory)
    server.command("CONFIG", "SET", "maxmemory-policy", policy)
    assert await evicts_by(client) == found
    with caplog.at_level(logging.WARNING, "gateway.store"):
        await advise(client)
    assert [found in line for line in caplog.messages if found] == [True] * bool(found)
    assert len(caplog.records) == bool(found)


async def test_a_server_that_does_not_say_keeps_nobody_from_starting(
    server: RealServer, client: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.command("ACL", "SETUSER", "default", "-info")
    try:
        await advise(client)
    finally:
        server.command("ACL", "SETUSER", "default", "+info")
    server.freeze()
    try:
        await advise(client)
    finally:
        server.thaw()
    assert caplog.records == []
