"""The life of sessions against every interleaving: docs/session-lifecycle.md, tried out.

Three replicas of the real gateway on a real Redis; people log in, call, log out; time passes or
jumps; the store and the provider fail at any operation, before or after it took effect; processes
die in the middle. Whatever happens, the invariants of the document hold. Their numbers are in the
messages of `wrong`.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.edge.messages import Body, UpstreamRequest
from gateway.errors import Unavailable
from gateway.oidc.back_channel import BackChannelRequest
from gateway.ports import LookupId, UpstreamAnswer
from gateway.secret import StoreUrl
from gateway.session.timing import Timing
from gateway.session.token_life import SAFETY
from tests.support.api import FakeApi
from tests.support.asgi import Answer, call
from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.examples import examples
from tests.support.faulty_store import Fault
from tests.support.fleet import Fleet, Replica
from tests.support.held_line import Mishap, Presented
from tests.support.provider import sign
from tests.support.redis_servers import RealServer, redis_server_binary, running
from tests.support.session_truth import Known, Truth
from tests.support.token_families import Reuse
from tests.support.world import SESSION

PEOPLE = ("ada", "ada", "bob")  # by browser
REPLICAS = 3
PREFIX = "gw:"

HAS_BACK_CHANNEL_LOGOUT = find_spec("gateway.session.provider_logout") is not None

who = st.integers(0, len(PEOPLE) - 1)
where = st.integers(0, REPLICAS - 1)
operations = st.sampled_from(
    ["read", "replace", "replace", "end", "create", "claim", "members", "begin", "renew", "finish"]
)

# The lease is longer than any example takes: leases end when the model says so. Everything else
# is over before one notices.
TIMING = Timing(
    lease=60.0,
    renew_every=0.05,
    first_pause=0.01,
    longest_pause=0.05,
    patience=0.1,
    retry_write_first=0.005,
    retry_write_longest=0.02,
    last_tries=0.1,
)

Action = Callable[[Browser], Awaitable[list[Answer]]]


@dataclass(eq=False)
class UnderWay:
    """Something a browser began."""

    what: str
    browser: int
    at: Replica
    session: Known | None  # of its cookie, when it began
    was_over: bool
    others: list[Known]  # sessions this is to end, if it is answered with 200
    task: "asyncio.Task[list[Answer]]"


class WatchfulApi(FakeApi):
    """The API: looks at every token it is sent."""

    look: Callable[[UpstreamRequest], None]

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        self.look(request)
        return await super().send(request, body)


class Lifecycle(RuleBasedStateMachine):
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
        self.fleet = Fleet(
            clock=TurnableClock(),
            replicas=REPLICAS,
            store=self.shared,
            address=address,
            timing=TIMING,
            reached=self._reached,
        )
        self.clock, self.provider = self.fleet.clock, self.fleet.provider
        self.families = self.provider.families
        self.truth = Truth(self.fleet.ring, self.families, self.clock)
        self.truth.handles = self.fleet.drawn.handles
        self.fleet.wrote = self.truth.wrote
        self.browsers = [self.fleet.browser() for _ in PEOPLE]
        self.by_sid: dict[str, int] = {}
        api = self.fleet.api
        api.look = self._look_at_a_token

    # -- people --------------------------------------------------------------------------------

    @rule(browser=who, place=where)
    def somebody_logs_in(self, browser: int, place: int) -> None:
        self.logins += 1
        sid = f"sid-{self.logins}"
        self.by_sid[sid] = browser
        self.provider.subject, self.provider.sid = PEOPLE[browser], sid

        async def log_in(tab: Browser) -> list[Answer]:
            return [await tab.navigate(f"/bff/login?return_to=/api/{browser}")]

        self._begins("login", browser, place, log_in)

    @rule(browser=who, place=where, at_once=st.sampled_from([1, 1, 4]))
    def somebody_calls(self, browser: int, place: int, at_once: int) -> None:
        self._calls(browser, [place], at_once)

    @rule(browser=who)
    def somebody_calls_everywhere(self, browser: int) -> None:
        self._calls(browser, range(REPLICAS))

    def _calls(self, browser: int, places: Iterable[int], at_once: int = 1) -> None:
        """Call the API, or log in, without a cookie."""

        async def fetch(tab: Browser) -> list[Answer]:
            calls = (tab.fetch(f"/api/{browser}") for _ in range(at_once))
            return list(await asyncio.gather(*calls))

        if SESSION not in self.browsers[browser].cookies:
            self.somebody_logs_in(browser, next(iter(places)))
            return
        for place in places:
            self._starts("call", browser, place, fetch)
        self._settles()

    @rule(browser=who, place=where)
    def somebody_logs_out(self, browser: int, place: int) -> None:
        async def log_out(tab: Browser) -> list[Answer]:
            return [await tab.fetch("/bff/logout", "POST")]

        known = self._session_of(browser)
        if known is not None:
            for one in self.truth.of_browser(known.facts.browser):
                one.reasons.add("user")
        is_there = known is not None and not known.facts.is_over(self.clock.now())
        self._begins("logout", browser, place, log_out, [known] if known and is_there else [])

    @rule(browser=who, place=where)
    def somebody_ends_their_others(self, browser: int, place: int) -> None:
        async def end(tab: Browser) -> list[Answer]:
            return [await tab.fetch("/bff/sessions", "DELETE")]

        known = self._session_of(browser)
        others = [
            one
            for one in self.truth.sessions.values()
            if known
            and one is not known
            and one.facts.subject == known.facts.subject
            and not one.facts.is_over(self.clock.now())
        ]
        for one in others:
            one.reasons.add("other_session")
        self._begins("end others", browser, place, end, others)

    @rule(browser=who, place=where)
    def an_operator_ends_one(self, browser: int, place: int) -> None:
        known = self._session_of(browser)
        if known is None:
            return
        sessions = self.fleet.members[place].gateway.refresher._sessions

        async def end(_: Browser) -> list[Answer]:
            try:
                await sessions.end(known.lookup, known.facts, by="admin")
            except Unavailable:
                return [Answer(503, [])]
            return [Answer(200, [])]

        known.reasons.add("admin")
        self._begins("admin", browser, place, end, [known])

    @precondition(lambda _: HAS_BACK_CHANNEL_LOGOUT)
    @rule(browser=who, place=where, by_sid=st.booleans())
    def the_provider_logs_somebody_out(self, browser: int, place: int, by_sid: bool) -> None:
        """By its session, or by the person; also of logins that are under way."""
        sids = [sid for sid, whose in self.by_sid.items() if whose == browser]
        if not sids:
            return
        about = {"sid": sids[-1]} if by_sid else {"sub": PEOPLE[browser]}
        self.logins += 1
        token = self._logout_token(about)
        meant = (
            [sids[-1]]
            if by_sid
            else [s for s, b in self.by_sid.items() if PEOPLE[b] == PEOPLE[browser]]
        )
        self.truth.ordered.update(meant)
        ended = [one for one in self.truth.sessions.values() if one.family.sid in meant]
        for one in ended:
            one.reasons.add("backchannel_logout")
        there = [one for one in ended if not one.facts.is_over(self.clock.now())]
        gateway = self.fleet.members[place].gateway

        async def order(_: Browser) -> list[Answer]:
            headers = [
                (b"host", b"app.example"),
                (b"content-type", b"application/x-www-form-urlencoded"),
            ]
            body = f"logout_token={token}".encode()
            target = b"/bff/backchannel-logout/main"
            return [await call(gateway.public, "POST", target, headers, body)]

        self._begins("logout token", browser, place, order, there)

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

    # -- time ----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 61.0, 241.0, 296.0, 301.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(
        seconds=st.sampled_from([241.0, 296.0, 301.0]),
        browser=who,
        places=st.permutations(range(REPLICAS)),
    )
    def tokens_run_out_and_everybody_calls(
        self, seconds: float, browser: int, places: list[int]
    ) -> None:
        """In two replicas at the same moment, which is what a refresh race takes."""
        self.clock.advance(seconds)
        self._calls(browser, places[:2])

    @rule(seconds=st.sampled_from([1.0, 1.0, 1.0, 1.0, 1.0, 1900.0, 43300.0]))
    def a_long_time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([2.0, 300.0, 3600.0]))
    def the_clock_is_set_back(self, seconds: float) -> None:
        self.clock.advance(-seconds)

    # -- what breaks ---------------------------------------------------------------------------

    @rule(place=where, operation=operations, fault=st.sampled_from(Fault))
    def an_operation_will_fail(self, place: int, operation: str, fault: Fault) -> None:
        self.troubled = True
        self.fleet.members[place].way.armed[operation] = fault

    @rule(place=where)
    def a_replica_loses_the_store(self, place: int) -> None:
        self.troubled = True
        member = self.fleet.members[place]
        member.way.down = True
        member.store.lose_the_link()

    @rule(place=where)
    def a_replica_is_told_nothing(self, place: int) -> None:
        self.troubled = True
        member = self.fleet.members[place]
        member.way.deaf = True
        member.store.lose_the_link()

    @rule(place=where)
    def a_replica_has_the_store_again(self, place: int) -> None:
        self._reconnect(self.fleet.members[place])

    @rule(nth=st.integers(0, 3))
    def what_was_held_up_arrives(self, nth: int) -> None:
        gates = [gate for member in self.fleet.members for gate in member.way.gates]
        late = [(member.way, one) for member in self.fleet.members for one in member.way.late]
        if nth < len(gates):
            self._open(gates[nth])
        elif nth - len(gates) < len(late):
            way, operation = late[nth - len(gates)]
            way.late.remove(operation)
            self._run(operation())
        self._settles()

    @rule(really=st.sampled_from([True, False, False, False, False, False]))
    def every_connection_is_cut(self, really: bool) -> None:
        if not really:
            return  # links take a tenth of a second to come back, and steps are to be many
        self.troubled = True
        self.server.command("CLIENT", "KILL", "TYPE", "pubsub")
        self.server.command("CLIENT", "KILL", "TYPE", "normal")

    @rule(place=where)
    def a_replica_dies(self, place: int) -> None:
        self.troubled = True
        dead = self.fleet.members[place]
        for one in [one for one in self.under_way if one.at is dead]:
            self.under_way.remove(one)
            one.task.cancel()
            self._left_over(one)
        self._run(self.fleet.kill(place))
        self._settles()

    @rule(nth=st.integers(0, 1))
    def the_lease_of_a_dead_holder_ends(self, nth: int) -> None:
        self._end_leases([key for key, is_dead in self._leases() if is_dead][nth : nth + 1])

    @rule(nth=st.integers(0, 1))
    def a_living_holder_loses_its_lease(self, nth: int) -> None:
        """As one that was suspended does; from then on two may spend the same refresh token."""
        self.troubled = True
        keys = [key for key, is_dead in self._leases() if not is_dead][nth : nth + 1]
        for key in keys:
            known = self.truth.sessions.get(LookupId(key.removeprefix(f"{PREFIX}g:")))
            if known is not None:
                known.lapsed = True
        self._end_leases(keys)

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

    @rule(place=where, mishap=st.sampled_from(Mishap))
    def a_refresh_will_go_wrong(self, place: int, mishap: Mishap) -> None:
        if mishap not in (Mishap.LINGERS, Mishap.HOLDS):
            self.troubled = True
        self.fleet.members[place].line.plan.append(mishap)

    @rule(nth=st.integers(0, 2), lost=st.booleans())
    def a_refresh_goes_on(self, nth: int, lost: bool) -> None:
        held = [(member.line, one) for member in self.fleet.members for one in member.line.held]
        if nth < len(held):
            self.troubled |= lost
            line, one = held[nth]
            line.held.remove(one)
            one.release(lost=lost)
        self._settles()

    @rule(
        browser=who,
        places=st.permutations(range(REPLICAS)),
        operation=st.sampled_from(["begin", "read", "replace tokens", "replace tokens", "finish"]),
        fault=st.sampled_from(Fault),
        mishap=st.sampled_from([None, None, *Mishap]),
    )
    def a_refresh_meets_with_trouble(
        self,
        browser: int,
        places: list[int],
        operation: str,
        fault: Fault,
        mishap: Mishap | None,
    ) -> None:
        first = places[0]
        self.clock.advance(301.0)
        self.an_operation_will_fail(first, operation, fault)
        if mishap is not None:
            self.a_refresh_will_go_wrong(first, mishap)
        self._calls(browser, [first])
        self._calls(browser, places[1:2])

    @rule(place=where)
    def the_provider_is_down(self, place: int) -> None:
        self.troubled = True
        self.fleet.members[place].line.down = True

    @rule(reuse=st.sampled_from(Reuse))
    def the_provider_has_another_policy(self, reuse: Reuse) -> None:
        self.families.reuse = reuse

    @precondition(lambda self: self.troubled)
    @rule()
    def everything_heals(self) -> None:
        """After any trouble everybody goes on, or has one reason to log in again."""
        for member in self.fleet.members:
            self._reconnect(member)
            member.way.armed.clear()
            member.line.down = False
            member.line.plan.clear()
        self._nothing_is_held_up()
        self._end_leases([key for key, is_dead in self._leases() if is_dead])
        self._finish()
        self._end_pauses()
        self.clock.advance(75.0)
        self.troubled = False
        for browser in range(len(PEOPLE)):
            self._calls(browser, range(REPLICAS))
        self._finish()

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def nothing_that_must_not_happen_has_happened(self) -> None:
        type(self).counted["step"] += 1
        self._settles()
        self._look_at_the_store()
        for one in [one for one in self.under_way if one.task.done()]:
            self.under_way.remove(one)
            self._judge(one)
        assert self.truth.wrong == [], self.truth.wrong

    def _look_at_the_store(self) -> None:
        for known in self.truth.sessions.values():
            there = self.server.command("EXISTS", f"{PREFIX}s:{known.lookup}")
            if there and known.gone:
                self._is_wrong("I1: a session is there again after its end")
            if not there and not known.gone:
                if not self.truth.had_to_end(known):
                    self._is_wrong("I5: a session ended, and nobody had ended it")
                known.gone = True
        self.truth.look_at_what_was_given_back()

    def _judge(self, one: UnderWay) -> None:
        answers = one.task.result()
        for answer in answers:
            type(self).counted[f"{one.what} {answer.status}"] += 1
            self._judge_answer(one, answer)
        first = answers[0].status
        if one.what == "login":
            ordered = any(self.by_sid[sid] == one.browser for sid in self.truth.ordered)
            if first != 200 and not (self.troubled or ordered):
                self._is_wrong("I5: a login ended without a session in good weather")
            self._left_over(one)
        if first == 200 and not all(ended.gone for ended in one.others):
            self._is_wrong(f"I1: {one.what} was answered, and a session is still there")

    def _judge_answer(self, one: UnderWay, answer: Answer) -> None:
        if answer.status == 503:
            if not self.troubled:
                said = answer.text[:200]
                self._is_wrong(f"I5: {one.what} was answered 503 in good weather: {said}")
            if any(SESSION in line for line in answer.all("set-cookie")):
                self._is_wrong("I5: a 503 touched the cookie")
        elif answer.status == 401:
            self._judge_401(one)
        elif answer.status != 200:
            self._is_wrong(f"{one.what} was answered {answer.status}: {answer.text[:200]}")
        elif one.what == "call" and (one.session is None or one.was_over):
            self._is_wrong("I1: a session was served after its end")

    def _judge_401(self, one: UnderWay) -> None:
        known = one.session
        if known is None or one.was_over or known.facts.is_over(self.clock.now()):
            return
        if not self.truth.had_to_end(known):
            self._is_wrong(f"I5: {one.what} was answered 401, and nobody had ended the session")

    def _look_at_a_token(self, request: UpstreamRequest) -> None:
        token = dict(request.fields)[b"authorization"].decode().removeprefix("Bearer ")
        browser = int(request.target.rpartition(b"/")[2])
        family, until = self.families.access[token]
        if self.by_sid[str(family.sid)] != browser:
            self._is_wrong("I7: a call carried another browser's token")
        if until - self.clock.now() <= SAFETY:
            self._is_wrong("I8: a call carried a token that runs out")
        if token not in self.truth.durable_access:
            self._is_wrong("I3: a token was used before it was stored")

    def _reached(self, request: BackChannelRequest, presented: Presented | None) -> None:
        if presented is not None:
            type(self).counted["grant"] += 1
            self.truth.present(presented)
        elif request.url == self.provider.url("/revoke"):
            self.truth.revoke(dict(parse_qsl(request.body.decode()))["token"])

    def teardown(self) -> None:
        if self.truth.wrong == []:
            self.everything_heals()
            self.nothing_that_must_not_happen_has_happened()
        self._run(self._end())
        self.loop.close()

    async def _end(self) -> None:
        await self.fleet.aclose()
        await self.shared.aclose()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # -- the model -----------------------------------------------------------------------------

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
        tab = self.fleet.tab(self.browsers[browser], at)
        task = self.loop.create_task(action(tab))
        self.under_way.append(UnderWay(what, browser, at, known, was_over, others or [], task))

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

    def _finish(self) -> None:
        """Let everything under way come to its end, which must not take long."""

        async def ended() -> None:
            tasks = [one.task for one in self.under_way]
            if tasks:
                _, waiting = await asyncio.wait(tasks, timeout=15.0)
                if waiting:
                    self._is_wrong("I9: somebody waits for ever")

        self._run(ended())
        self._look_at_the_store()
        for one in self.under_way:
            if one.task.done():
                self._judge(one)
        self.under_way = []

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


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder: Path = tmp_path_factory.mktemp("lifecycle")
    with running(RealServer(redis_server_binary(), folder)) as started:
        Lifecycle.server = started
        yield started


def test_no_interleaving_loses_a_token_or_revives_a_session() -> None:
    Lifecycle.counted.clear()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Lifecycle,
        settings=examples(
            60,
            stateful_step_count=50,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(Lifecycle.counted)
