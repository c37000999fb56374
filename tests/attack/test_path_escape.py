"""Path escape: no spelling of a path gets past its route's rule or out of a directory (K4-K6)."""

from pathlib import Path

import pytest

from tests.support.world import World, settings_of

ESCAPES = [
    b"/api/../admin",
    b"/api/..",
    b"/api/./x",
    b"/api/%2e%2e/admin",
    b"/api/.%2e/admin",
    b"/api/%2E./admin",
    b"/api/..%2fadmin",
    b"/api/..%5cadmin",
    b"/api/..\\admin",
    b"/api\\..\\admin",
    b"/api/..;/admin",
    b"/api/..;x=1/admin",
    b"/api/%2e%2e;/admin",
    b"/api/x/%2e%2e%2f%2e%2e%2fadmin",
    b"//evil.example/x",
    b"/api/x#fragment",
    b"/api/%00",
    b"/api/%0d%0aX:1",
    b"/api/%zz",
    b"/api/%",
    b"/api/x y",
    b"/api/\xc3\xa9",
    b"/api/\x00",
    b"api/x",
    b"",
]

AMBIGUOUS = [
    b"/api//admin/users",
    b"/api/%61dmin/users",
    b"/api%2Fadmin/users",
    b"/api/admin%2Fusers/../x",
    b"/bff%2flogin",
    b"/%62ff/session",
    b"/bff//session",
    b"/api;x/admin/users",
    b"/api/admin;x=1/users",
    b"/api/ADMIN/users",
    b"/API/admin/users",
    b"/api/%41dmin/users",
    b"/BFF/session",
]


@pytest.mark.parametrize("target", ESCAPES)
async def test_an_escaping_path_is_refused_and_goes_nowhere(target: bytes) -> None:
    world = World()
    browser = await world.logged_in()
    answer = await ask(world, browser.cookies["__Host-Http-session"].value, target)
    assert answer == 400
    assert world.api.received == []


@pytest.mark.parametrize("target", AMBIGUOUS)
async def test_another_reading_of_a_path_never_slips_under_another_rule(target: bytes) -> None:
    """`/api/` asks for no scope, `/api/admin/` asks for one the session does not have."""
    world = World()
    browser = await world.logged_in()
    status = await ask(world, browser.cookies["__Host-Http-session"].value, target)
    assert status in (400, 403)
    assert world.api.received == []


async def ask(world: World, cookie: str, target: bytes) -> int:
    fields = [
        (b"host", b"app.example"),
        (b"sec-fetch-site", b"same-origin"),
        (b"x-csrf", b"1"),
        (b"cookie", f"__Host-Http-session={cookie}".encode()),
    ]
    return (await world.raw("GET", target, fields)).status


@pytest.mark.parametrize(
    "target",
    [
        b"/api/private?x=/public/",
        b"/api/private%23/public/",
        b"/api/private?/public/health",
        b"/api/private;/public/",
        b"/api/public/",
    ],
)
async def test_a_public_route_is_matched_by_its_path_only_k6(target: bytes) -> None:
    world = World()
    for agent in (b"GoogleHC/1.0", b"kube-probe/1.30", b"curl/8"):
        fields = [(b"host", b"app.example"), (b"x-csrf", b"1"), (b"user-agent", agent)]
        answer = await world.raw("GET", target, [*fields, (b"sec-fetch-site", b"same-origin")])
        assert answer.status == 401
    assert world.api.received == []


@pytest.mark.parametrize(
    "rest",
    [
        b"a%2Fb",
        b"a+b",
        b"a%20b",
        b"a;b=c",
        b"x?",
        b"x?a",
        b"x?a=&a=&=b&&",
        b"x?q=%2F..%2F",
        b"x?q=a+b%20c",
        b"%E2%82%AC",
        b"x/",
        b"~tilde",
        b"a:b@c!$&'()*,=",
        b"x?next=//evil.example",
        b"x?a=1&a=2&A=3",
        b"x?%zz",
    ],
)
async def test_what_is_accepted_arrives_octet_for_octet_k5(rest: bytes) -> None:
    world = World()
    browser = await world.logged_in()
    status = await ask(world, browser.cookies["__Host-Http-session"].value, b"/api/" + rest)
    assert status == 200
    assert world.api.received[0].target == b"/v1/" + rest
    assert world.api.received[0].group.origin == "http://api.internal:8080"


@pytest.mark.parametrize(
    "target",
    [
        b"/../secret.txt",
        b"/%2e%2e/secret.txt",
        b"/..%2fsecret.txt",
        b"/assets/..%2f..%2fsecret.txt",
        b"/.env",
        b"/.git/config",
        b"/assets/.hidden.js",
        b"/link.txt",
        b"/%2fetc%2fpasswd",
    ],
)
async def test_static_files_end_at_their_directory(tmp_path: Path, target: bytes) -> None:
    site = tmp_path / "site"
    (site / "assets").mkdir(parents=True)
    (site / ".git").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    for name in ("index.html", ".env", ".git/config", "assets/.hidden.js"):
        (site / name).write_text("app" if name == "index.html" else "secret")
    (site / "link.txt").symlink_to(tmp_path / "secret.txt")
    world = World(settings_of({"routes": [{"path": "/", "static": str(site), "access": "public"}]}))
    answer = await world.raw("GET", target, [(b"host", b"app.example")])
    assert b"secret" not in answer.body
    assert b"root:" not in answer.body
    assert answer.status in (400, 404)
