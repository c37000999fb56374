"""The store or an API fails: nobody is logged out, nothing falls open (D11)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Send

from gateway.errors import Code, Unavailable
from tests.support.serving import served, serving
from tests.support.strict_http import read_answers
from tests.support.world import SESSION, World, settings_of

ROUTES = [("GET", "/api/x"), ("GET", "/bff/session"), ("GET", "/bff/sessions"), ("GET", "/maybe/x")]


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("POST", "/bff/logout")])
async def test_a_store_outage_is_a_503_with_the_cookie_untouched_f1(method: str, path: str) -> None:
    world = World()
    browser = await world.logged_in()
    world.store.down = True
    answer = await browser.fetch(path, method)
    assert answer.status == 503
    assert answer.json()["code"] == "store.unavailable"
    assert answer.one("retry-after") == "1"
    assert answer.all("set-cookie") == []
    assert answer.all("clear-site-data") == []
    assert world.api.received == []
    world.store.down = False
    assert SESSION in browser.cookies
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_person_opening_a_page_during_the_outage_is_not_sent_to_log_in() -> None:
    world = World()
    browser = await world.logged_in()
    world.store.down = True
    answer = await browser.load("https://app.example/api/page", site="same-origin")
    assert answer.status == 503
    assert answer.one("location") is None
    assert "Nothing is lost" in answer.text


async def test_public_routes_do_not_notice() -> None:
    world = World()
    browser = await world.logged_in()
    world.store.down = True
    assert (await browser.fetch("/public/x")).status == 200


async def test_readiness_follows_the_store_and_liveness_does_not() -> None:
    world = World()
    assert (await world.admin(b"/readyz")).status == 200
    world.store.down = True
    assert (await world.admin(b"/readyz")).status == 503
    assert (await world.admin(b"/livez")).status == 200
    metrics = await world.admin(b"/metrics")
    assert b"gateway_security_events" in metrics.body


async def test_an_emptied_store_is_one_clean_login_and_the_old_cookie_goes_f6() -> None:
    world = World()
    browser = await world.logged_in()
    world.store.lose_everything()
    answer = await browser.fetch("/api/x")
    assert answer.status == 401
    assert answer.json()["code"] == "session.ended"
    assert SESSION not in browser.cookies
    await browser.navigate("/bff/login")
    assert (await browser.fetch("/api/x")).status == 200
    assert len(world.provider.authorizations) == 2


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.UPSTREAM_CONNECT, 502),
        (Code.UPSTREAM_PROTOCOL, 502),
        (Code.UPSTREAM_TIMEOUT, 504),
        (Code.UPSTREAM_OVERLOADED, 503),
    ],
)
async def test_an_api_outage_is_named_and_the_session_stays_m13(code: Code, status: int) -> None:
    world = World()
    browser = await world.logged_in()
    world.api.failure = Unavailable(code)
    answer = await browser.fetch("/api/x")
    assert answer.status == status
    assert answer.json()["code"] == code.value
    world.api.failure = None
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_late_401_does_not_delete_the_cookie_of_a_login_in_another_tab() -> None:
    """The answer names a cookie, not its value: an old request must not log the new session out."""
    world = World()
    browser = await world.logged_in()
    old = browser.cookies[SESSION]
    world.clock.advance(10)
    await browser.navigate("/bff/login")
    new = browser.cookies[SESSION]
    browser.cookies[SESSION] = old  # the request had left before the login
    answer = await browser.fetch("/api/x")
    assert answer.status == 401
    assert answer.all("set-cookie") == []
    browser.cookies[SESSION] = new
    assert (await browser.fetch("/api/x")).status == 200


async def test_a_broken_off_answer_is_broken_off_for_the_browser_too_m12() -> None:
    world = World()
    browser = await world.logged_in()

    world.api.pieces = (b"half", Unavailable(Code.UPSTREAM_PROTOCOL))
    with pytest.raises(Unavailable):
        await browser.fetch("/api/x")
    assert world.api.closed == 1


async def test_every_broken_off_answer_is_counted_and_one_line_names_its_request_f20(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    browser = await world.logged_in()
    world.api.pieces = (b"half", Unavailable(Code.UPSTREAM_PROTOCOL, note="it ended early"))
    for _ in range(3):
        with pytest.raises(Unavailable):
            await browser.fetch("/api/x")
    metrics = (await world.admin(b"/metrics")).text
    assert 'gateway_outages_total{code="upstream.protocol"} 3.0' in metrics
    (line,) = [record for record in caplog.records if record.name.startswith("gateway")]
    told = line.getMessage()
    assert "upstream.protocol: it ended early, after the answer had begun" in told
    (first, *_) = [
        value for key, value in world.api.received[0].fields if key.lower() == b"x-request-id"
    ]
    assert f"(request {first.decode()})" in told


@pytest.mark.parametrize("pause", [0.0, 0.05])
async def test_an_upstream_that_breaks_off_is_not_told_as_our_error_f20(
    pause: float, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(settings_of({"public_origin": "http://localhost:8080"}))
    world.api.body = Halting(pause)
    async with serving(world) as server:
        octets = await server.say(b"GET /public/x HTTP/1.1\r\nhost: localhost:8080\r\n\r\n")
    assert not octets.endswith(b"0\r\n\r\n")
    told = [record.getMessage() for record in caplog.records if "answer" in record.getMessage()]
    assert len(told) == 1, told
    assert "upstream.timeout: broken off, after the answer had begun (request " in told[0]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    metrics = (await world.admin(b"/metrics")).text
    assert 'gateway_outages_total{code="upstream.timeout"} 1.0' in metrics


class Halting:
    """A body that breaks off, at once or so many seconds after its first piece."""

    def __init__(self, pause: float) -> None:
        self._pause = pause

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.sleep(self._pause)
        raise Unavailable(Code.UPSTREAM_TIMEOUT)

    async def aclose(self) -> None:
        return


async def test_without_memory_a_request_is_a_503_and_one_line_without_a_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    browser = await world.logged_in()
    world.api.failure = MemoryError()  # wherever it strikes
    answer = await browser.fetch("/api/x")
    assert (answer.status, answer.one("retry-after")) == (503, "1")
    assert answer.json()["code"] == "connection.limit"
    (line,) = [record for record in caplog.records if record.name.startswith("gateway")]
    told = line.getMessage()
    assert told == f"no memory was left (request {answer.json()['request_id']})"
    assert line.exc_info is None
    world.api.failure = None
    assert (await browser.fetch("/api/x")).status == 200


@pytest.mark.parametrize("begun", [False, True])
async def test_without_memory_the_server_answers_503_or_breaks_off(
    begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def application(_: object, __: object, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise MemoryError

    async with served(application) as server:
        octets = await server.say(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    if begun:
        assert not octets.endswith(b"0\r\n\r\n")
    else:
        (answer,) = read_answers(octets, [])
        assert answer.status == 503
        assert b'"code":"connection.limit"' in answer.body
        assert (b"retry-after", b"1") in answer.fields
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.getMessage() == "no memory was left for a request"
    assert line.exc_info is None


async def test_an_answer_that_is_refused_gives_its_connection_back() -> None:
    world = World()
    browser = await world.logged_in()
    world.api.fields = ((b"x-broken", b"a\x00b"),)
    assert (await browser.fetch("/api/x")).json()["code"] == "upstream.protocol"
    assert world.api.closed == 1


@pytest.mark.parametrize("status", [100, 101, 199, 600, 999])
async def test_a_status_no_browser_knows_is_a_502_m13(status: int) -> None:
    world = World()
    browser = await world.logged_in()
    world.api.status = status
    assert (await browser.fetch("/api/x")).json()["code"] == "upstream.protocol"
    assert world.api.closed == 1


@pytest.mark.parametrize("octet", [b"\x01", b"\x08", b"\x0b", b"\x7f", b"\r", b"\n"])
async def test_a_control_character_in_an_answers_field_is_a_502_l7(octet: bytes) -> None:
    world = World()
    browser = await world.logged_in()
    world.api.fields = ((b"x-odd", b"a" + octet + b"b"),)
    assert (await browser.fetch("/api/x")).json()["code"] == "upstream.protocol"


async def test_a_protection_that_is_switched_off_is_shown_wherever_operators_look() -> None:
    changes = {
        "public_origin": "http://localhost:8080",
        "dangerously_allow_insecure_cookies": True,
    }
    world = World(settings_of(changes))
    ready = (await world.admin(b"/readyz")).json()
    assert ready["protections_switched_off"] == ["dangerously_allow_insecure_cookies"]
    metrics = (await world.admin(b"/metrics")).text
    name = "gateway_protection_switched_off"
    assert f'{name}{{setting="dangerously_allow_insecure_cookies"}} 1.0' in metrics
    assert "dangerously_allow_insecure_cookies" in world.audit("configuration.loaded")[0]["note"]


async def test_a_body_over_the_limit_is_refused_while_it_comes() -> None:
    world = World(settings_of({"limits": {"max_body_bytes": 1000}}))
    browser = await world.logged_in()
    assert (await browser.fetch("/api/x", "POST", body=b"x" * 1000)).status == 200
    answer = await browser.fetch("/api/x", "POST", body=b"x" * 1001)
    assert answer.status == 413
    assert answer.json()["code"] == "body.too_large"
    assert world.api.bodies == [b"x" * 1000]
