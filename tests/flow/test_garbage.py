"""What a request leaves behind: nothing that waits for the cycle collector (F17).

Each cycle costs memory until it is found, and the search costs time in everybody's requests.
"""

import gc
from collections.abc import Iterator

import pytest

from tests.support.serving import serving
from tests.support.world import SESSION, World


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def forget() -> None:
    """Free what there is, and keep what only the collector frees from now on."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)


def left_behind() -> list[object]:
    gc.collect()
    return [one for one in gc.garbage if type(one).__module__.startswith("gateway.")]


@pytest.mark.parametrize(
    ("target", "more", "status"),
    [
        ("/api/x", "", 200),
        ("/api/x?{n}", "", 200),
        ("/api/x", "X-Number: {n}\r\n", 200),
        ("/api/x", "Content-Length: 2\r\n", 200),
        ("/api/admin/x", "", 403),
        ("/elsewhere", "", 404),
        ("/bff/session", "", 200),
    ],
)
async def test_a_request_leaves_no_cycle_behind(target: str, more: str, status: int) -> None:
    world = World()
    world.api.pieces = (b"ok",)
    world.api.fields = ((b"content-length", b"2"),)
    browser = await world.logged_in()
    cookie = f"Cookie: {SESSION}={browser.cookies[SESSION].value}\r\n"
    method = "POST" if "Length" in more else "GET"
    origin = "Origin: https://app.example\r\n" if method == "POST" else ""
    async with serving(world) as server, server.talk() as talk:
        for number in range(6):
            if number == 2:  # whatever is made once has been made
                forget()
            line = f"{method} {target} HTTP/1.1\r\nHost: app.example\r\nX-CSRF: 1\r\n"
            head = (line + origin + cookie + more).replace("{n}", str(number)) + "\r\n"
            talk.send(head.encode() + (b"ab" if method == "POST" else b""))
            assert (await talk.answer()).status == status
        assert left_behind() == []
