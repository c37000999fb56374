"""After all storms: the log at its most talkative holds no token and no cookie (lesson 4.1)."""

import pytest

from tests.support.four_gateways import FourGateways

pytestmark = pytest.mark.e2e


async def test_no_token_and_no_cookie_is_in_any_log(fleet: FourGateways) -> None:
    renewed = await fleet.log_in_and_expire("written")
    await renewed.storm(fleet.ports, 8)
    lost = await fleet.log_in_and_expire("written-and-lost")
    fleet.provider.plan(lose=1)
    await lost.storm(fleet.ports, 8)
    issued = fleet.provider.issued()
    assert len(issued) >= 12
    # At debug level, at which nothing that runs here writes a line: what would is silenced.
    for gateway in fleet.gateways:
        assert "level: debug" in gateway.file.read_text()
    for event in ("token.refreshed", "token.refresh_failed"):
        assert f'"event": "{event}"' in fleet.written()
    for token in issued:
        assert token not in fleet.written()
        assert token.split(".")[-1] not in fleet.written()
    for cookie in f"{renewed.cookie}; {lost.cookie}".split("; "):
        assert cookie.partition("=")[2] not in fleet.written()
