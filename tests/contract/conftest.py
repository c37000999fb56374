"""Suites about sockets run on both event loops: what a transport does when is theirs to decide."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from gateway.adapters.http1_upstream.client import Http1Upstream
from tests.support.raw_upstream import RawUpstream, raw_upstream
from tests.support.store_servers import acl_server, tls_server

__all__ = ["acl_server", "tls_server"]  # fixtures

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    if item.path.name.startswith(("test_upstream", "test_wire")):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def server() -> AsyncIterator[RawUpstream]:
    async with raw_upstream() as upstream:
        yield upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Http1Upstream]:
    adapter = Http1Upstream()
    yield adapter
    await adapter.aclose()
