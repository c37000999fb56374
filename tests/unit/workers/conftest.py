"""Small workers end with the test that started them."""

from collections.abc import AsyncIterator

import pytest

from gateway.workers.crew import Generation


@pytest.fixture
async def crew() -> AsyncIterator[list[Generation]]:
    """Generations to be ended."""
    made: list[Generation] = []
    yield made
    for generation in made:
        generation.kill()
        await generation.gone()
