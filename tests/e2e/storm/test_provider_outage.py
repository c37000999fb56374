"""A provider is down, busy or confused: nobody is logged out, and it is left in peace (H10)."""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence

import pytest

from tests.support.four_gateways import FourGateways
from tests.support.storm import Answered, Caller, cookies_set, statuses

pytestmark = pytest.mark.e2e

OUTAGE = 6.0  # seconds; sixty would show the same, sixty seconds later
EXPIRED = 20  # sessions that need a new token meanwhile
PROBES = 8  # attempts one process may make in that time beyond the first of every session
AGEING = 16  # seconds: a token that lives so long is due after half of it, and good three more


def unavailable(answered: Sequence[Answered]) -> None:
    """Everybody was asked to come again, and keeps the cookie."""
    assert statuses(answered) == {503: len(answered)}
    assert cookies_set(answered) == []
    for one in answered:
        assert one.answer is not None
        assert json.loads(one.answer.body)["code"] == "token.unavailable"
        (wait,) = one.values(b"retry-after")
        assert 1 <= int(wait) <= 60


async def until_served(browser: Caller, port: int) -> None:
    """Ask again and again, as often as we are told to come again."""
    async with asyncio.timeout(30):
        while (answered := await browser.ask(port)).status != 200:
            unavailable([answered])
            await asyncio.sleep(0.25)


async def logged_in(fleet: FourGateways, lifetime: int, *accounts: str) -> list[Caller]:
    """Browsers in which these people have just logged in."""
    fleet.provider.plan(first=lifetime)
    logins = (asyncio.to_thread(fleet.log_in, account) for account in accounts)
    return list(await asyncio.gather(*logins))


def everywhere(
    fleet: FourGateways, browsers: Sequence[Caller], turn: int = 0
) -> list[tuple[Caller, int]]:
    """Each browser with one of the ports, another one for every turn."""
    first = turn // len(browsers) % len(fleet.ports)
    ports = itertools.cycle(fleet.ports[first:] + fleet.ports[:first])
    return list(zip(browsers, ports, strict=False))


async def health(fleet: FourGateways, *browsers: Caller) -> set[str]:
    """What they are told of the tokens of their sessions."""
    asking = (browser.ask(fleet.ports[0], "/bff/session") for browser in browsers)
    told = [one.answer for one in await asyncio.gather(*asking)]
    return {json.loads(answer.body)["tokens"] for answer in told if answer}


async def test_a_provider_is_down_and_only_those_without_a_good_token_have_to_wait_h10(
    fleet: FourGateways,
) -> None:
    names = [f"expired-{number}" for number in range(EXPIRED)]
    ageing = await logged_in(fleet, AGEING, "ageing")
    begun = time.monotonic()
    fresh = await logged_in(fleet, 300, "fresh")
    expired = await logged_in(fleet, 1, *names)
    await asyncio.sleep(1.1)
    fleet.provider.plan(down=True)
    over = max(time.monotonic() + OUTAGE, begun + AGEING / 2 + 0.7)
    good: list[Answered] = []
    bad: list[Answered] = []
    while (now := time.monotonic()) < over:
        for browser in (*fresh, *ageing) if now < begun + AGEING - 6 else fresh:
            good += await browser.storm(fleet.ports, len(fleet.ports))
        turns = (browser.ask(port) for browser, port in everywhere(fleet, expired, len(bad)))
        bad += await asyncio.gather(*turns)
        await asyncio.sleep(0.1)
    assert await health(fleet, *fresh) == {"healthy"}
    async with asyncio.timeout(2):  # it is due by now, and fails behind everybody's back
        while await health(fleet, *ageing) != {"degraded"}:
            good += await ageing[0].storm(fleet.ports, len(fleet.ports))
    attempts = fleet.provider.refused()
    fleet.provider.plan(down=False)
    assert statuses(good) == {200: len(good)}
    assert cookies_set(good) == []
    unavailable(bad)
    assert 0 < attempts <= EXPIRED + len(fleet.ports) * PROBES, f"for {len(bad)} calls"
    # It is back: everybody goes on with the session they had, at every process.
    for browser, port in everywhere(fleet, expired):
        await until_served(browser, port)
    for name in names:
        assert fleet.provider.grants(name) == ["granted"]
    everybody = [browser.storm(fleet.ports, 4) for browser in (*expired, *fresh, *ageing)]
    answered = [one for some in await asyncio.gather(*everybody) for one in some]
    assert statuses(answered) == {200: len(answered)}
    assert cookies_set(answered) == []
    assert await health(fleet, *fresh, *ageing, *expired) == {"healthy"}


async def test_a_provider_that_asks_for_patience_gets_it_from_every_process_h10(
    fleet: FourGateways,
) -> None:
    (browser,) = await logged_in(fleet, 1, "patient")
    await asyncio.sleep(1.1)
    busy = {"status": 429, "headers": {"retry-after": "2"}, "body": {"error": "slow_down"}}
    fleet.provider.plan(answers=[busy])
    unavailable(await browser.storm(fleet.ports, 40))
    unavailable(await browser.storm(fleet.ports, 40))
    assert fleet.provider.grants() == ["answered 429"]
    await until_served(browser, fleet.ports[1])
    assert fleet.provider.grants() == ["answered 429", "granted"]


async def test_only_the_member_error_is_a_verdict_never_a_word_in_a_text_h10(
    fleet: FourGateways,
) -> None:
    said = {"error": "server_error", "error_description": "invalid_grant"}
    answers: list[dict[str, object]] = [
        {"status": 400, "body": said},
        {"status": 400, "body": "invalid_grant"},
        {"status": 502, "body": {"error": "invalid_grant"}},
    ]
    people = await logged_in(fleet, 1, *(f"told-{number}" for number in range(len(answers))))
    await asyncio.sleep(1.1)
    for browser, answer in zip(people, answers, strict=True):
        fleet.provider.plan(answers=[answer])
        unavailable(await browser.storm(fleet.ports, 8))
    for number, browser in enumerate(people):
        await until_served(browser, fleet.ports[0])
        assert fleet.provider.grants(f"told-{number}") == ["granted"]
