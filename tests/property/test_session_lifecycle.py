"""The life of sessions against every interleaving: docs/session-lifecycle.md, tried out.

Three replicas of the real gateway on a real Redis; people log in, call, log out; time passes or
jumps; the store and the provider fail at any operation, before or after it took effect; processes
die in the middle. Whatever happens, the invariants of the document hold. Their numbers are in the
messages of `wrong`.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from gateway.edge.messages import UpstreamRequest
from gateway.errors import Code, Refused, Unavailable
from gateway.oidc.back_channel import BackChannelRequest
from gateway.oidc.token_endpoint import GrantRefused
from gateway.ports import Caller, Doubt, LookupId, Mine, Turn
from gateway.session.granting import Task
from gateway.session.model import Session, Tokens
from gateway.session.token_life import SAFETY
from tests.support.asgi import Answer, call
from tests.support.browser import Browser
from tests.support.examples import USUAL, examples
from tests.support.faulty_store import Fault
from tests.support.held_line import Mishap, Presented
from tests.support.lifecycle_machine import (
    PEOPLE,
    PREFIX,
    REPLICAS,
    TIMING,
    LifecycleMachine,
    UnderWay,
)
from tests.support.redis_servers import RealServer, redis_server_binary, running
from tests.support.session_truth import Known
from tests.support.token_families import Reuse
from tests.support.world import SESSION

EXAMPLES = 70
"""Of fifty steps each, or a few less."""

who = st.integers(0, len(PEOPLE) - 1)
where = st.integers(0, REPLICAS - 1)
reads = ("read", "read_many", "members", "marks", "claimed")
writes = ("replace", "replace", "end", "end", "create", "claim", "mark")
operations = st.sampled_from((*reads, *writes, "begin", "renew", "finish"))


class Lifecycle(LifecycleMachine):
    """Three browsers of two people, three replicas."""

    # -- people --------------------------------------------------------------------------------

    @rule(browser=who, place=where)
    def somebody_logs_in(self, browser: int, place: int) -> None:
        async def log_in(tab: Browser) -> list[Answer]:
            return [await tab.navigate(f"/bff/login?return_to=/api/{self.clock.turns}/{browser}")]

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
            calls = (tab.fetch(f"/api/{self.clock.turns}/{browser}") for _ in range(at_once))
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
        known = self._session_of(browser)

        async def end(tab: Browser) -> list[Answer]:
            asked_by = [known.facts] if known else []
            self.truth.ending_others += asked_by
            answer = await tab.fetch("/bff/sessions", "DELETE")
            # Not when the browser has left: the gateway goes on without it.
            for facts in asked_by:
                self.truth.ending_others.remove(facts)
            return [answer]

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

    @rule(browser=who, place=where, by_sid=st.booleans())
    def the_provider_logs_somebody_out(self, browser: int, place: int, by_sid: bool) -> None:
        """By its session, or by the person; also of logins that are under way."""
        sids = [
            str(family.sid)
            for family, _ in self.families.access.values()
            if self.by_sid[str(family.sid)] == browser
        ]
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
        person = PEOPLE[browser]
        self.truth.ordered_at[person] = max(
            self.clock.now(), self.truth.ordered_at.get(person, 0.0)
        )
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

    # -- time ----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 16.0, 26.0, 61.0, 241.0, 296.0, 301.0]))
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
        self._lapse([key for key, is_dead in self._leases() if not is_dead][nth : nth + 1])

    def _lapse(self, keys: list[str]) -> None:
        for key in keys:
            known = self.truth.sessions.get(LookupId(key.removeprefix(f"{PREFIX}g:")))
            if known is not None:
                known.lapsed = True
        self._end_leases(keys)

    @rule(
        really=st.sampled_from([True, False, False]),
        browser=who,
        places=st.permutations(range(REPLICAS)),
        mishap=st.sampled_from([Mishap.LINGERS, Mishap.HOLDS]),
        wakes=st.booleans(),
    )
    def a_holder_sleeps_until_another_has_had_its_turn(
        self, really: bool, browser: int, places: list[int], mishap: Mishap, wakes: bool
    ) -> None:
        """Before its token is spent, or before it has heard of it; it wakes up then, or later."""
        first, second, _ = places
        known = self._session_of(browser)
        if not really or known is None:
            return  # last words take their time, and steps are to be many
        self.clock.advance(301.0)
        self.a_refresh_will_go_wrong(first, mishap)
        self._calls(browser, [first])
        self.a_replica_loses_the_store(first)
        self._lapse([key for key, _ in self._leases() if key.endswith(known.lookup)])
        self._calls(browser, [second])
        self._run(asyncio.sleep(TIMING.last_word + 0.03))
        self._settles()
        if wakes:
            self.a_replica_has_the_store_again(first)
            self.a_refresh_goes_on(0, lost=False)

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

    @rule(reuse=st.sampled_from(Reuse), lifetime=st.sampled_from([30, 300, 300]))
    def the_provider_has_another_policy(self, reuse: Reuse, lifetime: int) -> None:
        self.families.reuse = reuse
        self.provider.lifetime = lifetime  # of access tokens, in seconds

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

    def _finish(self) -> None:
        """Let everything under way come to its end, which must not take long."""

        async def ended() -> None:
            # Refreshes that nobody waits for, too: one may be about to note a pause.
            refreshers = [member.gateway.refresher for member in self.fleet.members]
            flights = [flight for one in refreshers for flight in one._flights.values()]
            tasks = [one.task for one in self.under_way], [one.task for one in flights]
            if any(tasks):
                _, waiting = await asyncio.wait({*tasks[0], *tasks[1]}, timeout=15.0)
                if waiting:
                    self._is_wrong("I9: somebody waits for ever")

        self._run(ended())
        self._look_at_the_store()
        for one in self.under_way:
            if one.task.done():
                self._judge(one)
        self.under_way = []

    def _look_at_the_store(self) -> None:
        for one in self.under_way:
            if one.what == "login" and one.turn != self.clock.turns:
                self._overtaken(one.browser)
        for known in self.truth.sessions.values():
            there = self.server.command("EXISTS", f"{PREFIX}s:{known.lookup}")
            if there and known.gone:
                self._is_wrong("I1: a session is there again after its end")
            if not there and not known.gone:
                if not self.truth.had_to_end(known):
                    ends = self.fleet.audit("session.ended")
                    by = ends[-1].get("by") if ends else "nobody"
                    self._is_wrong(f"I5: a session ended, and nobody had ended it (by {by})")
                known.gone = True
        self.truth.look_at_what_was_given_back()

    def _overtaken(self, browser: int) -> None:
        """A login held up for longer than any takes: it and a later one each end the other's."""
        for known in self.truth.sessions.values():
            if self.by_sid[str(known.family.sid)] == browser:
                known.reasons.add("new_login")

    def _judge(self, one: UnderWay) -> None:
        answers = one.task.result()
        for answer in answers:
            type(self).counted[f"{one.what} {answer.status}"] += 1
            self._judge_answer(one, answer)
        first = answers[0].status
        if one.what == "login":
            ordered = PEOPLE[one.browser] in self.truth.ordered_at
            if first != 200 and not (self.troubled or ordered):
                self._is_wrong("I5: a login ended without a session in good weather")
            self._left_over(one)
        left = [ended for ended in one.others if not (ended.gone or self._was_over(ended, one))]
        if first == 200 and left:
            self._is_wrong(f"I1: {one.what} was answered, and a session is still there")

    def _was_over(self, known: Known, one: UnderWay) -> bool:
        """Whether a deadline has, at some time since this began, done its work already."""
        return self.clock.latest >= known.facts.deadline() or one.was_over

    def _judge_answer(self, one: UnderWay, answer: Answer) -> None:
        if answer.status == 503:
            if not self.troubled:
                said = answer.text[:200]
                self._is_wrong(f"I5: {one.what} was answered 503 in good weather: {said}")
            if any(SESSION in line for line in answer.all("set-cookie")):
                self._is_wrong("I5: a 503 touched the cookie")
        elif answer.status == 401:
            self._judge_401(one)
        elif answer.status == 403 and one.what == "login" and self.truth.ordered_at:
            pass  # a logout overtook it; judged with the others that brought no session
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
        *_, turn, browser = request.target.split(b"/")
        family, _ = self.families.access[token]
        if self.by_sid[str(family.sid)] != int(browser):
            self._is_wrong("I7: a call carried another browser's token")
        if token not in self.truth.durable_access:
            self._is_wrong("I3: a token was used before it was stored")
        # No answer is really on its way for minutes, as those are that the model holds up.
        elif int(turn) == self.clock.turns:
            if self.truth.durable_access[token] - self.clock.now() <= SAFETY:
                self._is_wrong("I8: a call carried a token that runs out")

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


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder: Path = tmp_path_factory.mktemp("lifecycle")
    with running(RealServer(redis_server_binary(), folder)) as started:
        Lifecycle.server = started
        yield started


def test_no_interleaving_loses_a_token_or_revives_a_session() -> None:
    Lifecycle.counted.clear()
    profile = hypothesis.settings.default
    assert profile is not None
    is_usual = profile.max_examples == USUAL
    run_state_machine_as_test(
        Lifecycle,
        settings=examples(
            EXAMPLES,
            stateful_step_count=50,
            derandomize=is_usual,  # the same walk each time; `make fuzz` walks elsewhere
            suppress_health_check=list(HealthCheck),
        ),
    )
    happened = Lifecycle.counted
    assert happened["step"] >= EXAMPLES * 30 * profile.max_examples // USUAL
    assert happened["grant"] >= EXAMPLES
    for seen in ("call 200", "call 401", "call 503", "logout 200", "admin 200", "logout token 200"):
        assert happened[seen] > 0, f"{seen} never happened: {happened}"


@pytest.fixture
def machine() -> Iterator[Lifecycle]:
    made = Lifecycle()
    made.somebody_logs_in(0, 0)
    made.nothing_that_must_not_happen_has_happened()
    yield made
    made._run(made._end())
    made.loop.close()


def test_the_model_itself_notices_two_grants_with_one_refresh_token(machine: Lifecycle) -> None:
    async def everybodys(*_: object, **__: object) -> Turn:
        return Mine(Doubt.NONE)

    for member in machine.fleet.members:
        member.lock.begin = everybodys  # type: ignore[method-assign]
    machine.a_refresh_will_go_wrong(0, Mishap.HOLDS)
    machine.tokens_run_out_and_everybody_calls(301.0, 0, [0, 1, 2])
    with pytest.raises(AssertionError, match="I2"):
        machine.nothing_that_must_not_happen_has_happened()


def test_the_model_itself_notices_a_session_that_comes_back(machine: Lifecycle) -> None:
    (lookup,) = machine.truth.sessions
    record = machine.server.command("GET", f"{PREFIX}s:{lookup}")
    assert isinstance(record, bytes)
    machine.somebody_logs_out(0, 1)
    machine.nothing_that_must_not_happen_has_happened()
    machine.server.command("SET", f"{PREFIX}s:{lookup}", record)
    with pytest.raises(AssertionError, match="I1"):
        machine.nothing_that_must_not_happen_has_happened()


def test_the_model_itself_notices_a_token_that_was_used_before_it_was_stored(
    machine: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgetful(session: Session, tokens: Tokens, *_: object) -> Session:
        return replace(session, tokens=tokens)

    keeping = machine.fleet.members[0].gateway.refresher._granting._keeping
    monkeypatch.setattr(keeping, "keep", forgetful)
    machine.clock.advance(301.0)
    machine.somebody_calls(0, 0, 1)
    with pytest.raises(AssertionError, match="I3"):
        machine.nothing_that_must_not_happen_has_happened()


def test_the_model_itself_notices_new_tokens_that_the_store_refused_once_and_nobody_kept(
    machine: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = machine.fleet.members[0].gateway.refresher._granting._keeping

    async def hasty(session: Session, tokens: Tokens, caller: Caller, *_: object) -> Session:
        return await keeping._write(session, session.tokens, tokens, caller)

    monkeypatch.setattr(keeping, "keep", hasty)
    machine.clock.advance(301.0)
    machine.an_operation_will_fail(0, "replace tokens", Fault.BEFORE)
    machine.somebody_calls(0, 0, 1)
    machine.nothing_that_must_not_happen_has_happened()
    machine.everything_heals()
    with pytest.raises(AssertionError, match="I2"):
        machine.nothing_that_must_not_happen_has_happened()


def test_a_token_that_waited_for_the_store_for_longer_than_it_lives_is_not_sent_i8(
    machine: Lifecycle,
) -> None:
    machine.clock.advance(301.0)
    machine.an_operation_will_fail(0, "replace tokens", Fault.SLOW)
    machine.somebody_calls(0, 0, 1)
    machine.clock.advance(301.0)
    machine.somebody_calls(0, 0, 1)  # joins the refresh that waits for the store
    machine.what_was_held_up_arrives(0)
    machine.nothing_that_must_not_happen_has_happened()
    machine.everything_heals()
    machine.nothing_that_must_not_happen_has_happened()


def test_the_model_itself_notices_a_session_that_ends_for_a_token_that_was_replaced(
    machine: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    granting = machine.fleet.members[0].gateway.refresher._granting

    async def rash(session: Session, _: GrantRefused, __: object, task: Task) -> Session:
        await granting._end(session, None, task.caller)
        raise Refused(Code.SESSION_ENDED)

    monkeypatch.setattr(granting, "_after_refusal", rash)
    machine.a_holder_sleeps_until_another_has_had_its_turn(
        really=True, browser=0, places=[0, 1, 2], mishap=Mishap.LINGERS, wakes=True
    )
    with pytest.raises(AssertionError, match="I5"):
        machine.nothing_that_must_not_happen_has_happened()
