"""Somebody on the network asks the operators' listener for sessions, or to end them."""

import pytest

from gateway.errors import Code
from tests.support.world import World, settings_of

TOKEN = "o7Ny-admin-of-32-characters-or-more"
TARGETS = (
    ("DELETE", b"/admin/sessions?all=true"),
    ("DELETE", b"/admin/sessions?provider=main"),
    ("DELETE", b"/admin/sessions?issuer=https%3A%2F%2Fid.example&subject=ada"),
    ("GET", b"/admin/sessions?issuer=https%3A%2F%2Fid.example&subject=ada"),
    ("DELETE", b"/admin/sessions?all=maybe"),
    ("GET", b"/admin/what-is-there"),
)


def world_of(host: str, *, token: bool) -> World:
    admin: dict[str, object] = {"host": host, "port": 9090}
    if token:
        admin["token"] = {"env": "ADMIN_TOKEN"}
    return World(settings_of({"admin": admin}, ADMIN_TOKEN=TOKEN))


@pytest.mark.parametrize(("method", "target"), TARGETS)
@pytest.mark.parametrize("fields", [[], [(b"authorization", b"Bearer " + TOKEN.encode())]])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "gateway.internal"])
async def test_a_listener_others_can_reach_does_nothing_without_a_token(
    method: str, target: bytes, fields: list[tuple[bytes, bytes]], host: str
) -> None:
    world = world_of(host, token=False)
    await world.logged_in()
    reads = world.store.reads
    answer = await world.admin(target, method, *fields, peer="203.0.113.9")
    assert answer.status == 403
    assert answer.json()["code"] == "admin.not_configured"
    assert "admin.token" in answer.json()["detail"]
    assert world.store.reads == reads
    assert len(world.store.live_sessions()) == 1


@pytest.mark.parametrize(("method", "target"), TARGETS)
@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer " + TOKEN[:-1].encode()],
        [b"Bearer " + TOKEN.encode() + b"x"],
        [b"Bearer " + TOKEN.encode() + b" x"],
        [b"Bearer " + TOKEN.upper().encode()],
        [b"Basic " + TOKEN.encode()],
        [TOKEN.encode()],
        [b"Bearer x", b"Bearer " + TOKEN.encode()],
        [b"Bearer " + TOKEN.encode(), b"Bearer " + TOKEN.encode()],
        [b"Bearer \xff\xfe" + TOKEN.encode()],
    ],
)
async def test_whoever_does_not_know_the_token_ends_nothing_and_learns_nothing(
    method: str, target: bytes, fields: list[bytes]
) -> None:
    world = world_of("0.0.0.0", token=True)
    await world.logged_in()
    reads = world.store.reads
    sent = [(b"authorization", value) for value in fields]
    answer = await world.admin(target, method, *sent, peer="203.0.113.9")
    assert answer.status == 401
    assert answer.one("www-authenticate") == "Bearer"
    assert answer.json()["code"] == "admin.token"
    assert world.store.reads == reads
    assert len(world.store.live_sessions()) == 1
    (told,) = [one for one in world.audit("request.refused") if one.get("by") == "admin"]
    assert (told["code"], told["client"]) == (Code.ADMIN_TOKEN.value, "203.0.113.9")
    assert TOKEN not in world.audit_text.getvalue()


async def test_a_token_is_needed_on_loopback_as_well_once_there_is_one() -> None:
    """A program of another user of this machine, or what a proxy on it passes on."""
    world = world_of("127.0.0.1", token=True)
    await world.logged_in()
    assert (await world.admin(b"/admin/sessions?all=true", "DELETE")).status == 401
    assert len(world.store.live_sessions()) == 1


async def test_a_token_in_the_address_is_none() -> None:
    """RFC 6750 section 2.3: it would stand in logs and histories."""
    world = world_of("0.0.0.0", token=True)
    await world.logged_in()
    target = f"/admin/sessions?all=true&access_token={TOKEN}".encode()
    assert (await world.admin(target, "DELETE")).status == 401
    assert len(world.store.live_sessions()) == 1


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"?all=true&provider=other",
        b"?provider=other&all=true",
        b"?provider=main&provider=other",
        b"?all=true&dry_run=true",
        b"?all=false",
        b"?issuer=https%3A%2F%2Fid.example",
        b"?subject=ada",
        b"?Subject=ada&issuer=https%3A%2F%2Fid.example",
    ],
)
async def test_an_order_that_is_not_clear_ends_nothing(query: bytes) -> None:
    world = World()
    await world.logged_in()
    answer = await world.admin(b"/admin/sessions" + query, "DELETE")
    assert answer.status == 400
    assert answer.json()["code"] == "admin.selector"
    assert len(world.store.live_sessions()) == 1


async def test_what_lies_in_the_wrong_index_is_not_ended() -> None:
    """Whoever can write to the store enters a stranger's session under another id, or person."""
    world = World()
    lookup = world.lookup_of(await world.logged_in())
    for kind, values in (("user", ("https://id.example", "bob")), ("session", ("abc",))):
        (name,) = world.ring.index_names(kind, *values)
        world.store.enter(name, lookup)
    bobs = b"/admin/sessions?issuer=https%3A%2F%2Fid.example&subject=bob"
    assert (await world.admin(bobs, "DELETE")).json() == {"ended": 0}
    assert (await world.admin(b"/admin/sessions/abc", "DELETE")).status == 404
    assert len(world.store.live_sessions()) == 1
