"""Serving a built app: history fallback, what caches may keep, and what every answer says."""

from pathlib import Path

import pytest

from tests.support.asgi import Answer
from tests.support.world import World, settings_of


@pytest.fixture
def world(tmp_path: Path) -> World:
    site = tmp_path / "dist"
    (site / "assets").mkdir(parents=True)
    (site / "docs").mkdir()
    files = {
        "index.html": "<h1>app</h1>",
        "assets/index-B3xK9aQ1.js": "1",
        "assets/plain.js": "2",
        "my-settings1.js": "3",
        "docs/a b.txt": "4",
        "digits.bin": "0123456789",
    }
    for name, text in files.items():
        (site / name).write_text(text)
    routes = [{"path": "/", "static": str(site), "access": "public"}]
    return World(settings_of({"routes": routes}))


async def get(world: World, path: str, *, accept: str = "*/*", **more: str) -> Answer:
    fields = [(b"host", b"app.example"), (b"accept", accept.encode())]
    fields += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
    return await world.raw("GET", path.encode(), fields)


@pytest.mark.parametrize("path", ["/", "/orders", "/orders/7", "/a/b/c?x=1"])
async def test_an_address_of_the_app_is_the_app_and_never_kept(world: World, path: str) -> None:
    answer = await get(world, path, accept="text/html")
    assert (answer.status, answer.body) == (200, b"<h1>app</h1>")
    assert answer.one("cache-control") == "no-store"
    assert "frame-ancestors 'none'" in (answer.one("content-security-policy") or "")


@pytest.mark.parametrize("path", ["/missing.js", "/assets/missing-B3xK9aQ1.css", "/logo.png"])
async def test_a_missing_file_is_a_404_and_never_the_app(world: World, path: str) -> None:
    for accept in ("*/*", "text/html"):
        answer = await get(world, path, accept=accept)
        assert answer.status == 404
        assert b"<h1>app</h1>" not in answer.body


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/assets/index-B3xK9aQ1.js", "public, max-age=31536000, immutable"),
        ("/assets/plain.js", "no-cache"),
        ("/my-settings1.js", "no-cache"),
        ("/docs/a%20b.txt", "no-cache"),
    ],
)
async def test_only_a_name_with_a_hash_is_kept_for_ever(world: World, path: str, kept: str) -> None:
    answer = await get(world, path)
    assert answer.status == 200
    assert answer.one("cache-control") == kept


async def test_a_file_is_revalidated_by_its_etag(world: World) -> None:
    etag = (await get(world, "/assets/plain.js")).one("etag")
    assert etag is not None
    again = await get(world, "/assets/plain.js", if_none_match=etag)
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("range_", "status", "body"),
    [
        ("bytes=0-1", 206, b"01"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=x", 200, b"0123456789"),
        ("bytes=5-1", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("", 200, b"0123456789"),
    ],
)
async def test_a_range_is_served_ignored_or_refused_with_a_code(
    world: World, range_: str, status: int, body: bytes | None
) -> None:
    answer = await get(world, "/digits.bin", range=range_)
    assert answer.status == status
    if body is None:
        assert answer.json()["code"] == "range.unsatisfiable"
        assert answer.one("content-range") == "bytes */10"
    else:
        assert answer.body == body
    assert answer.one("x-content-type-options") == "nosniff"
    assert answer.one("strict-transport-security") is not None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_files_are_read_only(world: World, method: str) -> None:
    answer = await world.raw(method, b"/index.html", [(b"host", b"app.example")])
    assert answer.status == 405
    assert answer.one("allow") == "GET, HEAD"


@pytest.mark.parametrize("name", ["PAGE.HTM", "page.html", "page.xhtml", "logo.svg", "feed.xml"])
async def test_whatever_can_run_a_script_has_a_policy_however_it_is_spelled_c15(
    world: World, tmp_path: Path, name: str
) -> None:
    (tmp_path / "dist" / name).write_text("<x/>")
    answer = await get(world, f"/{name}")
    assert answer.status == 200
    assert "frame-ancestors 'none'" in (answer.one("content-security-policy") or "")
    assert answer.one("x-frame-options") == "DENY"
    kept = name in ("logo.svg", "feed.xml")
    assert answer.one("cache-control") == ("no-cache" if kept else "no-store")


@pytest.mark.parametrize("path", ["/.git/config", "/link/config", "/assets/link/config"])
async def test_hidden_files_are_not_part_of_the_app_not_even_by_a_link(
    world: World, tmp_path: Path, path: str
) -> None:
    site = tmp_path / "dist"
    (site / ".git").mkdir()
    (site / ".git" / "config").write_text("secret")
    (site / "link").symlink_to(site / ".git")
    (site / "assets" / "link").symlink_to("../.git")
    answer = await get(world, path)
    assert answer.status == 404
    assert b"secret" not in answer.body
