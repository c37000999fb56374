"""A token endpoint in every kind of trouble, at a login and at a refresh (F13, H6, H10, H20).

The answers come over a real connection, octet by octet as scripted, through the real back channel.
At a refresh none of them is a verdict: the old token is used as long as it is good, then there is a
503 with the cookie untouched, and when the provider is well again the session goes on. At a login
there is a page and no session. Nothing lasts longer than the one deadline.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.adapters.provider_http import BackChannelSettings, ProviderHttp
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from tests.support.backchannel_server import BackChannelServer, Script, Seen, answer
from tests.support.world import SESSION, World

DEADLINE = 0.15  # seconds for one exchange; 5 as delivered, which a test checks
GUARD = 4.0  # seconds; each of the slow ones would take far longer
JSON = "Content-Type: application/json"

Says = Callable[[bytes, str], bytes | Script]
"""Makes an answer of the honest one's body, and of where an internal server listens."""


def as_script(*pieces: bytes, pause: float) -> Script:
    async def script(_: Seen) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(pause)

    return script


def head(*fields: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()


def hundred_megabytes(_: bytes, __: str) -> Script:
    return as_script(head(JSON, "Content-Length: 104857600"), *[b" " * 65536] * 1600, pause=0)


def changed(**members: Any) -> Says:
    """The honest answer with other members; `...` for none."""

    def says(honest: bytes, _: str) -> bytes:
        said = {**json.loads(honest), **members}
        return answer(json.dumps({k: v for k, v in said.items() if v is not ...}).encode(), JSON)

    return says


def whole(body: Callable[[bytes], bytes], *fields: str, status: str = "200 OK") -> Says:
    return lambda honest, _: answer(body(honest), *fields, status=status)


def redirect(status: str) -> Says:
    return lambda honest, internal: answer(honest, JSON, f"Location: {internal}/", status=status)


def always(said: bytes | Script) -> Says:
    return lambda _, __: said


BROKEN: dict[str, Says] = {
    "ten seconds slow": always(as_script(b"", pause=10)),
    "hangs after the header": always(as_script(head(JSON, "Content-Length: 90"), pause=10)),
    "hangs within the header": always(as_script(b"HTTP/1.1 200 OK\r\nContent-", pause=10)),
    "an octet a second": lambda honest, _: as_script(
        head(JSON, f"Content-Length: {len(honest)}"), *(b"%c" % o for o in honest), pause=1
    ),
    "a hundred megabytes": hundred_megabytes,
    "a gzip bomb": whole(
        lambda _: gzip.compress(bytes(10_000_000)), JSON, "Content-Encoding: gzip"
    ),
    "half an answer": lambda honest, _: as_script(answer(honest, JSON)[:-40], pause=0),
    "not HTTP": always(as_script(b"SSH-2.0-OpenSSH_9.2\r\n", pause=0)),
    "500": whole(lambda _: b"oops", status="500 Internal Server Error"),
    "502 with a good body": whole(lambda honest: honest, JSON, status="502 Bad Gateway"),
    "503": whole(lambda _: b'{"error":"temporarily_unavailable"}', JSON, status="503 Busy"),
    "429": whole(lambda _: b"{}", JSON, "Retry-After: 7", status="429 Too Many Requests"),
    "301 to an internal address": redirect("301 Moved Permanently"),
    "302 to an internal address": redirect("302 Found"),
    "307 to an internal address": redirect("307 Temporary Redirect"),
    "308 to an internal address": redirect("308 Permanent Redirect"),
    "a page": whole(lambda _: b"<h1>maintenance</h1>", "Content-Type: text/html"),
    "a list": whole(lambda honest: b"[" + honest + b"]", JSON),
    "null": whole(lambda _: b"null", JSON),
    "nothing": whole(lambda _: b"", JSON),
    "a byte order mark": whole(lambda honest: b"\xef\xbb\xbf" + honest, JSON),
    "UTF-16": whole(lambda honest: honest.decode().encode("utf-16"), JSON),
    "cut off within JSON": whole(lambda honest: honest[:-20], JSON),
    "a repeated access_token": whole(lambda honest: b'{"access_token":"x",' + honest[1:], JSON),
    "a repeated expires_in": whole(lambda honest: b'{"expires_in":9,' + honest[1:], JSON),
    "no token_type": changed(token_type=...),
    "another token_type": changed(token_type="mac"),
    "no access_token": changed(access_token=...),
    "an access_token that is a number": changed(access_token=7),
    "an access_token with a line break": changed(access_token="a\r\nx-user: root"),
    "an access_token without end": changed(access_token="a" * 100_000),
    "an error in a 200": whole(lambda _: b'{"error":"invalid_grant"}', JSON),
    "invalid_grant in a description": whole(
        lambda _: b'{"error":"invalid_request","error_description":"invalid_grant"}',
        JSON,
        status="400 Bad Request",
    ),
    "invalid_client": whole(lambda _: b'{"error":"invalid_client"}', JSON, status="401 No"),
}

ODD_AND_GOOD: dict[str, Says] = {
    "another content type": whole(lambda honest: honest, "Content-Type: text/html"),
    "no content type": whole(lambda honest: honest),
    "expires_in as text": changed(expires_in="3600"),
    "expires_in below zero": changed(expires_in=-1),
    "no expires_in": changed(expires_in=...),
    "expires_in 1e20": changed(expires_in=1e20),
    "expires_in null": changed(expires_in=None),
    "token_type in capitals": changed(token_type="BEARER"),
    "members nobody knows": changed(not_before=[1, {"a": None}], foo="\u0000"),
    "in pieces": lambda honest, _: as_script(
        head(JSON, "Connection: close", f"Content-Length: {len(honest)}"),
        honest[:7],
        honest[7:],
        pause=0.01,
    ),
}


@dataclass
class Trouble:
    """A world whose provider's token endpoint says what `says` makes, or is honest without it."""

    world: World
    internal: BackChannelServer
    says: Says | None = None


@asynccontextmanager
async def trouble(deadline: float = DEADLINE) -> AsyncIterator[Trouble]:
    world = World()
    world.provider.rotate = False  # whether one is lost with its answer is another story (F16)
    settings = BackChannelSettings(
        total_timeout=deadline, refresh_timeout=deadline, connect_timeout=deadline
    )
    channel = ProviderHttp(settings)
    honest = world.provider.send
    async with BackChannelServer(answer(b"secrets")) as internal, BackChannelServer(b"") as server:
        made = Trouble(world, internal)

        async def send(request: BackChannelRequest) -> BackChannelAnswer:
            told = await honest(request)
            if made.says is None or not request.url.endswith("/token"):
                return told
            server.reply = made.says(told.body, internal.url)
            return await channel.send(replace(request, url=f"{server.url}/token"))

        world.provider.send = send  # type: ignore[method-assign]  # the same, over a wire
        yield made
        await world.gateway.aclose()
    await channel.aclose()
    assert internal.requests == []
    assert internal.connections == 0


def test_as_delivered_one_deadline_of_seconds_and_one_limit_of_size_h20() -> None:
    settings = BackChannelSettings()
    assert settings.total_timeout <= 5
    assert settings.max_body <= 1024 * 1024


@pytest.mark.parametrize("name", BROKEN)
async def test_f13_no_trouble_at_a_refresh_logs_anybody_out(name: str) -> None:
    async with trouble() as made:
        world = made.world
        browser = await world.logged_in()
        former = browser.cookies[SESSION].value
        made.says = BROKEN[name]
        # The token is still good: nobody waits, nobody notices.
        world.clock.advance(250)
        async with asyncio.timeout(GUARD):
            assert (await browser.fetch("/api/x")).status == 200
            # It is not: a 503, soon, and the session stays.
            world.clock.advance(120)
            answer = await browser.fetch("/api/x")
            assert answer.status == 503
            assert answer.json()["code"] == "token.unavailable"
            assert int(answer.one("retry-after") or 0) >= 1
            page = await browser.load("https://app.example/api/page", site="same-origin")
            assert (page.status, page.one("location")) == (503, None)
        assert len(world.api.received) == 1
        seen = await browser.fetch("/bff/session")
        assert (seen.json()["authenticated"], seen.json()["tokens"]) == (True, "degraded")
        assert all(one.all("set-cookie") == [] for one in (answer, page, seen))
        # The provider is well again.
        made.says = None
        world.clock.advance(70)
        assert (await browser.fetch("/api/x")).status == 200
        assert (await browser.fetch("/bff/session")).json()["tokens"] == "healthy"
        assert browser.cookies[SESSION].value == former
        assert world.audit("session.ended") == []


@pytest.mark.parametrize("name", BROKEN)
async def test_f13_no_trouble_at_a_login_is_a_session_or_a_500(name: str) -> None:
    async with trouble() as made:
        made.says = BROKEN[name]
        browser = made.world.browser()
        async with asyncio.timeout(GUARD):
            page = await browser.navigate("/bff/login")
        assert page.status in (502, 503)
        assert "text/html" in (page.one("content-type") or "")
        assert SESSION not in browser.cookies
        assert made.world.store.live_sessions() == {}
        made.says = None
        await browser.navigate("/bff/login")
        assert SESSION in browser.cookies


@pytest.mark.parametrize("name", ODD_AND_GOOD)
async def test_f13_an_odd_answer_that_is_one_counts(name: str) -> None:
    async with trouble(GUARD) as made:
        made.says = ODD_AND_GOOD[name]
        browser = await made.world.logged_in()
        assert (await browser.fetch("/api/x")).status == 200
        made.world.clock.advance(1790)  # most have run out, and none lives for ever
        assert (await browser.fetch("/api/x")).status == 200
        assert (await browser.fetch("/bff/session")).json()["tokens"] == "healthy"
