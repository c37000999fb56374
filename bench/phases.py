"""The measurements, one function each; every one fills in its part of the figures."""

from collections.abc import Callable, Iterable, Sequence

from bench.figures import Figures
from bench.plan import BODY_CONNECTIONS, CONNECTIONS, LOAD_SHARE, Plan
from bench.traffic import Load, Run, Subject, Wanted, bodies, median, orders, send
from bench.world import World

Table = dict[str, Figures]


def throughput(world: World, subjects: Sequence[Subject], plan: Plan, table: Table) -> None:
    """Requests a second with 32 connections that always have the next request ready."""
    load = Load(CONNECTIONS, plan.seconds, plan.warm_up)
    for subject, runs in _rounds(world, subjects, orders(world), plan.rounds, lambda _: load):
        figures = table[subject.key]
        good = figures.counted("throughput", runs)
        figures.rounds = [round(run.per_second) for run in good]
        figures.per_second = median([run.per_second for run in good])
        figures.cpu = median([run.cpu for run in good])
        figures.core = median([run.core for run in good])
        figures.idle = median([run.idle for run in good])
        figures.others = median([run.others for run in good])
        figures.reads = median([run.reads for run in good])


def latency(world: World, subjects: Sequence[Subject], plan: Plan, table: Table) -> None:
    """Latency at 60 % of a system's own throughput, counted from when a request was due."""
    able = [each for each in subjects if table[each.key].per_second]

    def load(subject: Subject) -> Load:
        rate = LOAD_SHARE * (table[subject.key].per_second or 0)
        return Load(CONNECTIONS, plan.latency_seconds, plan.warm_up, rate)

    for subject, runs in _rounds(world, able, orders(world), plan.latency_rounds, load):
        figures = table[subject.key]
        good = figures.counted("latency", runs)
        figures.rate = load(subject).rate
        figures.p50 = median([run.p50 for run in good])
        figures.p99 = median([run.p99 for run in good])
        figures.p999 = median([run.p999 for run in good])


def single(
    world: World, api: Subject, subjects: Sequence[Subject], plan: Plan, table: Table
) -> None:
    """Latency that a system adds when it has nothing else to do: one connection."""
    load = Load(1, plan.single_seconds, plan.warm_up)
    everybody = [api, *subjects]
    for subject, runs in _rounds(
        world, everybody, orders(world), plan.single_rounds, lambda _: load
    ):
        figures = table[subject.key]
        good = figures.counted("one connection", runs)
        figures.single = median([run.p50 for run in good])


def body_speed(world: World, subjects: Sequence[Subject], plan: Plan, table: Table) -> None:
    """Octets a second of larger bodies."""
    load = Load(BODY_CONNECTIONS, plan.body_seconds, plan.warm_up)
    for name, wanted in bodies(world).items():
        for subject, runs in _rounds(world, subjects, wanted, plan.body_rounds, lambda _: load):
            good = table[subject.key].counted(f"bodies of {name}", runs)
            table[subject.key].bodies[name] = median([run.octets_per_second for run in good])


def over_connections(world: World, subjects: Sequence[Subject], plan: Plan, table: Table) -> None:
    """How throughput changes with the number of connections."""
    for count in plan.connections:
        load = Load(count, plan.growth_seconds, plan.warm_up)
        rounds = _rounds(world, subjects, orders(world), plan.growth_rounds, lambda _: load)  # noqa: B023  used at once
        for subject, runs in rounds:
            good = table[subject.key].counted(f"{count} connections", runs)
            speed = median([run.per_second for run in good])
            if speed is not None:
                table[subject.key].connections.append((count, speed))


def _rounds(
    world: World,
    subjects: Sequence[Subject],
    wanted: Wanted,
    rounds: int,
    load: Callable[[Subject], Load],
) -> Iterable[tuple[Subject, list[Run]]]:
    """Run everybody once, then everybody again: what disturbs the machine disturbs all alike."""
    runs: dict[str, list[Run]] = {subject.key: [] for subject in subjects}
    for _ in range(rounds):
        for subject in subjects:
            runs[subject.key].append(send(world, subject, wanted, load(subject)))
    return [(subject, runs[subject.key]) for subject in subjects]
