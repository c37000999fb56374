"""The servers that answer for a route, and the terms on which they are spoken to.

Everything here comes from configuration; nothing a request contains chooses a server.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of one exchange, in seconds; None means none.

    `connect` opens a connection (name, TCP, TLS). `header` runs from the last octet of the request
    to the answer's last header field. `idle` is the longest pause within either body. `total` is
    for the whole exchange and does not hold for WebSockets and event streams.
    """

    connect: float = 2.0
    header: float = 60.0
    idle: float | None = 60.0
    total: float | None = None


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Connections of one worker to one server; times in seconds.

    A request that finds every connection in use waits its turn for `wait`, at most `max_waiting`
    of them; then it is refused as UPSTREAM_OVERLOADED. `keepalive` is how long a connection may
    lie idle, `max_age` how old it may be when it is taken again.
    """

    max_connections: int = 256
    max_waiting: int = 1024
    wait: float = 2.0
    keepalive: float = 15.0
    max_age: float = 600.0


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """Files (PEM) for https servers; without `ca_file` the system's authorities are believed.

    `server_name` is what the certificate must be for, and what is asked for (SNI), instead of the
    host in the address.
    """

    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Ask `GET target` every `interval` seconds; 200–399 within `timeout` is healthy."""

    target: bytes
    interval: float = 5.0
    timeout: float = 2.0


@dataclass(frozen=True, slots=True)
class UpstreamGroup:
    """Servers that are the same to us. `origins` are `scheme://host[:port]`, lower case.

    The first one's authority is the Host that all of them are sent; without `tls` an https server
    is checked against the system's authorities.
    """

    origins: tuple[str, ...]
    timeouts: Timeouts = Timeouts()
    limits: PoolLimits = PoolLimits()
    tls: UpstreamTls | None = None
    health: HealthCheck | None = None
    host: tuple[bytes, bytes] = field(init=False, repr=False, compare=False)  # the Host field

    def __post_init__(self) -> None:
        authority = self.origin.partition("://")[2]
        object.__setattr__(self, "host", (b"host", authority.encode("ascii")))

    @property
    def origin(self) -> str:
        """The first server's, which stands for the group."""
        return self.origins[0]
