"""What the operator decided, as frozen policies; each part of the program gets only its own.

Most policies are defined where they are used. The few that stand here belong to no other layer.
Only `gateway/config` makes a `Settings`, so one that exists has been checked.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.adapters.provider_http import BackChannelSettings
from gateway.adapters.redis_client import StoreSettings
from gateway.edge.cookies import CookiePolicy
from gateway.edge.forwarded import ForwardedPolicy
from gateway.edge.host import PublicOrigin, is_loopback
from gateway.edge.routes import Route
from gateway.oidc.client import Client
from gateway.secret import AdminToken, StoreUrl
from gateway.session.login import LoginPolicy
from gateway.session.model import SessionPolicy
from gateway.session.sealing import RingKey
from gateway.web.site import ErrorsTo


@dataclass(frozen=True, slots=True)
class Listen:
    """The public listener. `workers` 0 means one process per core.

    `accepted_hosts` are authorities, lower case, that may stand in a Host field besides the public
    origin's own, for load balancers and health checks. `drain_delay` is how many seconds a gateway
    that was asked to stop still accepts connections; a worker that gives no sign of life for
    `worker_silence` seconds is replaced.
    """

    host: str
    port: int
    workers: int = 0
    accepted_hosts: frozenset[str] = frozenset()
    drain_delay: float = 0.0
    worker_silence: float = 30.0


@dataclass(frozen=True, slots=True)
class AdminListen:
    """The operators' listener: health, metrics, administration.

    Whoever administrates has to show the `token`; without one only this machine may.
    """

    host: str
    port: int
    token: AdminToken | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class EmbeddedStore:
    """A private Valkey below this absolute directory, started and stopped with the gateway."""

    directory: str
    store: StoreSettings

    def at(self, url: StoreUrl) -> StoreSettings:
        """Return how to reach the server, once it has said where it listens."""
        return replace(self.store, url=url)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send, and how slowly. Sizes in octets, times in seconds.

    Without `max_body_bytes` each upstream decides for itself. `header_timeout` is absolute, from a
    request's first octet (or the connection's beginning) to its last header field; `body_idle` is
    the longest pause within a body, `body_min_rate` the octets per second it has to bring on an
    average (0 asks for none), `body_total` holds for all of it; `keepalive` is how long a
    connection may lie idle; `write_idle` how long a client may take no octet of an answer.
    `max_connections` is per worker. `shutdown_grace` is what requests under way have when the
    gateway stops, `reload_grace` what they and open channels have before that after a reload.
    """

    max_target_bytes: int = 16384
    max_header_bytes: int = 65536
    max_header_count: int = 256
    max_body_bytes: int | None = None
    header_timeout: float = 10.0
    body_idle: float = 30.0
    body_min_rate: int = 500
    body_total: float | None = None
    write_idle: float = 60.0
    keepalive: float = 75.0
    max_connections: int = 10000
    shutdown_grace: float = 30.0
    reload_grace: float = 600.0
    max_message_bytes: int = 1048576  # of a WebSocket


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Log:
    """`level` is a name of the standard library's logging, lower case."""

    level: str = "info"
    format: LogFormat = LogFormat.JSON

    @property
    def is_readable(self) -> bool:
        """Whether lines are for a person at a terminal."""
        return self.format is LogFormat.CONSOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the composition root needs.

    `keys[0]` seals, all open. `clients[0]` is the default provider. With an `embedded_store` the
    `store` has no address yet: `embedded_store.at(url)` gives it one. `dangers` are the names of
    the `dangerously_` keys in force, to be shown wherever the gateway describes itself.
    """

    public_origin: PublicOrigin
    listen: Listen
    admin: AdminListen
    forwarded: ForwardedPolicy
    cookies: CookiePolicy
    store: StoreSettings
    embedded_store: EmbeddedStore | None
    keys: tuple[RingKey, ...]
    session: SessionPolicy
    clients: tuple[Client, ...]
    routes: tuple[Route, ...]
    login: LoginPolicy
    errors_to: ErrorsTo
    limits: Limits
    back_channel: BackChannelSettings
    log: Log
    dangers: tuple[str, ...]
