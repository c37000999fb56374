"""A gateway that people use, with a store, a provider and an API: for what happens when one fails.

The API says whose token it was shown; see `Crowd`.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.bridge import Bridge
from tests.support.browser import Browser, Cookie
from tests.support.crew import Crew, crewed
from tests.support.crowd import WITH_A_SESSION, Crowd, Told, is_their_own, names_somebody_else
from tests.support.echo_server import echo_server
from tests.support.provider import FakeProvider
from tests.support.provider_server import serving_provider
from tests.support.redis_servers import RealServer, free_port, redis_server_binary
from tests.support.redis_servers import running as serving

PEOPLE = 200
AS_DELIVERED: dict[str, str] = {}
PATIENT = {"connect_timeout": "3s", "command_timeout": "3s", "operation_timeout": "9s"}
"""For what happens, not how soon: a busy machine must not fail a test of that."""

_SOON = 5.0  # seconds; one is promised, and a busy machine may break that promise
SESSION = "__Host-Http-session"


@dataclass
class Place:
    """A gateway, its store and its provider."""

    crew: Crew
    server: RealServer
    provider: FakeProvider

    async def crowd(self, *, seen_ago: float = 0.0) -> Crowd:
        """So many people who have logged in."""
        tokens = {f"person-{n}": f"token-of-person-{n}" for n in range(PEOPLE)}
        return Crowd(self.crew.port, await self.crew.log_in_all(tokens, seen_ago=seen_ago))

    def browser(self, cookie: str = "") -> Browser:
        """A strict browser, with this session cookie if there is one."""
        home = f"http://localhost:{self.crew.port}"
        origins = {home: Bridge(self.crew.port), self.provider.issuer: self.provider}
        browser = Browser(origins, home)
        if cookie:
            browser.cookies[SESSION] = Cookie(cookie.partition("=")[2], "strict", "localhost")
        return browser

    async def until_ready(self) -> None:
        await self.crew.until(lambda: self.crew.get("/readyz")[0] == 200)


@contextmanager
def a_place(
    folder: Path, *, behind: int | None = None, timeouts: Mapping[str, str], **more: Any
) -> Iterator[Place]:
    """Run them for the length of a block; the gateway reaches its store at port `behind`, if set.

    `timeouts` are the store's, `more` are top-level keys of the configuration.
    """
    server = RealServer(redis_server_binary(), folder / "r", port=free_port())
    with serving(server), serving_provider() as provider, echo_server() as api:
        main = {
            "issuer": provider.issuer,
            "client_id": "spa",
            "client_secret": {"env": "CLIENT_SECRET"},
        }
        (folder / "site").mkdir()
        (folder / "site" / "index.html").write_text("<!doctype html><title>app</title>")
        routes = [
            {"path": "/api/", "upstream": f"http://127.0.0.1:{api}/", "access": "session"},
            {"path": "/", "static": str(folder / "site"), "access": "public"},
        ]
        url = f"redis://127.0.0.1:{behind or server.port}/0"
        changes: dict[str, Any] = {
            "providers": {"main": main},
            "routes": routes,
            "store": {"url": url},
            **more,
        }
        with crewed(folder, url, **changes) as crew:
            yield Place(crew, server, provider)


def nobody_is_logged_out(crowd: Crowd) -> None:
    """No answer takes a cookie back, sets another, moves anybody, or shows another's data."""
    for one in crowd.told:
        assert not names_somebody_else(one), one
        if one.status == 200 and one.kind in WITH_A_SESSION:
            assert is_their_own(one), one
        if one.kind == "login":  # it sets the login's own cookie
            assert all(SESSION.encode() not in cookie for cookie in one.all(b"set-cookie")), one
        else:
            assert one.all(b"set-cookie") == [], one
            assert one.all(b"location") == [], one
        assert one.status != 401, one
    assert crowd.lost == []


def is_an_outage(one: Told) -> bool:
    page = one.kind == "page" and b"Nothing is lost" in one.body
    return one.status == 503 and (page or one.code == "store.unavailable")


async def all_is_well_again(crowd: Crowd) -> None:
    """Everybody goes on with the session they had."""
    for kind in ("call", "me"):
        waiting = [*crowd.cookies]
        async with asyncio.timeout(_SOON):
            while waiting:
                told = await asyncio.gather(*(crowd.ask(kind, person) for person in waiting))
                assert all(one.status in (200, 503) for one in told)
                assert all(is_their_own(one) for one in told if one.status == 200)
                waiting = [one.person for one in told if one.status == 503]
