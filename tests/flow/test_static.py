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


@pytest.mark.parametrize("range_", ["bytes=0-0", "bytes=9-", "bytes=x", "bytes=5-1", "lines=1-2"])
async def test_every_answer_is_dressed_whatever_the_range_c15(world: World, range_: str) -> None:
    answer = await get(world, "/assets/plain.js", range=range_)
    assert answer.status in (200, 206, 400, 416)
    assert answer.one("x-content-type-options") == "nosniff"
    assert answer.one("strict-transport-security") is not None
    assert answer.all("server") == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_files_are_read_only(world: World, method: str) -> None:
    answer = await world.raw(method, b"/index.html", [(b"host", b"app.example")])
    assert answer.status == 405
    assert answer.one("allow") == "GET, HEAD"
