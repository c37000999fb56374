"""Somebody with write access to a real Redis moves sealed sessions about (D10).

The gateway is composed as in production over the store on a real redis-server; the intruder
speaks to the server directly and uses none of our code.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.secret import StoreUrl
from tests.support.browser import Browser
from tests.support.redis_servers import RealServer, free_port, redis_server_binary, running
from tests.support.world import World

pytestmark = pytest.mark.e2e

_TOLD = 0.3  # seconds in which the server announces what the intruder wrote (ADR 0007)


@dataclass
class Case:
    """Two people with a session each, and the server that both lie on."""

    server: RealServer
    world: World
    ada: Browser
    grace: Browser

    def key(self, browser: Browser) -> str:
        """Where this browser's session lies on the server."""
        return f"gw:s:{self.world.lookup_of(browser)}"

    def value(self, browser: Browser) -> bytes:
        value = self.server.command("GET", self.key(browser))
        assert isinstance(value, bytes)
        return value

    def unreadable(self) -> list[dict[str, Any]]:
        return self.world.audit("session.unreadable")

    async def is_in(self, browser: Browser, subject: str) -> None:
        await asyncio.sleep(_TOLD)
        assert (await browser.fetch("/api/x")).status == 200
        assert (await browser.fetch("/bff/session")).json()["user"]["sub"] == subject

    async def is_out(self, browser: Browser) -> None:
        """Refused at the API, and shown nobody: neither themselves nor whoever was copied."""
        await asyncio.sleep(_TOLD)
        received = len(self.world.api.received)
        answer = await browser.fetch("/api/x")
        assert (answer.status, answer.json()["code"]) == (401, "session.ended")
        assert (await browser.fetch("/bff/session")).json()["user"] is None
        assert len(self.world.api.received) == received


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("redis")
    with running(RealServer(redis_server_binary(), folder, port=free_port())) as started:
        yield started


@pytest.fixture
async def case(server: RealServer) -> AsyncIterator[Case]:
    url = StoreUrl(f"redis://127.0.0.1:{server.port}/0")
    # Patient: what happens is tested here, not how soon.
    settings = StoreSettings(url, connect_timeout=3, command_timeout=3, slot_timeout=3, budget=9)
    store = RedisStore(settings)
    world = World(store=store)
    ada = await world.logged_in()
    world.provider.subject = "grace"
    grace = await world.logged_in()
    opened = Case(server, world, ada, grace)
    await opened.is_in(ada, "ada")
    await opened.is_in(grace, "grace")
    yield opened
    await store.aclose()


async def test_a_record_copied_onto_another_persons_key_opens_nothing_d10(case: Case) -> None:
    assert case.server.command("COPY", case.key(case.ada), case.key(case.grace), "REPLACE") == 1
    assert case.value(case.grace) == case.value(case.ada)
    await case.is_out(case.grace)
    await case.is_in(case.ada, "ada")
    lines = case.unreadable()
    assert lines
    assert {line["outcome"] for line in lines} == {"failure"}


async def test_two_records_exchanged_open_nothing_and_put_back_open_again_d10(case: Case) -> None:
    of_ada, of_grace = case.value(case.ada), case.value(case.grace)
    case.server.command("SET", case.key(case.ada), of_grace, "KEEPTTL")
    case.server.command("SET", case.key(case.grace), of_ada, "KEEPTTL")
    for browser in (case.ada, case.grace):
        await case.is_out(browser)
    # Nobody was logged out for it: the gateway destroys nothing that it cannot judge.
    case.server.command("SET", case.key(case.ada), of_ada, "KEEPTTL")
    case.server.command("SET", case.key(case.grace), of_grace, "KEEPTTL")
    await case.is_in(case.ada, "ada")
    await case.is_in(case.grace, "grace")


async def test_the_octets_of_the_generation_are_sealed_as_well_d10(case: Case) -> None:
    """The generation stands in clear before the record; whoever raises it gains nothing."""
    value = case.value(case.ada)
    generation = int.from_bytes(value[:8], "big") + 1
    forged = generation.to_bytes(8, "big") + value[8:]
    case.server.command("SET", case.key(case.ada), forged, "KEEPTTL")
    await case.is_out(case.ada)
    await case.is_in(case.grace, "grace")


async def test_a_timer_taken_off_a_record_does_not_make_the_session_longer_d4_d10(
    case: Case,
) -> None:
    assert case.server.command("PERSIST", case.key(case.ada)) == 1
    case.world.clock.advance(1801)
    await case.is_out(case.ada)
    assert case.server.command("EXISTS", case.key(case.ada)) == 1
