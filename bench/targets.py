"""What the gateway has to reach, and whether it did: ratios within one run, on one core."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import Figures

Table = dict[str, Figures]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of the result and its bound; `at_most` turns the comparison around."""

    text: str
    figure: Callable[[Table], float | None]
    bound: float
    unit: str = "×"
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`found` is None when one of the figures is missing."""

    target: Target
    found: float | None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None when that was not measured."""
        if self.found is None:
            return None
        bound = self.target.bound
        return self.found <= bound if self.target.at_most else self.found >= bound


def ratio(above: float | None, below: float | None) -> float | None:
    """Return how many times as much; None when one of the two is not known."""
    return above / below if above is not None and below else None


def _speed(table: Table, key: str) -> float | None:
    return table[key].per_second if key in table else None


def _against(key: str) -> Callable[[Table], float | None]:
    return lambda table: ratio(_speed(table, "gateway"), _speed(table, key))


def _large_bodies(table: Table) -> float | None:
    if not {"gateway", "nginx"} <= table.keys():
        return None
    return ratio(table["gateway"].bodies.get("10m"), table["nginx"].bodies.get("10m"))


def _rest(table: Table) -> float | None:
    rest = table["gateway"].rest if "gateway" in table else None
    return rest / 1e6 if rest is not None else None


def _channel(kind: str) -> Callable[[Table], float | None]:
    def kilobytes(table: Table) -> float | None:
        found = table["gateway"].per_channel.get(kind) if "gateway" in table else None
        return found / 1e3 if found is not None else None

    return kilobytes


TARGETS = (
    Target("requests/s, of nginx `proxy_pass`", _against("nginx"), 0.4),
    Target("requests/s, of oauth2-proxy + Redis", _against("oauth2-proxy"), 2),
    Target("requests/s, of mod_auth_openidc + Redis", _against("mod_auth_openidc"), 4),
    Target("requests/s, of the Express BFF", _against("express"), 4),
    Target("requests/s, of the obvious Python build", _against("python"), 20),
    Target(
        "requests/s uncached, of cached",
        lambda table: ratio(_speed(table, "gateway-uncached"), _speed(table, "gateway")),
        0.5,
    ),
    Target("bodies of 10 MB, of nginx", _large_bodies, 0.9),
    Target("resident memory of a worker at rest", _rest, 60, "MB", at_most=True),
    Target("memory for an idle event stream", _channel("sse"), 25, "KB", at_most=True),
    Target("memory for an idle WebSocket", _channel("ws"), 25, "KB", at_most=True),
)


def verdicts(table: Table) -> list[Verdict]:
    """Compare every target with the result."""
    return [Verdict(target, target.figure(table)) for target in TARGETS]
