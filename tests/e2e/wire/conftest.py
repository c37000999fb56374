"""These tests speak to the real server on the event loop it is deployed on."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from gateway.server import loop_factory


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"deployed": loop_factory() or asyncio.new_event_loop}
