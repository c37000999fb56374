"""The events of `bench.endings`: what is sent to the first gateway, and whose sessions it ends."""

import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from joserfc import jwt

from bench.two_gateways import CLIENT_ID, PROVIDER, Gateway, SessionMaker, Victim
from tests.support.provider import KEY
from tests.support.redis_servers import RealServer
from tests.support.tcp_proxy import TcpProxy

_SESSIONS = 5  # of one person who ends all of them
_COUNT = itertools.count()


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands there; `behind` reaches Redis through `proxy`."""

    here: Gateway
    there: Gateway
    behind: Gateway
    redis: RealServer
    proxy: TcpProxy
    maker: SessionMaker
    issuer: str


Event = Callable[[], Awaitable[int]]
"""Sends it; returns the status of the answer."""

Prepared = Callable[[Stage], Awaitable[tuple[Event, list[Victim]]]]


async def made(stage: Stage, count: int) -> list[Victim]:
    """Make so many sessions of one new person."""
    number = next(_COUNT)
    return [await stage.maker.made(f"person-{number}", f"sid-{number}-{i}") for i in range(count)]


def _sent(
    gateway: Gateway,
    target: str,
    method: str,
    *,
    cookie: str = "",
    form: str = "",
    admin: bool = False,
) -> Event:
    async def event() -> int:
        async with gateway.connected(admin=admin) as talk:
            return await talk.ask(target, method, cookie=cookie, form=form)

    return event


async def logout(stage: Stage) -> tuple[Event, list[Victim]]:
    """The user logs out."""
    (victim,) = await made(stage, 1)
    return _sent(stage.here, "/bff/logout", "POST", cookie=victim.cookie), [victim]


async def _another(stage: Stage) -> tuple[Event, list[Victim]]:
    victim, other = await made(stage, 2)
    target = f"/bff/sessions/{victim.session.facts.session_id}"
    return _sent(stage.here, target, "DELETE", cookie=other.cookie), [victim]


async def _all_others(stage: Stage) -> tuple[Event, list[Victim]]:
    current, *victims = await made(stage, _SESSIONS + 1)
    return _sent(stage.here, "/bff/sessions", "DELETE", cookie=current.cookie), victims


async def _by_operator(stage: Stage) -> tuple[Event, list[Victim]]:
    (victim,) = await made(stage, 1)
    target = f"/admin/sessions/{victim.session.facts.session_id}"
    return _sent(stage.here, target, "DELETE", admin=True), [victim]


async def _person(stage: Stage) -> tuple[Event, list[Victim]]:
    victims = await made(stage, _SESSIONS)
    subject = victims[0].session.facts.subject
    target = f"/admin/sessions?issuer={quote(stage.issuer, safe='')}&subject={subject}"
    return _sent(stage.here, target, "DELETE", admin=True), victims


async def _back_channel(stage: Stage) -> tuple[Event, list[Victim]]:
    (victim,) = await made(stage, 1)
    facts = victim.session.facts
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": stage.issuer,
        "aud": CLIENT_ID,
        "sub": facts.subject,
        "sid": facts.sid,
        "iat": now,
        "exp": now + 120,
        "jti": facts.session_id,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }
    token = jwt.encode({"alg": "RS256", "kid": "k1", "typ": "logout+jwt"}, claims, KEY)
    target = f"/bff/backchannel-logout/{PROVIDER}"
    return _sent(stage.here, target, "POST", form=urlencode({"logout_token": token})), [victim]


async def _front_channel(stage: Stage) -> tuple[Event, list[Victim]]:
    (victim,) = await made(stage, 1)
    query = urlencode({"iss": stage.issuer, "sid": victim.session.facts.sid})
    return _sent(stage.here, f"/bff/frontchannel-logout/{PROVIDER}?{query}", "GET"), [victim]


async def _provider(stage: Stage) -> tuple[Event, list[Victim]]:
    (victim,) = await made(stage, 1)
    return _sent(stage.here, f"/admin/sessions?provider={PROVIDER}", "DELETE", admin=True), [victim]


OF_MANY = (_all_others, _person)
"""Those that end several sessions at once."""


EVENTS: tuple[tuple[str, Prepared], ...] = (
    ("logout by the user", logout),
    ("logout of another session", _another),
    (f"all {_SESSIONS} other sessions of a person, until the last", _all_others),
    ("back-channel logout by the provider", _back_channel),
    ("front-channel logout, in a frame of the provider", _front_channel),
    ("one session, by an operator", _by_operator),
    (f"all {_SESSIONS} sessions of a person, by an operator, until the last", _person),
    ("every session of a provider, by an operator (there is one)", _provider),
)
"""Every event there is, by name."""
