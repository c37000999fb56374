"""A gateway is told to stop while a provider makes up its mind: the grant is finished (H8, H9).

The refresh token is spent, and what comes for it exists nowhere else. A worker that is ended then
takes the session with it.
"""

import asyncio
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.crew import Crew, crewed
from tests.support.echo_server import echo_server
from tests.support.load import answer
from tests.support.provider import FakeProvider
from tests.support.provider_server import serving_provider
from tests.support.token_families import Attempt

pytestmark = pytest.mark.e2e

HOLDS = 6.5  # seconds, longer than the grace and what a worker has beyond it


def slowly(provider: FakeProvider) -> threading.Event:
    """Have it answer the next refresh late; the event says that the token is spent."""
    plain, spent = provider.send, threading.Event()

    async def send(request: Any) -> Any:
        said = await plain(request)
        if request.url.endswith("/token") and not spent.is_set():
            spent.set()
            time.sleep(HOLDS)  # noqa: ASYNC251  in a thread of this request alone
        return said

    provider.send = send  # type: ignore[method-assign]  # the same, later
    return spent


async def asked(crew: Crew, cookie: str) -> int:
    """The status of an API call; 0 when the connection was cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", crew.port)
    writer.write(
        f"GET /api/x HTTP/1.1\r\nhost: localhost:{crew.port}\r\n"
        f"sec-fetch-site: same-origin\r\nx-csrf: 1\r\ncookie: {cookie}\r\n\r\n".encode()
    )
    try:
        return (await answer(reader))[0]
    except EOFError:
        return 0
    finally:
        writer.close()


async def test_a_worker_that_is_told_to_stop_stores_what_it_was_granted(
    tmp_path: Path, store: str
) -> None:
    with serving_provider() as provider, echo_server() as api:
        provider.families.valid["rt-0"] = Attempt({"scope": "openid"}, "ada")
        secret = {"env": "CLIENT_SECRET"}
        main = {"issuer": provider.issuer, "client_id": "spa", "client_secret": secret}
        to = f"http://127.0.0.1:{api}/"
        changes: dict[str, Any] = {
            "providers": {"main": main},
            "routes": [{"path": "/api/", "upstream": to, "access": "session"}],
            "limits": {"shutdown_grace": "100ms"},
        }
        with crewed(tmp_path, store, 1, **changes) as crew:
            cookie = await crew.log_in(refresh_token="rt-0", lifetime=0.001)
            spent = slowly(provider)
            call = asyncio.create_task(asked(crew, cookie))
            assert await asyncio.to_thread(spent.wait, 20)
            crew.send(signal.SIGTERM)
            assert await asyncio.to_thread(crew.program.process.wait, 60) == 0
            await call  # cut off by the grace, if its connection could be
            refreshed = [line for line in crew.lines() if line["event"] == "token.refreshed"]
            assert len(refreshed) == 1
        with crewed(tmp_path, store, 1, **changes) as crew:
            assert await asked(crew, cookie) == 200
        assert provider.seen("/token") == 1
