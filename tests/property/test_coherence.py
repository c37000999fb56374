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
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.ports import AuditEvent, LookupId
from gateway.secret import AccessToken, KeyMaterial
from gateway.session.cache import OVERHEAD
from gateway.session.manager import Sessions
from gateway.session.model import Facts, Session, SessionPolicy, Tokens
from gateway.session.sealing import KeyRing, RingKey
from tests.support.clock import SeededEntropy, TurnableClock
from tests.support.memory_store import LAG, MemoryStore

COOKIES = 3
which = st.integers(0, COOKIES - 1)


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
class Visit:
    """A request under way, and the oldest state it may be served."""

    number: int
    oldest: int
    task: asyncio.Task[Session | None]


class Coherence(RuleBasedStateMachine):
    """Two workers, three sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = TurnableClock()
        self.store = MemoryStore(self.clock)
        self.far = self.store.another()
        entropy = SeededEntropy("coherence")
        self.ring = KeyRing([RingKey("k", KeyMaterial(bytes(range(32))))], entropy)
        policy = SessionPolicy(cache_bytes=2 * (OVERHEAD + 2000))  # two of the three fit
        self.near_sessions, self.far_sessions = (
            Sessions(store, self.ring, policy, self.clock, entropy, Silent())
            for store in (self.store, self.far)
        )
        self.cookies: list[str] = []
        self.facts: list[Facts] = []
        self.lookups: list[LookupId] = []
        self.histories = [History() for _ in range(COOKIES)]
        self.visits: list[Visit] = []
        self.slow_gates: list[asyncio.Event] = []
        self.writes: list[tuple[int, asyncio.Task[Any]]] = []
        for number in range(COOKIES):
            self._log_in(number)

    def _log_in(self, number: int) -> None:
        now = self.clock.now()
        facts = Facts(
            self.far_sessions.new_session_id(),
            "main",
            "https://id.example",
            f"person-{number}",
            None,
            now,
            now,
            now + 1e6,
            now + 1e6,
            None,
            None,
            {},
        )
        tokens = Tokens(AccessToken(f"token-{number}"), now + 300, now, frozenset())
        made = self.loop.run_until_complete(self.far_sessions.create(facts, tokens))
        self.cookies.append(self.ring.cookie_value(made.handle))
        self.facts.append(facts)
        self.lookups.append(made.lookup)

    # -- what the looked-at worker does --------------------------------------------------------

    @rule(number=which)
    def a_request_comes(self, number: int) -> None:
        oldest = self._oldest(number)
        asked = self.near_sessions.open(self.cookies[number], extend=False)
        self.visits.append(Visit(number, oldest, self.loop.create_task(asked)))
        self._settle()

    @rule()
    def answers_are_held_up(self) -> None:
        if self.store.gate is None:
            self.store.gate = asyncio.Event()

    @rule()
    def everything_asked_so_far_is_answered(self) -> None:
        if self.store.gate is not None:
            self.store.gate.set()
            self.store.gate = None
        self._settle()

    @rule()
    def what_is_asked_now_overtakes(self) -> None:
        """Another connection of the pool is quicker than the one that is held up."""
        if self.store.gate is not None:
            self.slow_gates.append(self.store.gate)
            self.store.gate = None

    @rule()
    def what_was_overtaken_is_answered(self) -> None:
        for gate in self.slow_gates:
            gate.set()
        self.slow_gates.clear()
        self._settle()

    @rule(number=which)
    def it_writes_itself(self, number: int) -> None:
        session = self._now(self.far_sessions.reread(self._handle(number)))
        if session is not None:
            self._write(number, self.near_sessions.write(session, facts=session.facts))

    @rule(number=which)
    def it_ends_one_itself(self, number: int) -> None:
        facts = self.facts[number]
        self._write(number, self.near_sessions.end(self.lookups[number], facts, by="user"))

    # -- what happens elsewhere ----------------------------------------------------------------

    @rule(number=which)
    def the_other_worker_writes(self, number: int) -> None:
        session = self._now(self.far_sessions.reread(self._handle(number)))
        if session is not None:
            self._now(self.far_sessions.write(session, facts=session.facts))
        self._note()

    @rule(number=which)
    def the_other_worker_ends_one(self, number: int) -> None:
        self._now(self.far_sessions.end(self.lookups[number], self.facts[number], by="user"))
        self._note()

    @rule()
    def the_store_is_emptied(self) -> None:
        self.store.lose_everything()
        self._note()

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

    @invariant()
    def nobody_was_served_what_is_too_old(self) -> None:
        for visit in [one for one in self.visits if one.task.done()]:
            self.visits.remove(visit)
            session = visit.task.result()
            history = self.histories[visit.number]
            if session is None:
                assert history.states[-1] is None
                continue
            assert session.lookup == self.lookups[visit.number]
            assert session.facts.subject == f"person-{visit.number}"
            assert history.states.index(session.generation) >= visit.oldest

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.near_sessions._cache) <= 2

    def teardown(self) -> None:
        self.everything_asked_so_far_is_answered()
        self.what_was_overtaken_is_answered()
        self.nobody_was_served_what_is_too_old()
        assert self.visits == []
        assert self.writes == []
        assert self.near_sessions._cache._under_way == {}
        self.loop.close()

    # -- the model -----------------------------------------------------------------------------

    def _oldest(self, number: int) -> int:
        self._note()
        history = self.histories[number]
        return history.oldest_permitted(self.clock.now(), watched=self.store.is_watched())

    def _write(self, number: int, writing: Coroutine[Any, Any, Any]) -> None:
        self.writes.append((number, self.loop.create_task(writing)))
        self._settle()

    def _learn(self) -> None:
        """Whose writes have been answered may rely on them from now on."""
        for number, task in [one for one in self.writes if one[1].done()]:
            self.writes.remove((number, task))
            history, result = self.histories[number], task.result()
            made = result.generation if isinstance(result, Session) else None
            if made in history.states:  # else it came too late, and made nothing
                history.told = max(history.told, history.states.index(made))

    def _note(self) -> None:
        """Write down what the store holds, and what has been told by now."""
        live = self.store.live_sessions()
        held = [lookup for _, lookup in self.store.held]
        for lookup, history in zip(self.lookups, self.histories, strict=True):
            record = live.get(lookup)
            history.happened(record.generation if record else None, self.clock.now())
            if None not in held and self.store.linked:
                under_way = held.count(lookup)
                history.told = max(history.told, len(history.states) - 1 - under_way)

    def _handle(self, number: int) -> Any:
        return self.ring.read_handle(self.cookies[number])

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
    max_examples=300,
    stateful_step_count=40,
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
        machine.a_request_comes(0)
        machine.the_other_worker_ends_one(0)
        machine.a_request_comes(0)
        with pytest.raises(AssertionError):
            machine.nobody_was_served_what_is_too_old()
