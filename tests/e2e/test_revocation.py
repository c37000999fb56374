"""A refresh token outlives nobody's patience and no crash: it is revoked in the end (H16)."""

import asyncio
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.secret import StoreUrl
from tests.support.crew import Crew, crewed
from tests.support.provider import FakeProvider
from tests.support.provider_server import serving_provider
from tests.support.redis_servers import RealServer, free_port, redis_server_binary, running
from tests.support.store_watcher import until
from tests.support.world import SESSION, World

pytestmark = pytest.mark.e2e

CEILING = 2.0  # seconds a logout may take, whatever the provider does
TOKEN = "rt-of-a-session-that-is-over"


def hang_up_on(provider: FakeProvider) -> threading.Event:
    """Have the revocation endpoint take every request and answer none, until the event is set."""
    heals = threading.Event()
    plain = provider.send

    async def hanging(request: BackChannelRequest) -> BackChannelAnswer:
        if request.url.endswith("/revoke") and not heals.is_set():
            provider.requests.append(request)
            await asyncio.to_thread(heals.wait, 60)
            return BackChannelAnswer(503)  # whoever asked has long gone
        return await plain(request)

    provider.send = hanging  # type: ignore[method-assign]  # as above
    return heals


def log_out(crew: Crew, cookie: str) -> tuple[int, float]:
    """The status, and how many seconds the person waited."""
    request = urllib.request.Request(
        f"http://localhost:{crew.port}/bff/logout",
        method="POST",
        headers={"cookie": cookie, "x-csrf": "1", "sec-fetch-site": "same-origin"},
    )
    begun = time.monotonic()
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
        return answer.status, time.monotonic() - begun


def kill(crew: Crew) -> None:
    """kill -9, the supervisor first: nothing is finished, and nobody is replaced."""
    workers = crew.workers()
    for pid in (crew.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    crew.program.process.wait(10)


async def test_a_token_whose_revocation_hangs_survives_a_kill_and_is_revoked_by_the_next_gateway(
    tmp_path_factory: pytest.TempPathFactory, store: str
) -> None:
    folders: list[Path] = [tmp_path_factory.mktemp("gateway") for _ in range(2)]
    with serving_provider() as provider:
        heals = hang_up_on(provider)
        main = {
            "issuer": provider.issuer,
            "client_id": "spa",
            "client_secret": {"env": "CLIENT_SECRET"},
        }
        with crewed(folders[0], store, 1, providers={"main": main}) as first:
            cookie = await first.log_in(refresh_token=TOKEN)
            status, waited = await asyncio.to_thread(log_out, first, cookie)
            assert status == 200
            assert waited < CEILING
            await until(lambda: provider.seen("/revoke") == 1)
            kill(first)
        heals.set()
        assert provider.revoked == []
        with crewed(folders[1], store, 1, providers={"main": main}) as second:
            await until(lambda: bool(provider.revoked), within=30)
            await second.until(lambda: second.metric("gateway_revocations_total") == 1)
            (line,) = [one for one in second.lines() if one.get("event") == "token.revoked"]
            assert line["outcome"] == "success"
            written = first.program.output + second.program.output
    assert provider.revoked == [TOKEN]
    assert TOKEN not in written


async def test_a_frozen_store_holds_nobody_who_logs_out_and_the_next_try_gives_the_token_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """F2: nobody can be logged out then, which is said soon; the cookie stays for another try."""
    folder = tmp_path_factory.mktemp("redis")
    with running(RealServer(redis_server_binary(), folder, port=free_port())) as server:
        store = RedisStore(StoreSettings(StoreUrl(f"redis://127.0.0.1:{server.port}/0")))
        world = World(store=store)
        browser = await world.logged_in()
        server.freeze()
        begun = time.monotonic()
        refused = await browser.fetch("/bff/logout", "POST")
        waited = time.monotonic() - begun
        server.thaw()
        kept = SESSION in browser.cookies
        answer = await browser.fetch("/bff/logout", "POST")
        await world.gateway.aclose()
        await store.aclose()
    assert refused.status == 503
    assert waited < CEILING
    assert kept
    assert answer.status == 200
    assert world.provider.revoked == [one for one in world.issued() if one.startswith("rt-")]
