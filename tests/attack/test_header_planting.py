"""Header planting: what a client says about itself never reaches an API as if we had said it."""

import pytest

from tests.support.browser import Cookie
from tests.support.world import SESSION, World, settings_of

PLANTED = [
    "authorization",
    "Authorization",
    "x-forwarded-for",
    "X_Forwarded_For",
    "x_forwarded-user",
    "x-forwarded-user",
    "X-Forwarded-Email",
    "x-forwarded-groups",
    "x-forwarded-access-token",
    "x-auth-request-user",
    "x-auth-request-access-token",
    "X_Auth_Request_Email",
    "remote-user",
    "remote_user",
    "x-remote-user",
    "x-real-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
    "x-http-method",
    "proxy",
    "proxy-authorization",
    "forwarded",
    "dpop",
    "cookie2",
    "x-csrf",
]


@pytest.mark.parametrize("name", PLANTED)
async def test_a_planted_field_is_gone_or_replaced_l4(name: str) -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch(
        "/api/x", headers={name: "planted-value"} if name != "x-csrf" else {}
    )
    assert answer.status == 200
    sent = b"\n".join(value for _, value in world.api.received[0].fields)
    assert b"planted-value" not in sent
    if name == "x-csrf":
        assert world.api.sent(b"x-csrf") == []


async def test_exactly_one_bearer_token_arrives_whatever_the_browser_sends_h14() -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x", headers={"authorization": "Bearer mine"})
    assert len(world.api.sent(b"authorization")) == 1
    assert world.api.sent(b"authorization")[0] != b"Bearer mine"


@pytest.mark.parametrize(
    "query",
    ["access_token=x", "a=1&access_token=x", "ACCESS_TOKEN=x", "access%5Ftoken=x", "access_token"],
)
async def test_a_token_in_the_query_is_refused_h14(query: str) -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch(f"/api/x?{query}")
    assert answer.status == 400
    assert answer.json()["code"] == "token.in_request"
    assert world.api.received == []


async def test_neither_of_our_cookies_reaches_an_api_a7() -> None:
    world = World()
    browser = await world.logged_in()
    browser.cookies["theme"] = Cookie("dark", "lax", "app.example")
    await browser.fetch("/api/x")
    assert world.api.sent(b"cookie") == []


async def test_an_allowed_cookie_is_forwarded_and_ours_beside_it_is_not_a7() -> None:
    routes = [
        {
            "path": "/api/",
            "upstream": "http://api.internal:8080/",
            "access": "session",
            "pass_cookies": ["theme"],
        }
    ]
    world = World(settings_of({"routes": routes}))
    browser = await world.logged_in()
    browser.cookies["theme"] = Cookie("dark", "lax", "app.example")
    browser.cookies["other"] = Cookie("x", "lax", "app.example")
    await browser.fetch("/api/x")
    assert world.api.sent(b"cookie") == [b"theme=dark"]


async def test_a_direct_client_does_not_choose_its_own_address_n1() -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x", headers={"x-forwarded-for": "198.51.100.1"})
    assert world.api.sent(b"x-forwarded-for") == [b"203.0.113.7"]
    assert world.audit("login.succeeded")[0]["client"] == "203.0.113.7"


async def test_behind_a_listed_proxy_the_walk_stops_at_the_first_stranger_n2() -> None:
    world = World(settings_of({"trusted_proxies": ["10.0.0.0/8"]}))
    browser = await world.logged_in()
    browser.peer = "10.0.0.9"
    await browser.fetch("/api/x", headers={"x-forwarded-for": "1.1.1.1, 198.51.100.1, 10.0.0.8"})
    forwarded = b", ".join(world.api.sent(b"x-forwarded-for"))
    assert b"198.51.100.1" in forwarded
    assert b"1.1.1.1" not in forwarded


@pytest.mark.parametrize("name", ["traceparent", "x-request-id"])
@pytest.mark.parametrize("value", ["x" * 10_000, "a b", "00-zz-zz-00", "é"])
async def test_an_odd_trace_id_is_replaced_l14(name: str, value: str) -> None:
    world = World()
    browser = await world.logged_in()
    await browser.fetch("/api/x", headers={name: value})
    assert value.encode() not in world.api.sent(name.encode())
    assert len(world.api.sent(b"x-request-id")) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strict-transport-security", "max-age=0"),
        ("clear-site-data", '"*"'),
        ("service-worker-allowed", "/"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("server", "Apache/2.2.3"),
        ("x-powered-by", "PHP/5"),
        ("www-authenticate", 'Basic realm="x"'),
        ("set-cookie", "a=b"),
        ("alt-svc", 'h2="evil.example:443"'),
        ("refresh", "0;url=https://evil.example"),
    ],
)
async def test_an_api_cannot_speak_for_the_origin_l12_l13_f24(name: str, value: str) -> None:
    world = World()
    browser = await world.logged_in()
    world.api.fields = ((name.encode(), value.encode()), (b"x-other", b"kept"))
    answer = await browser.fetch("/api/x")
    assert value not in answer.all(name)
    assert answer.one("x-other") == "kept"


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("http://api.internal:8080/v1/items/7", "/api/items/7"),
        ("/v1/items/7", "/api/items/7"),
        ("http://api.internal:8080/internal", None),
        ("http://api.internal:9999/x", None),
        ("items/7", "items/7"),
        ("http://other.internal:9000/x", None),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
    ],
)
async def test_a_redirect_of_an_api_is_not_followed_and_names_no_inner_host_k7(
    location: str, seen: str | None
) -> None:
    world = World()
    browser = await world.logged_in()
    world.api.status = 302
    world.api.fields = ((b"location", location.encode()),)
    answer = await browser.fetch("/api/x")
    assert answer.status == 302
    assert answer.one("location") == seen
    assert len(world.api.received) == 1


async def test_what_used_a_session_is_never_kept_by_a_cache_o1_o3() -> None:
    world = World()
    browser = await world.logged_in()
    world.api.fields = (
        (b"cache-control", b"public, s-maxage=600"),
        (b"expires", b"Thu, 01 Jan 2099 00:00:00 GMT"),
        (b"vary", b"Accept"),
        (b"cdn-cache-control", b"max-age=600"),
    )
    answer = await browser.fetch("/api/me/x.css")
    assert answer.one("cache-control") == "no-store"
    assert answer.all("expires") == answer.all("cdn-cache-control") == []
    members = {member.strip().lower() for line in answer.all("vary") for member in line.split(",")}
    assert {"accept", "cookie"} <= members
    assert answer.one("x-content-type-options") == "nosniff"
    assert answer.one("cross-origin-resource-policy") == "same-origin"
    assert SESSION not in str(world.api.received[0].fields)


async def test_a_request_that_runs_in_a_circle_is_stopped_k9() -> None:
    world = World()
    browser = await world.logged_in()
    via = ", ".join(["1.1 gateway"] * 10)
    answer = await browser.fetch("/api/x", headers={"via": via})
    assert answer.status == 508
    assert world.api.received == []
