"""Octets at every endpoint: a 4xx with a stable code, never a 500, nothing lost (ASVS 16.5)."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import Code
from tests.support.world import BASE, LOGIN, ORIGIN, SESSION, World, settings_of

CODES = {code.value for code in Code} - {"internal"}

SITE = Path(__file__).parents[2] / "gateway" / "dev" / "app"
SETTINGS = settings_of(
    {"routes": [*BASE["routes"], {"path": "/app/", "static": str(SITE), "access": "public"}]}
)


def endpoints() -> list[bytes]:
    """Every endpoint the gateway has, by its own account, and every kind of route."""
    names = World(SETTINGS).gateway.endpoints.paths()
    filled = [name + "main" if name.endswith("/") else name for name in names]
    own = [f"/bff/{name}".encode() for name in [*filled, "", "nothing", "callback/nobody"]]
    routes = [
        b"/api/x",
        b"/api/admin/x",
        b"/public/x",
        b"/maybe/x",
        b"/",
        b"/app/",
        b"/app/main.js",
    ]
    return [*own, *routes, b"/bff"]


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", ""]
NAMES = [
    b"host",
    b"cookie",
    b"origin",
    b"referer",
    b"sec-fetch-site",
    b"sec-fetch-mode",
    b"sec-fetch-dest",
    b"x-csrf",
    b"accept",
    b"content-type",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"forwarded",
    b"x-forwarded-for",
    b"via",
    b"max-forwards",
    b"traceparent",
    b"x-request-id",
    b"range",
    b"if-none-match",
    b"authorization",
]

octets = st.binary(max_size=200)
plausible = st.sampled_from(
    [
        b"app.example",
        b"1",
        b"same-origin",
        b"navigate",
        b"none",
        b"cross-site",
        b"text/html",
        b"application/x-www-form-urlencoded",
        b"https://app.example",
        f"{SESSION}=x".encode(),
        f"{SESSION}=".encode() + b"A" * 43 + b".x",
        f"{LOGIN}=".encode() + b"A" * 43,
        b"code=x&state=y&iss=https%3A%2F%2Fid.example",
        b"gzip",
    ]
)
values = st.one_of(plausible, octets)
fields = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=8)
queries = st.one_of(
    st.just(b""),
    octets,
    st.sampled_from(
        [
            b"code=x&state=y",
            b"code=x&state=y&iss=https%3A%2F%2Fid.example",
            b"error=x&state=",
            b"state=%ff",
            b"return_to=%00",
            b"return_to=/public/x&prompt=none",
            b"resume=x",
            b"resume=" + b"A" * 300,
            b"provider=%F0%9F%92%A9",
            b"max_age=99999999999999999999",
            b"&&&===;;;",
        ]
    ),
)


def check(answer: Any, method: str) -> None:
    assert answer.status < 500 or answer.status in (501, 502, 503, 504, 508), answer.status
    if answer.status in (200, 204, 206, 303, 304) or method == "HEAD":
        return
    assert answer.status >= 400
    content_type = answer.one("content-type") or ""
    if content_type == "application/problem+json":
        assert answer.json()["code"] in CODES
    else:
        assert any(code in answer.text for code in CODES)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    endpoint=st.sampled_from(endpoints()),
    method=st.sampled_from(METHODS),
    extra=fields,
    query=queries,
    body=st.one_of(st.just(b""), octets, queries),
    with_host=st.booleans(),
    with_session=st.booleans(),
)
async def test_no_octets_at_any_endpoint_are_a_500(
    endpoint: bytes,
    method: str,
    extra: list[tuple[bytes, bytes]],
    query: bytes,
    body: bytes,
    with_host: bool,
    with_session: bool,
) -> None:
    world = World(SETTINGS)
    headers = list(extra)
    if with_host:
        headers = [(b"host", b"app.example"), *(pair for pair in extra if pair[0] != b"host")]
    if with_session:
        browser = await world.logged_in()
        cookie = f"{SESSION}={browser.cookies[SESSION].value}".encode()
        headers += [(b"cookie", cookie), (b"x-csrf", b"1"), (b"sec-fetch-site", b"same-origin")]
    alive = len(world.store.live_sessions())
    target = endpoint + (b"?" + query if query else b"")
    answer = await world.raw(method, target, headers, body)
    check(answer, method)
    own_logout = endpoint == b"/bff/logout" and method == "POST"
    if not own_logout:
        assert len(world.store.live_sessions()) == alive


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    target=st.one_of(octets, octets.map(lambda rest: b"/" + rest)), method=st.sampled_from(METHODS)
)
async def test_no_octets_as_a_target_are_a_500(target: bytes, method: str) -> None:
    world = World(SETTINGS)
    answer = await world.raw(method, target, [(b"host", b"app.example")])
    check(answer, method)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    value=st.one_of(octets, st.text(max_size=120).map(lambda text: text.encode("utf-8", "replace")))
)
async def test_no_octets_as_a_cookie_are_a_500_or_a_session_b13(value: bytes) -> None:
    world = World(SETTINGS)
    for name in (SESSION, LOGIN):
        line = name.encode() + b"=" + value
        headers = [(b"host", b"app.example"), (b"cookie", line), (b"x-csrf", b"1")]
        answer = await world.raw("GET", b"/api/x", [*headers, (b"sec-fetch-site", b"same-origin")])
        assert answer.status in (400, 401)
        assert world.api.received == []


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "text/plain", "multipart/form-data"]
)
async def test_a_callback_post_that_is_no_form_is_a_400(content_type: str) -> None:
    world = World(SETTINGS)
    headers = [(b"host", b"app.example"), (b"content-type", content_type.encode())]
    answer = await world.raw("POST", b"/bff/callback/main", headers, b'{"code":"x","state":"y"}')
    assert answer.status == 400
    assert answer.json()["code"] == "body.malformed"


async def test_a_huge_form_is_refused_before_it_is_read_whole() -> None:
    world = World(SETTINGS)
    headers = [(b"host", b"app.example"), (b"content-type", b"application/x-www-form-urlencoded")]
    answer = await world.raw("POST", b"/bff/callback/main", headers, b"a=" + b"x" * 1_000_000)
    assert answer.status == 413
    assert answer.json()["code"] == "body.too_large"


async def test_an_address_of_8000_octets_is_fine_and_one_beyond_any_limit_is_414_k10() -> None:
    world = World(SETTINGS)
    host = [(b"host", b"app.example")]
    assert (await world.raw("GET", b"/public/" + b"a" * 7900, host)).status == 200
    assert (await world.raw("GET", b"/public/" + b"a" * 1_048_576, host)).status == 414


@pytest.mark.parametrize("name", ["code", "state", "iss", "error"])
async def test_a_parameter_sent_twice_is_refused_e10(name: str) -> None:
    world = World(SETTINGS)
    browser = world.browser()
    started = await browser.load(f"{ORIGIN}/bff/login")
    at_provider = await browser.load(started.one("location") or "")
    url = f"{at_provider.one('location')}&{name}=x&{name}=x"
    answer = await browser.load(url)
    assert answer.status == 400
    assert world.provider.seen("/token") == 0
