"""One fleet for all storms: what a test leaves behind, the next one has to live with."""

from collections.abc import Iterator

import pytest

from tests.support.four_gateways import FourGateways, four_gateways


@pytest.fixture(scope="package")
def running_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FourGateways]:
    with four_gateways(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture
def fleet(running_fleet: FourGateways) -> FourGateways:
    """Four gateways and their provider, with nothing counted and nothing planned."""
    running_fleet.provider.start_anew()
    running_fleet.api.take()
    return running_fleet
