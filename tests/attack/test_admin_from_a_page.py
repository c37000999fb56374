"""A web page in an operator's browser drives the operators' listener on this machine (C1)."""

import pytest

from gateway.errors import Code
from tests.support.world import World

EVERYTHING = b"/admin/sessions?all=true"
ADAS = b"/admin/sessions?issuer=https%3A%2F%2Fid.example&subject=ada"

FROM_PAGES = (
    # fetch, with and without a preflight, and from a sandboxed frame
    [(b"origin", b"https://kittens.example"), (b"sec-fetch-site", b"cross-site")],
    [(b"origin", b"null")],
    [(b"origin", b"http://127.0.0.1:9090")],
    [(b"origin", b"http://localhost:5173"), (b"sec-fetch-site", b"same-site")],
    # an image or a navigation: no Origin
    [(b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"no-cors")],
    [(b"sec-fetch-site", b"same-origin")],
    [(b"sec-fetch-site", b"none"), (b"sec-fetch-site", b"cross-site")],
    [(b"sec-fetch-site", b"")],
)


@pytest.mark.parametrize("method", ["DELETE", "GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("fields", FROM_PAGES)
@pytest.mark.parametrize("target", [EVERYTHING, ADAS])
async def test_a_page_ends_nothing_and_learns_nothing_c1(
    method: str, fields: list[tuple[bytes, bytes]], target: bytes
) -> None:
    world = World()
    await world.logged_in()
    reads, writes = world.store.reads, world.store.writes
    answer = await world.admin(target, method, *fields)
    assert answer.status == 403
    assert not [name for name, _ in answer.fields if name.startswith(b"access-control-")]
    assert b"ada" not in answer.octets()
    assert (world.store.reads, world.store.writes) == (reads, writes)
    assert len(world.store.live_sessions()) == 1
    (told,) = [one for one in world.audit("request.refused") if one.get("by") == "admin"]
    assert told["code"] == Code.ADMIN_FROM_PAGE.value


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "PATCH", "OPTIONS"])
async def test_what_a_form_or_an_old_browser_can_send_ends_nothing(method: str) -> None:
    """A browser so old that it sends neither field: it can send no DELETE without a preflight."""
    world = World()
    await world.logged_in()
    answer = await world.admin(EVERYTHING, method)
    assert answer.status in (400, 405)
    assert len(world.store.live_sessions()) == 1


async def test_the_public_listener_knows_nothing_of_it() -> None:
    world = World()
    browser = await world.logged_in()
    answer = await browser.fetch("/admin/sessions?all=true", "DELETE")
    assert answer.status == 404
    assert len(world.store.live_sessions()) == 1
