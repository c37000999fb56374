"""Providers that cannot be reached, when a whole gateway starts and later (F12)."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.asgi import Answer
from tests.support.bridge import Bridge
from tests.support.browser import Browser
from tests.support.crew import Crew, crewed
from tests.support.crowd import Crowd, is_their_own
from tests.support.echo_server import echo_server
from tests.support.processes import free_port
from tests.support.provider import FakeProvider
from tests.support.provider_server import serving_provider

pytestmark = pytest.mark.e2e

WITHIN = 3.0  # seconds for the page of a login that cannot be
SESSION = "__Host-Http-session"


@pytest.fixture
def port() -> int:
    """Where the provider will be."""
    return free_port()


@pytest.fixture
def crew(tmp_path: Path, store: str, port: int) -> Iterator[Crew]:
    client = {"client_id": "spa", "client_secret": {"env": "CLIENT_SECRET"}}
    providers = {
        "main": {"issuer": f"http://127.0.0.1:{port}", **client},
        "nowhere": {"issuer": "https://no-such-provider.invalid", **client},
    }
    with echo_server() as api:
        routes = [{"path": "/api/", "upstream": f"http://127.0.0.1:{api}/", "access": "session"}]
        with crewed(tmp_path, store, providers=providers, routes=routes) as started:
            yield started
            assert "Traceback" not in started.program.output


def browser_at(crew: Crew, provider: FakeProvider | None = None) -> Browser:
    home = f"http://localhost:{crew.port}"
    origins = {home: Bridge(crew.port)}
    return Browser({**origins, provider.issuer: provider} if provider else origins, home)


async def page_of(crew: Crew, path: str, browser: Browser | None = None) -> Answer:
    """What somebody sees there, and soon."""
    browser = browser or browser_at(crew)
    began = time.monotonic()
    answer = await browser.load(browser.home + path, site="cross-site")
    assert time.monotonic() - began < WITHIN
    return answer


def is_a_page_that_says_later(answer: Answer) -> None:
    assert answer.status == 503
    assert "text/html" in (answer.one("content-type") or "")
    assert int(answer.one("retry-after") or 0) >= 1
    assert not any(SESSION in cookie for cookie in answer.all("set-cookie"))


async def until_both_workers_know(crew: Crew) -> None:
    """Each of the two asks again by itself, a few seconds after it has asked in vain."""
    in_a_row = 0
    async with asyncio.timeout(30):
        while in_a_row < 20:
            started = await page_of(crew, "/bff/login")
            in_a_row = in_a_row + 1 if started.status == 303 else 0
            await asyncio.sleep(0.05)


async def nobody_notices(crowd: Crowd) -> None:
    for told in (await crowd.each("call"), await crowd.each("me")):
        assert all(one.status == 200 and is_their_own(one) for one in told)
        assert all(one.all(b"set-cookie") == [] for one in told)


async def test_f12_without_its_providers_a_gateway_starts_serves_and_heals(
    crew: Crew, port: int
) -> None:
    assert crew.get("/readyz")[0] == 200
    tokens = {f"person-{number}": f"token-of-person-{number}" for number in range(20)}
    crowd = Crowd(crew.port, await crew.log_in_all(tokens))
    # Never there so far: one refuses connections, the other has no address.
    for path in ("/bff/login", "/bff/login?provider=nowhere"):
        is_a_page_that_says_later(await page_of(crew, path))
        await nobody_notices(crowd)
    with ExitStack() as stack:
        provider = stack.enter_context(serving_provider(port))
        browser = browser_at(crew, provider)
        await until_both_workers_know(crew)
        await browser.navigate("/bff/login")
        assert SESSION in browser.cookies
        assert (await browser.fetch("/api/x")).status == 200
        # Gone again, between somebody's password and the way back.
        late = browser_at(crew, provider)
        started = await late.load(f"{late.home}/bff/login")
        back = (await late.load(started.one("location") or "")).one("location") or ""
    is_a_page_that_says_later(await page_of(crew, back.removeprefix(late.home), late))
    assert (await browser.fetch("/api/x")).status == 200
    await nobody_notices(crowd)
    assert (await page_of(crew, "/bff/login")).status == 303  # known by now; the way may be open
    assert crew.get("/readyz")[0] == 200
    with serving_provider(port) as provider:
        again = browser_at(crew, provider)
        await again.navigate("/bff/login")
        assert SESSION in again.cookies
    await nobody_notices(crowd)
