"""How throughput and memory change with the number of live sessions, each of them logged in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Figures
from bench.login import many_logins
from bench.plan import CONNECTIONS, SESSIONS, Plan
from bench.programs import BenchError
from bench.traffic import Load, Subject, orders, send
from bench.world import World

_SEEN_A_SECOND = 4000  # sessions: the warm-up is long enough for each to have had its turn


@dataclass(frozen=True, slots=True)
class _Size:
    """Octets used by the system and by Redis with so many sessions."""

    sessions: int
    system: int
    stored: int


def over_sessions(
    world: World,
    subjects: Sequence[Subject],
    plan: Plan,
    table: dict[str, Figures],
    say: Callable[[str], None],
) -> None:
    """Add sessions step by step, and let the requests go round all of them at every step."""
    for subject in subjects:
        figures, sizes = table[subject.key], list[_Size]()
        for count in plan.sessions:
            try:
                _log_in(world, subject, count, plan)
            except BenchError as failure:
                figures.notes.append(f"logins for {count} sessions: {failure}")
                break
            live = min(count, len(subject.cookies))
            warm_up = plan.warm_up + live / _SEEN_A_SECOND
            load = Load(CONNECTIONS, plan.growth_seconds, warm_up, sessions=live)
            run = send(world, subject, orders(world), load)
            for good in figures.counted(f"{live} sessions", [run]):
                figures.sessions.append((live, good.per_second))
            sizes.append(_size(world, subject))
            if live < count:
                break
        say(f"  {subject.name}: {len(subject.cookies)} sessions")
        _compare(figures, sizes)


def _log_in(world: World, subject: Subject, count: int, plan: Plan) -> None:
    """Log in until there are `count` sessions, or the time for it is over."""
    if subject.system is not None and count > len(subject.cookies):
        subject.cookies += many_logins(
            subject.place.origin,
            subject.system.login,
            world.issuer,
            count - len(subject.cookies),
            seconds=plan.login_seconds,
        )


def _size(world: World, subject: Subject) -> _Size:
    total = subject.program.memory().total if subject.program else 0
    return _Size(len(subject.cookies), total, world.stored())


def _compare(figures: Figures, sizes: Sequence[_Size]) -> None:
    """Fill in the growth, though not from nothing: what the first logins cost is paid once."""
    begin = next((size for size in sizes if size.sessions > SESSIONS), None)
    if begin is None or sizes[-1].sessions == begin.sessions:
        return
    added = sizes[-1].sessions - begin.sessions
    figures.per_session = (sizes[-1].system - begin.system) / added
    figures.per_session_stored = (sizes[-1].stored - begin.stored) / added
