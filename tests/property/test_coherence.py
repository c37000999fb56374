"""Memory against every interleaving: reads, writes, announcements under way, cut links, time.

One worker is looked at; another one writes. Announcements to the first may be held up, in order,
and what it asks of the store may take effect long before it is answered. Whatever happens, it
serves no record that is older than the rule of ADR 0007 permits:

* unwatched: nothing older than the beginning of the request;
* watched: nothing older than what has been told, than a second ago, or than a write of its own
  that has been answered.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.ports import AuditEvent, LookupId
from gateway.secret import AccessToken, KeyMaterial
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session, SessionPolicy, Tokens
from gateway.session.sealing import KeyRing, RingKey
from tests.support.clock import SeededEntropy, TurnableClock
from tests.support.memory_store import LAG, MemoryStore

PEOPLE = 2
which = st.integers(0, PEOPLE - 1)


class Silent:
    """An audit log nobody reads."""

    def record(self, event: AuditEvent) -> None:
        pass


@dataclass
class History:
    """What the store held for one session, over time: generations, and None once it was gone."""

    states: list[int | None] = field(default_factory=lambda: [1])
    at: list[float] = field(default_factory=list)  # the clock at each change
    told: int = 0  # the newest state the looked-at worker must know of

    def happened(self, generation: int | None, now: float) -> None:
        if generation != self.states[-1]:
            self.states.append(generation)
            self.at.append(now)

    def oldest_permitted(self, now: float, *, watched: bool) -> int:
        if not watched:
            return len(self.states) - 1
        lately = sum(1 for at in self.at if now - at < LAG)
        return max(self.told, len(self.states) - 1 - lately)


@dataclass
class Login:
    """Somebody's session, from outside."""

    cookie: str
    lookup: LookupId
    facts: Facts
    history: History = field(default_factory=History)


@dataclass
class Visit:
    """A request under way, and the oldest state it may be served."""

    login: "Login"
    oldest: int
    task: asyncio.Task[Session | None]


class Coherence(RuleBasedStateMachine):
    """Two workers, two people. Whose session has ended logs in again."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = TurnableClock()
        self.store = MemoryStore(self.clock)
        self.far = self.store.another()
        entropy = SeededEntropy("coherence")
        self.ring = KeyRing([RingKey("k", KeyMaterial(bytes(range(32))))], entropy)
        self.near_sessions, self.far_sessions = (
            Sessions(store, self.ring, SessionPolicy(), self.clock, entropy, Silent())
            for store in (self.store, self.far)
        )
        self.visits: list[Visit] = []
        self.writes: list[tuple[Login, asyncio.Task[Any]]] = []
        self.slow: list[asyncio.Event] = []  # each opens for one answer
        self.logins = [self._log_in(number) for number in range(PEOPLE)]
        self.former: list[Login] = []

    def _log_in(self, number: int) -> Login:
        now = self.clock.now()
        facts = Facts(
            session_id=self.far_sessions.new_session_id(),
            provider="main",
            issuer="https://id.example",
            subject=f"person-{number}",
            sid=None,
            created_at=now,
            last_seen=now,
            idle_deadline=now + 1e6,
            absolute_deadline=now + 1e6,
            auth_time=None,
            acr=None,
            user={},
        )
        tokens = Tokens(AccessToken(f"token-{number}"), now + 300, now, frozenset())
        made = self._now(self.far_sessions.create(facts, tokens))
        return Login(self.ring.cookie_value(made.handle), made.lookup, facts)

    # -- what the looked-at worker does --------------------------------------------------------

    @invariant()
    def requests_come_all_the_time(self) -> None:
        for login in [*self.logins, *self.former[-1:]]:
            self._visit(login)
        self._look()

    @rule(number=which)
    def a_request_is_answered_slowly(self, number: int) -> None:
        """It finds memory without its session, and the store's answer is held up on its way."""
        login = self.logins[number]
        self._evict(login)
        with self._slowly():
            self._visit(login)

    @rule(nth=st.integers(0, 3))
    def a_slow_answer_arrives(self, nth: int) -> None:
        if nth < len(self.slow):
            self.slow.pop(nth).set()
            self._settle()

    @rule(number=which, slowly=st.booleans())
    def it_writes_itself(self, number: int, slowly: bool) -> None:
        login = self.logins[number]
        session = self._stored(login)
        if session is not None:
            with self._slowly() if slowly else contextlib.nullcontext():
                self._write(login, self.near_sessions.write(session, facts=session.facts))

    @rule(number=which, slowly=st.booleans())
    def it_ends_one_itself(self, number: int, slowly: bool) -> None:
        login = self.logins[number]
        with self._slowly() if slowly else contextlib.nullcontext():
            self._write(login, self.near_sessions.end(login.lookup, login.facts, by="user"))

    # -- what happens elsewhere ----------------------------------------------------------------

    @rule(number=which)
    def the_other_worker_writes(self, number: int) -> None:
        session = self._stored(self.logins[number])
        if session is not None:
            self._now(self.far_sessions.write(session, facts=session.facts))
        self._note()

    @rule(number=which)
    def the_other_worker_ends_one(self, number: int) -> None:
        login = self.logins[number]
        self._now(self.far_sessions.end(login.lookup, login.facts, by="user"))
        self._note()

    @rule()
    def the_store_is_emptied(self) -> None:
        self.store.lose_everything()
        self._note()

    @rule()
    def everybody_logs_in_again(self) -> None:
        for number, login in enumerate(self.logins):
            if login.history.states[-1] is None:
                self.former.append(login)
                self.logins[number] = self._log_in(number)

    # -- what happens on the way ---------------------------------------------------------------

    @rule()
    def announcements_are_held_up(self) -> None:
        self.store.hold()

    @rule(count=st.integers(1, 4))
    def some_announcements_arrive(self, count: int) -> None:
        self.store.release(count)
        self._note()

    @rule()
    def all_announcements_arrive(self) -> None:
        self.store.release()
        self._note()

    @rule()
    def the_link_is_cut(self) -> None:
        self.store.cut()

    @rule()
    def the_link_is_mended(self) -> None:
        self.store.mend()
        self._note()

    @rule(seconds=st.sampled_from([0.1, 0.5, 0.95, 1.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # -- what must hold ------------------------------------------------------------------------

    def _look(self) -> None:
        for visit in [one for one in self.visits if one.task.done()]:
            self.visits.remove(visit)
            session = visit.task.result()
            states = visit.login.history.states
            if session is None:
                assert states[-1] is None
                continue
            assert session.lookup == visit.login.lookup
            assert session.facts.subject == visit.login.facts.subject
            assert states.index(session.generation) >= visit.oldest

    def teardown(self) -> None:
        for gate in self.slow:
            gate.set()
        self._settle()
        self._look()
        assert self.visits == []
        assert self.writes == []
        assert self.near_sessions._cache._under_way == {}
        self.loop.close()

    # -- the model -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _slowly(self) -> Iterator[None]:
        self.store.gate = asyncio.Event()
        self.slow.append(self.store.gate)
        yield
        self.store.gate = None

    def _evict(self, login: Login) -> None:
        cache = self.near_sessions._cache
        opened = cache.recall(login.cookie)
        if opened is not None:
            cache._drop(opened)

    def _visit(self, login: Login) -> None:
        self._note()
        now = self.clock.now()
        oldest = login.history.oldest_permitted(now, watched=self.store.is_watched())
        asked = self.near_sessions.open(login.cookie, extend=False)
        self.visits.append(Visit(login, oldest, self.loop.create_task(asked)))
        self._settle()

    def _write(self, login: Login, writing: Coroutine[Any, Any, Any]) -> None:
        self.writes.append((login, self.loop.create_task(writing)))
        self._settle()

    def _learn(self) -> None:
        """Whoever's write has been answered may rely on it from now on."""
        for login, task in [one for one in self.writes if one[1].done()]:
            self.writes.remove((login, task))
            result = task.result()
            made = result.generation if isinstance(result, Session) else None
            states = login.history.states
            if made in states:  # else it came too late, and made nothing
                login.history.told = max(login.history.told, states.index(made))

    def _note(self) -> None:
        """Write down what the store holds, and what has been told by now."""
        live = self.store.live_sessions()
        held = [lookup for _, lookup in self.store.held]
        for login in [*self.logins, *self.former]:
            history = login.history
            record = live.get(login.lookup)
            history.happened(record.generation if record else None, self.clock.now())
            if None not in held and self.store.linked:
                under_way = held.count(login.lookup)
                history.told = max(history.told, len(history.states) - 1 - under_way)

    def _stored(self, login: Login) -> Session | None:
        handle = self.ring.read_handle(login.cookie)
        assert handle is not None
        found: Session | None = self._now(self.far_sessions.reread(handle))
        return found

    def _now(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def _settle(self) -> None:
        async def a_few_turns() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(a_few_turns())
        self._note()
        self._learn()


Coherence.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCoherence = Coherence.TestCase


def test_the_model_itself_notices_a_stale_session() -> None:
    """A worker that forgets nothing must fail it, or it proves nothing."""

    class Forgetless(Coherence):
        def __init__(self) -> None:
            super().__init__()
            self.near_sessions._cache.forget = lambda lookup: None  # type: ignore[method-assign]

    machine = Forgetless()
    with contextlib.closing(machine.loop):
        machine.requests_come_all_the_time()
        machine.the_other_worker_ends_one(0)
        with pytest.raises(AssertionError):
            machine.requests_come_all_the_time()
