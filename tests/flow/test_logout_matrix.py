"""Every event that ends a session, against everything that notices, at this replica and another.

An API call is answered 401 `session.ended`, a WebSocket is closed with 4401, an event stream says
so last (P4, P9, J16). Whose session it was not goes on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.browser import Browser
from tests.support.event_streams import Hearer, Speaker, listen
from tests.support.live_channels import ended, settle
from tests.support.logout_tokens import deliver, frame, logout_token
from tests.support.websocket_ends import Endpoint, LiveApi, connected
from tests.support.world import BASE, ISSUER, World, settings_of

LAST = b'event: gateway.ended\ndata: {"code":"session.ended"}\n\n'
SETTINGS = {
    "session": {"idle_timeout": "30m", "absolute_timeout": "1h"},
    "providers": {
        "main": {**BASE["providers"]["main"], "frontchannel_logout": True},
        "other": {**BASE["providers"]["main"], "issuer": "https://other.example"},
    },
}
OTHERS = ("a colleague", "somebody elsewhere")


@dataclass
class Scene:
    """Ada, who is to be logged out, and her other browser; the others are none of it."""

    world: World
    ada: Browser
    adas_other: Browser

    async def session_id(self) -> str:
        return str((await self.ada.fetch("/bff/session")).json()["session_id"])


Event = Callable[[Scene], Awaitable[object]]


async def by_admin(scene: Scene, selector: str) -> None:
    answer = await scene.world.admin(f"/admin/sessions{selector}".encode(), "DELETE")
    assert answer.json()["ended"] >= 1


async def by_token(scene: Scene, **claims: Any) -> None:
    token = logout_token(scene.world.provider, **claims)
    assert (await deliver(scene.world, token)).status == 200


async def logout(scene: Scene) -> None:
    assert (await scene.ada.fetch("/bff/logout", "POST")).status == 200


async def one_other(scene: Scene) -> None:
    target = f"/bff/sessions/{await scene.session_id()}"
    assert (await scene.adas_other.fetch(target, "DELETE")).status in (200, 204)


async def all_others(scene: Scene) -> None:
    assert (await scene.adas_other.fetch("/bff/sessions", "DELETE")).status in (200, 204)


async def idle(scene: Scene) -> None:
    scene.world.clock.advance(1800)


async def absolute(scene: Scene) -> None:
    for _ in range(3):
        scene.world.clock.advance(1000)
        assert (await scene.ada.fetch("/api/x")).status == 200
    scene.world.clock.advance(600)


async def new_login(scene: Scene) -> None:
    scene.world.clock.advance(60)
    await scene.ada.navigate("/bff/login")


async def admin_session(scene: Scene) -> None:
    await by_admin(scene, f"/{await scene.session_id()}")


async def admin_person(scene: Scene) -> None:
    await by_admin(scene, "?" + urlencode({"issuer": ISSUER, "subject": "ada"}))


async def admin_provider(scene: Scene) -> None:
    await by_admin(scene, "?provider=main")


async def admin_all(scene: Scene) -> None:
    await by_admin(scene, "?all=true")


async def back_channel_sid(scene: Scene) -> None:
    await by_token(scene, sid="sid-ada", sub=...)


async def back_channel_sub(scene: Scene) -> None:
    await by_token(scene, sid=..., sub="ada")


async def back_channel_both(scene: Scene) -> None:
    await by_token(scene, sid="sid-ada", sub="ada")


async def front_channel(scene: Scene) -> None:
    query = urlencode({"iss": ISSUER, "sid": "sid-ada"})
    assert (await frame(scene.world, query)).status == 200


EVENTS: dict[Event, tuple[str, ...]] = {
    logout: OTHERS,
    one_other: OTHERS,
    all_others: OTHERS,
    idle: (),
    absolute: (),
    new_login: OTHERS,
    admin_session: OTHERS,
    admin_person: OTHERS,
    admin_provider: ("somebody elsewhere",),
    admin_all: (),
    back_channel_sid: OTHERS,
    back_channel_sub: OTHERS,
    back_channel_both: OTHERS,
    front_channel: OTHERS,
}
"""And whose session goes on, of the others."""


async def person(world: World, subject: str, sid: str, provider: str = "main") -> Browser:
    world.provider.subject, world.provider.sid = subject, sid
    return await world.logged_in(provider)


@dataclass
class Watched:
    """A session with everything open at one replica, which has it in memory."""

    browser: Browser
    socket: tuple[Endpoint, Endpoint]
    stream: Hearer

    async def is_over(self) -> None:
        await ended(*self.socket)
        await self.stream.until(lambda one: one.finished)
        assert self.stream.octets.endswith(LAST)
        answer = await self.browser.fetch("/api/x")
        assert (answer.status, answer.json()["code"]) == (401, "session.ended")

    async def goes_on(self) -> None:
        here, there = self.socket
        there.text("still here")
        await here.until(lambda end: end.messages == ["still here"])
        assert not self.stream.finished
        assert (await self.browser.fetch("/bff/session")).json()["authenticated"] is True
        await self.stream.hang_up()


async def watched(world: World, api: LiveApi, browser: Browser, replica: int) -> Watched:
    """Open everything at this replica with a copy of the browser's cookies."""
    copy = world.browser(world.gateways[replica])
    copy.cookies = dict(browser.cookies)
    assert (await copy.fetch("/api/x")).status == 200
    socket = await connected(copy, api)
    fields = world.api.fields
    speaker = Speaker(world)
    stream = await listen(world, copy, replica=replica)
    world.api.fields, world.api.body = fields, None
    speaker.say(b"data: there\n\n")
    await stream.until(lambda one: one.octets)
    return Watched(copy, socket, stream)


@pytest.mark.parametrize("replica", [0, 1], ids=["here", "at another replica"])
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
async def test_whatever_ends_a_session_ends_all_of_it_everywhere(
    event: Event, replica: int
) -> None:
    world = World(settings_of(SETTINGS), replicas=2)
    api = LiveApi(world)
    adas_other = await person(world, "ada", "sid-of-her-other-browser")
    others = {
        "a colleague": await person(world, "bob", "sid-bob"),
        "somebody elsewhere": await person(world, "ada", "sid-ada", "other"),
    }
    world.clock.advance(10)
    ada = await person(world, "ada", "sid-ada")
    mine = await watched(world, api, ada, replica)
    theirs = {name: await watched(world, api, one, replica) for name, one in others.items()}
    await settle(world)
    await event(Scene(world, ada, adas_other))
    if event in (idle, absolute):
        await settle(world)  # nobody says anything
    await mine.is_over()
    for name in EVENTS[event]:
        await theirs[name].goes_on()
    for gateway in world.gateways:
        await gateway.aclose()
