"""The stage of the model of the session's life: a fleet, its browsers, and what is under way.

One event loop is kept across the steps of an example and runs only within them. A step is over
when nothing goes on any more but what the model itself holds up, and when every replica has been
told of everything that has changed.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.edge.messages import UpstreamRequest
from gateway.oidc.back_channel import BackChannelRequest
from gateway.ports import LookupId
from gateway.secret import StoreUrl
from gateway.session.timing import Timing
from tests.support.asgi import Answer
from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.fleet import Fleet, Replica
from tests.support.held_line import Presented
from tests.support.provider import sign
from tests.support.redis_servers import RealServer
from tests.support.session_truth import Known, Truth
from tests.support.world import SESSION

PEOPLE = ("ada", "ada", "bob")  # by browser
REPLICAS = 3
PREFIX = "gw:"

# The lease is longer than any example takes: leases end when the model says so. Everything else
# is over before one notices.
TIMING = Timing(
    lease=60.0,
    renew_every=0.02,
    last_word=0.05,
    first_pause=0.01,
    longest_pause=0.05,
    patience=0.1,
    retry_write_first=0.005,
    retry_write_longest=0.02,
    last_tries=0.1,
)

Action = Callable[[Browser], Coroutine[Any, Any, list[Answer]]]


@dataclass(eq=False)
class UnderWay:
    """Something a browser began."""

    what: str
    browser: int
    at: Replica
    session: Known | None  # of its cookie, when it began
    was_over: bool
    turn: int  # of the clock, when it began
    others: list[Known]  # sessions this is to end, if it is answered with 200
    task: "asyncio.Task[list[Answer]]"


class Turned(TurnableClock):
    """A clock that may be set back, and knows how far it has been."""

    def __init__(self) -> None:
        super().__init__()
        self.latest = self.now()
        self.turns = 0

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.turns += 1
        self.latest = max(self.latest, self.now())


class LifecycleMachine(RuleBasedStateMachine):
    """Three browsers of two people, three replicas."""

    server: ClassVar[RealServer]
    counted: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.server.command("FLUSHALL")
        self.troubled = False  # something has been broken since everything was well
        self.logins = self.barriers = 0
        self.under_way: list[UnderWay] = []
        self._run(self._begin())

    async def _begin(self) -> None:
        address = StoreSettings(
            StoreUrl(f"unix://{self.server.socket_path}"),
            prefix=PREFIX,
            connect_timeout=5.0,  # a busy machine is no fault of the store
            command_timeout=5.0,
            slot_timeout=5.0,
            budget=10.0,
        )
        self.shared = RedisStore(address)
        clock = Turned()
        self.fleet = Fleet(
            clock=clock,
            replicas=REPLICAS,
            store=self.shared,
            address=address,
            timing=TIMING,
            reached=self._reached,
        )
        self.clock, self.provider = clock, self.fleet.provider
        self.families = self.provider.families
        self.truth = Truth(self.fleet.ring, self.families, self.clock)
        self.truth.handles = self.fleet.drawn.handles
        self.fleet.wrote = self.truth.wrote
        self.browsers = [self.fleet.browser() for _ in PEOPLE]
        self.by_sid: dict[str, int] = {}
        self.fleet.watchful.look = self._look_at_a_token

    def _look_at_a_token(self, request: UpstreamRequest) -> None:
        raise NotImplementedError

    def _reached(self, request: BackChannelRequest, presented: Presented | None) -> None:
        raise NotImplementedError

    async def _end(self) -> None:
        for member in self.fleet.members:
            member.way.dead = member.line.dead = True  # whatever is held up stays so
        await self.fleet.aclose()
        await self.shared.aclose()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        while rest:  # `asyncio.wait_for`, in redis-py, may swallow a cancellation
            for task in rest:
                task.cancel()
            _, rest = await asyncio.wait(rest, timeout=0.1)

    def _is_wrong(self, what: str) -> None:
        self.truth.wrong.append(what)

    def _session_of(self, browser: int) -> Known | None:
        cookie = self.browsers[browser].cookies.get(SESSION)
        handle = self.fleet.ring.read_handle(cookie.value) if cookie else None
        return self.truth.sessions.get(self.fleet.ring.lookup(handle)) if handle else None

    def _begins(
        self, what: str, browser: int, place: int, action: Action, others: list[Known] | None = None
    ) -> None:
        self._starts(what, browser, place, action, others)
        self._settles()

    def _starts(
        self, what: str, browser: int, place: int, action: Action, others: list[Known] | None = None
    ) -> None:
        at = self.fleet.members[place]
        known = self._session_of(browser)
        was_over = known is not None and (known.gone or known.facts.is_over(self.clock.now()))
        self.logins += 1
        sid = f"sid-{self.logins}"
        self.by_sid[sid] = browser
        tab = self.fleet.tab(self.browsers[browser], at, (PEOPLE[browser], sid))
        task = self.loop.create_task(action(tab))
        self.under_way.append(
            UnderWay(what, browser, at, known, was_over, self.clock.turns, others or [], task)
        )

    def _left_over(self, one: UnderWay) -> None:
        """A session whose cookie a login never brought to the browser is nobody's."""
        current = self._session_of(one.browser)
        for known in self.truth.sessions.values():
            if self.by_sid[str(known.family.sid)] == one.browser and known is not current:
                known.reasons.add("left over")

    def _reconnect(self, member: Replica) -> None:
        if member.way.down or member.way.deaf:
            member.way.down = member.way.deaf = False
            member.store.lose_the_link()

    def _open(self, gate: asyncio.Event) -> None:
        for member in self.fleet.members:
            if gate in member.way.gates:
                member.way.gates.remove(gate)
        gate.set()

    def _nothing_is_held_up(self) -> None:
        for _ in range(100):
            ways = [member.way for member in self.fleet.members]
            held = [(member.line, one) for member in self.fleet.members for one in member.line.held]
            late = [operation for way in ways for operation in way.late]
            gates = [gate for way in ways for gate in way.gates]
            if not (held or late or gates):
                return
            for gate in gates:
                self._open(gate)
            for way in ways:
                way.late.clear()
            for operation in late:
                self._run(operation())
            for line, one in held:
                line.held.remove(one)
                one.release(lost=False)
            self._settles()
        raise AssertionError("it never ends")

    def _settles(self) -> None:
        self._run(self._settled())

    async def _settled(self) -> None:
        """Return when nothing goes on but what is held up, and everybody has heard of it."""
        await self._quiet()
        await self._all_have_heard()
        await self._quiet()

    async def _quiet(self) -> None:
        turns = 0
        while turns < 25:
            await asyncio.sleep(0)
            turns = 0 if any(member.way.running for member in self.fleet.members) else turns + 1

    async def _all_have_heard(self) -> None:
        """A write that all are told of, after which they have been told of all before it."""
        for _ in range(200):
            self.barriers += 1
            barrier = LookupId(f"barrier-{self.barriers}")
            self.server.command("SET", f"{PREFIX}s:{barrier}", "", "PX", "1000")
            heard = [member.store.heard for member in self.fleet.members]
            until = self.loop.time() + 0.05
            while self.loop.time() < until:
                if all(barrier in one for one in heard):
                    for one in heard:
                        one.clear()
                    return
                await asyncio.sleep(0.0005)
        raise AssertionError("the links do not come back")

    def _run(self, coroutine: Coroutine[Any, Any, Any] | Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def _locks(self) -> list[str]:
        keys = self.server.command("KEYS", f"{PREFIX}g:*")
        assert isinstance(keys, list)
        return sorted(key.decode() for key in keys)

    def _leases(self) -> list[tuple[str, bool]]:
        """The locks that are held, and whether by somebody who will never give them back."""
        living = {owner for member in self.fleet.members for owner in member.lock.holders}
        held = []
        for key in self._locks():
            owner = self.server.command("HGET", key, "owner")
            if isinstance(owner, bytes):
                held.append((key, owner.decode() not in living))
        return held

    def _end_pauses(self) -> None:
        for key in self._locks():
            self.server.command("HSET", key, "after", "0")

    def _end_leases(self, keys: list[str]) -> None:
        for key in keys:
            self.server.command("HSET", key, "until", "0")

    def _logout_token(self, about: dict[str, str]) -> str:
        now = int(self.clock.now())
        claims = {
            "iss": self.provider.issuer,
            "aud": self.provider.client_id,
            "iat": now,
            "exp": now + 120,
            "jti": f"logout-{self.logins}",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            **about,
        }
        return sign(claims, header={"typ": "logout+jwt"})
