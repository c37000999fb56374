"""Prometheus metrics. Security events are counted where they are audited, so the two agree."""

import math
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from gateway.adapters.http1_upstream.pool import PoolState
from gateway.adapters.log_writer import Lost
from gateway.ports import AuditEvent, AuditLog
from gateway.session.offering import RevocationCounts

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Sources:
    """What others keep count of anyway. They are asked when metrics are: no request pays for it."""

    pools: Callable[[], Iterable[PoolState]] = tuple
    channels: Callable[[], Mapping[str, int]] = dict
    """Open ones, by kind."""
    lost: Callable[[], Lost] = Lost


class EventMetrics:
    """A registry that counts security events and lost lines; the rest is its heirs'."""

    def __init__(self, lost: Callable[[], Lost] = Lost) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_LostLines(lost))
        self.events = Counter(
            "gateway_security_events",
            "Security events as audited, by name, outcome, code and provider.",
            ("event", "outcome", "code", "provider"),
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Return the exposition format."""
        return generate_latest(self.registry)


class Metrics(EventMetrics):
    """What one serving process counts."""

    def __init__(
        self, version: str, dangers: tuple[str, ...], sources: Sources | None = None
    ) -> None:
        sources = sources or Sources()
        super().__init__(sources.lost)
        self._answers = _Answers()
        self.registry.register(self._answers)
        self.registry.register(_Upstreams(sources.pools))
        self.registry.register(_Channels(sources.channels))
        self.outages = Counter(
            "gateway_outages",
            "Requests that failed because of something the gateway depends on, by code.",
            ("code",),
            registry=self.registry,
        )
        info = Gauge("gateway_info", "Always 1; the version.", ("version",), registry=self.registry)
        info.labels(version).set(1)
        switched_off = Gauge(
            "gateway_protection_switched_off",
            "1 for each protection the configuration opts out of.",
            ("setting",),
            registry=self.registry,
        )
        for danger in dangers:
            switched_off.labels(danger).set(1)

    def tell_of_refreshes(
        self, circuits: Callable[[], Mapping[str, bool]], unwritten: Callable[[], int]
    ) -> None:
        """Show which providers have stopped answering, and how many tokens wait for the store."""
        self.registry.register(_Refreshes(circuits, unwritten))

    def tell_of_revocations(self, counts: RevocationCounts) -> None:
        """Show what became of refresh tokens that were given back, and how many still wait."""
        self.registry.register(_Revocations(counts))

    @property
    def observe(self) -> Callable[[int, float], None]:
        """Counts one answer to a browser: its status, and the seconds it took."""
        return self._answers.observe

    def outage(self, code: str) -> None:
        """Count one request that failed for want of the store, a provider or an upstream."""
        self.outages.labels(code).inc()


class SupervisorMetrics(EventMetrics):
    """What the supervisor of several workers counts."""

    def __init__(self, lost: Callable[[], Lost] = Lost) -> None:
        super().__init__(lost)
        self.workers = Gauge(
            "gateway_workers",
            "Workers that serve with the configuration in force.",
            registry=self.registry,
        )
        self.restarts = Counter(
            "gateway_worker_restarts",
            "Workers that ended by themselves and were replaced.",
            registry=self.registry,
        )
        self.silences = Counter(
            "gateway_worker_silences",
            "Times a worker said nothing: its metrics are left out, or it hung and was replaced.",
            ("consequence",),
            registry=self.registry,
        )
        for consequence in ("left_out", "replaced"):
            self.silences.labels(consequence)
        self.reloads = Counter(
            "gateway_config_reloads",
            "Reloads of the configuration, by outcome.",
            ("outcome",),
            registry=self.registry,
        )


class _Answers(Collector):
    """Answers to browsers. Counted in plain lists: this is done for every request.

    The library's own counters cost more than routing a request does; an event loop is one thread,
    so that they need no lock.
    """

    BOUNDS = (
        *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
        math.inf,
    )

    def __init__(self) -> None:
        self._by_class = [0] * 6
        self._by_bucket = [0] * len(self.BOUNDS)
        self._seconds = 0.0

    def observe(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self._by_class[status // 100] += 1
        self._by_bucket[bisect_left(self.BOUNDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield what has been counted, in the library's own terms."""
        requests = CounterMetricFamily(
            "gateway_requests", "Answers to browsers, by status class.", labels=("status",)
        )
        for hundreds, count in enumerate(self._by_class):
            if count:
                requests.add_metric((f"{hundreds}xx",), count)
        yield requests
        bounds = ["+Inf" if bound == math.inf else str(bound) for bound in self.BOUNDS]
        totals = accumulate(self._by_bucket)
        yield HistogramMetricFamily(
            "gateway_request_seconds",
            "Time from the request's header to the last octet of the answer.",
            buckets=list(zip(bounds, totals, strict=True)),
            sum_value=self._seconds,
        )


class _Upstreams(Collector):
    """Connections to servers. Their names come from configuration, so there are only so many."""

    def __init__(self, pools: Callable[[], Iterable[PoolState]]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        """Yield one sample per server, whichever routes and terms lead to it."""
        connections: Tally[tuple[str, ...]] = Tally()
        waiting: Tally[str] = Tally()
        ejected: dict[str, bool] = {}
        for pool in self._pools():
            connections[pool.origin, "in_use"] += pool.busy
            connections[pool.origin, "idle"] += pool.idle
            waiting[pool.origin] += pool.waiting
            ejected[pool.origin] = pool.is_out or ejected.get(pool.origin, False)
        yield _gauge(
            "gateway_upstream_connections",
            "Connections to a server, in use or idle.",
            ("upstream", "state"),
            connections,
        )
        yield _gauge(
            "gateway_upstream_waiting",
            "Requests that wait for a connection to a server.",
            ("upstream",),
            {(origin,): count for origin, count in waiting.items()},
        )
        yield _gauge(
            "gateway_upstream_ejected",
            "1 while a server is left alone because it failed, or a check found it ill.",
            ("upstream",),
            {(origin,): int(is_out) for origin, is_out in ejected.items()},
        )


class _Channels(Collector):
    """WebSockets and event streams."""

    def __init__(self, channels: Callable[[], Mapping[str, int]]) -> None:
        self._channels = channels

    def collect(self) -> Iterator[Metric]:
        """Yield how many are open."""
        yield _gauge(
            "gateway_open_channels",
            "WebSockets and event streams that are open.",
            ("kind",),
            {(kind,): count for kind, count in self._channels().items()},
        )


class _Refreshes(Collector):
    """What stands in the way of new tokens."""

    def __init__(
        self, circuits: Callable[[], Mapping[str, bool]], unwritten: Callable[[], int]
    ) -> None:
        self._circuits = circuits
        self._unwritten = unwritten

    def collect(self) -> Iterator[Metric]:
        """Yield one sample per provider, and one for the store."""
        yield _gauge(
            "gateway_provider_circuit_open",
            "1 while a provider is left in peace because it has stopped answering refreshes.",
            ("provider",),
            {(name,): int(is_open) for name, is_open in self._circuits().items()},
        )
        yield GaugeMetricFamily(
            "gateway_unwritten_tokens",
            "Sessions whose new tokens wait, in memory and sealed, for the store to take them.",
            value=self._unwritten(),
        )


class _Revocations(Collector):
    """Refresh tokens that are given back to their providers."""

    def __init__(self, counts: RevocationCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield what became of attempts, and how many tokens wait for another."""
        attempts = CounterMetricFamily(
            "gateway_revocations",
            "Refresh tokens given back, by outcome of the attempt.",
            labels=("outcome",),
        )
        for outcome, count in self._counts.by_outcome.items():
            attempts.add_metric((outcome,), count)
        yield attempts
        yield GaugeMetricFamily(
            "gateway_revocations_waiting",
            "Tokens in the queue that all workers share, when this one last looked.",
            value=self._counts.waiting,
        )


class _LostLines(Collector):
    """Log lines that nobody will read."""

    def __init__(self, lost: Callable[[], Lost]) -> None:
        self._lost = lost

    def collect(self) -> Iterator[Metric]:
        """Yield how many have been lost."""
        family = CounterMetricFamily(
            "gateway_log_lines_lost",
            "Log lines dropped because whatever takes them failed or was too slow.",
            labels=("log",),
        )
        for log, count in self._lost()._asdict().items():
            family.add_metric((log,), count)
        yield family


def _gauge(
    name: str, text: str, labels: tuple[str, ...], samples: Mapping[tuple[str, ...], int]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family


class CountedAudit:
    """An audit log that also counts what it records."""

    def __init__(self, inner: AuditLog, metrics: EventMetrics) -> None:
        self._inner = inner
        self._metrics = metrics

    def record(self, event: AuditEvent) -> None:
        """Record and count."""
        code = event.code.value if event.code else ""
        self._metrics.events.labels(
            event.name.value, event.outcome.value, code, event.provider
        ).inc()
        self._inner.record(event)
