"""The events of `bench.endings`: what is sent to the first gateway, and whose sessions it ends."""

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from joserfc import jwt

from bench.two_gateways import CLIENT_ID, PROVIDER, Gateway, SessionMaker, Victim
from tests.support.provider import KEY, FakeProvider
from tests.support.redis_servers import RealServer
from tests.support.tcp_proxy import TcpProxy

_SESSIONS = 5  # of one person who ends all of them
_DEADLINE_IN = 0.3  # seconds, enough to open what is open at a deadline
_COUNT = itertools.count()
_FIELD = re.compile(r"^(location|set-cookie): (.*)\r$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands there; `behind` reaches Redis through `proxy`, `unwatched` is told of nothing."""

    here: Gateway
    there: Gateway
    behind: Gateway
    unwatched: Gateway
    redis: RealServer
    proxy: TcpProxy
    maker: SessionMaker
    provider: FakeProvider

    @property
    def issuer(self) -> str:
        """The provider's."""
        return self.provider.issuer


Event = Callable[[], Awaitable[int]]
"""Sends it; returns the status of the answer."""


@dataclass(frozen=True, slots=True)
class Ending:
    """An event, whose sessions it ends, and when, if nobody has to send it (`perf_counter`)."""

    event: Event
    victims: list[Victim]
    at: float | None = None


Prepared = Callable[[Stage], Awaitable[Ending]]


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


async def logout(stage: Stage) -> Ending:
    """The user logs out."""
    (victim,) = await made(stage, 1)
    return Ending(_sent(stage.here, "/bff/logout", "POST", cookie=victim.cookie), [victim])


async def _another(stage: Stage) -> Ending:
    victim, other = await made(stage, 2)
    target = f"/bff/sessions/{victim.session.facts.session_id}"
    return Ending(_sent(stage.here, target, "DELETE", cookie=other.cookie), [victim])


async def _all_others(stage: Stage) -> Ending:
    current, *victims = await made(stage, _SESSIONS + 1)
    return Ending(_sent(stage.here, "/bff/sessions", "DELETE", cookie=current.cookie), victims)


async def _by_operator(stage: Stage) -> Ending:
    (victim,) = await made(stage, 1)
    target = f"/admin/sessions/{victim.session.facts.session_id}"
    return Ending(_sent(stage.here, target, "DELETE", admin=True), [victim])


async def _person(stage: Stage) -> Ending:
    victims = await made(stage, _SESSIONS)
    subject = victims[0].session.facts.subject
    target = f"/admin/sessions?issuer={quote(stage.issuer, safe='')}&subject={subject}"
    return Ending(_sent(stage.here, target, "DELETE", admin=True), victims)


async def _back_channel(stage: Stage) -> Ending:
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
    return Ending(
        _sent(stage.here, target, "POST", form=urlencode({"logout_token": token})), [victim]
    )


async def _front_channel(stage: Stage) -> Ending:
    (victim,) = await made(stage, 1)
    query = urlencode({"iss": stage.issuer, "sid": victim.session.facts.sid})
    return Ending(
        _sent(stage.here, f"/bff/frontchannel-logout/{PROVIDER}?{query}", "GET"), [victim]
    )


async def _new_login(stage: Stage) -> Ending:
    """The browser of the session comes back from a login of somebody."""
    async with stage.here.connected() as talk:
        head = await talk.begun("/bff/login", "")
    fields = dict(_FIELD.findall(head.decode()))
    name, _, rest = fields["set-cookie"].partition("=")
    binding = rest.partition(";")[0]
    asked = dict(parse_qsl(urlsplit(fields["location"]).query))
    answer = urlencode(stage.provider._authorize(asked))  # noqa: SLF001  as a page of it would
    number = next(_COUNT)
    browser = stage.maker.browser_of(binding)
    victim = await stage.maker.made(f"person-{number}", f"sid-{number}", browser=browser)

    async def event() -> int:
        async with stage.here.connected() as talk:
            cookies = f"{name}={binding}"
            head = await talk.begun(f"/bff/callback/{PROVIDER}?{answer}", cookies)
        return int(head.split(b" ", 2)[1])

    return Ending(event, [victim])


def _at_a_deadline(which: str) -> Prepared:
    """Nobody does anything."""

    async def prepare(stage: Stage) -> Ending:
        number = next(_COUNT)
        deadline = time.time() + _DEADLINE_IN
        victim = await stage.maker.made(f"person-{number}", None, **{which: deadline})
        at = time.perf_counter() + deadline - time.time()

        async def event() -> int:
            await asyncio.sleep(at - time.perf_counter())
            return 204

        return Ending(event, [victim], at)

    return prepare


async def _provider(stage: Stage) -> Ending:
    (victim,) = await made(stage, 1)
    return Ending(
        _sent(stage.here, f"/admin/sessions?provider={PROVIDER}", "DELETE", admin=True), [victim]
    )


_IDLE = _at_a_deadline("idle_deadline")
_ABSOLUTE = _at_a_deadline("absolute_deadline")

SELDOM = (_all_others, _person, _IDLE, _ABSOLUTE)
"""Those that end several sessions at once, or take their time to come."""


EVENTS: tuple[tuple[str, Prepared], ...] = (
    ("logout by the user", logout),
    ("logout of another session", _another),
    (f"all {_SESSIONS} other sessions of a person, until the last", _all_others),
    ("a new login in the same browser", _new_login),
    ("idle deadline", _IDLE),
    ("absolute deadline", _ABSOLUTE),
    ("back-channel logout by the provider", _back_channel),
    ("front-channel logout, in a frame of the provider", _front_channel),
    ("one session, by an operator", _by_operator),
    (f"all {_SESSIONS} sessions of a person, by an operator, until the last", _person),
    ("every session of a provider, by an operator (there is one)", _provider),
)
"""Every event there is, by name."""
