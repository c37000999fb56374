"""Prometheus metrics. Security events are counted where they are audited, so the two agree."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.ports import AuditEvent, AuditLog

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class EventMetrics:
    """A registry that counts security events; the rest is its heirs'."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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

    def __init__(self, version: str, dangers: tuple[str, ...]) -> None:
        super().__init__()
        self.requests = Counter(
            "gateway_requests",
            "Answers to browsers, by status class.",
            ("status",),
            registry=self.registry,
        )
        self.duration = Histogram(
            "gateway_request_seconds",
            "Time from the request's header to the last octet of the answer.",
            registry=self.registry,
        )
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

    def observe(self, status: int, seconds: float) -> None:
        """Count one answer to a browser."""
        self.requests.labels(f"{status // 100}xx").inc()
        self.duration.observe(seconds)

    def outage(self, code: str) -> None:
        """Count one request that failed for want of the store, a provider or an upstream."""
        self.outages.labels(code).inc()


class SupervisorMetrics(EventMetrics):
    """What the supervisor of several workers counts."""

    def __init__(self) -> None:
        super().__init__()
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
            "Times a worker did not say its metrics in time, so that they are missing here.",
            registry=self.registry,
        )
        self.reloads = Counter(
            "gateway_config_reloads",
            "Reloads of the configuration, by outcome.",
            ("outcome",),
            registry=self.registry,
        )


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
