"""After all storms: the most talkative log there is holds no token and no cookie (lesson 4.1)."""

import pytest

from tests.support.four_gateways import FourGateways

pytestmark = pytest.mark.e2e


async def test_no_token_and_no_cookie_is_in_any_log(fleet: FourGateways) -> None:
    browser = await fleet.log_in_and_expire("written")
    fleet.provider.plan(lose=1)
    await browser.storm(fleet.ports, 8)
    issued = fleet.provider.issued()
    assert len(issued) >= 6
    assert '"level": "debug"' in fleet.written() or '"token.refreshed"' in fleet.written()
    for token in issued:
        assert token not in fleet.written()
        assert token.split(".")[-1] not in fleet.written()
    for cookie in browser.cookie.split("; "):
        assert cookie.partition("=")[2] not in fleet.written()
