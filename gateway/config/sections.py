"""The configuration's keys, apart from providers and routes. Their descriptions are its reference.

Required keys have an example: it stands in for a missing value, so that the rest can be checked.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway.config.secret_reference import Address, BySecretReference, SecretReference
from gateway.config.section import Line, Section
from gateway.config.values import Choice, Duration, Size, Workers

FIXED_COOKIE = (
    "the cookies' names and attributes are fixed (__Host-Http- prefix, Secure, HttpOnly, Path=/, "
    "no Domain), because browsers enforce the prefix only as a whole; remove this"
)
_COOKIE_KEYS = (
    "cookie",
    "cookies",
    "cookie_name",
    "cookie_domain",
    "cookie_path",
    "cookie_secure",
    "cookie_httponly",
    "cookie_samesite",
    "domain",
    "path",
    "secure",
    "httponly",
    "http_only",
    "name",
)
_NO_TLS_SWITCH = "certificates are always checked; for a private authority set ca_file"

Port = Annotated[int, Field(ge=1, le=65535)]


class ListenSection(Section):
    """The public listener."""

    host: Line = Field(
        default="127.0.0.1",
        description="The address browsers' requests arrive at: an IP address or a name. "
        "Use 0.0.0.0 (or ::) in a container.",
    )
    port: Port = Field(default=8080, description="Its port.")
    workers: Annotated[int, Workers()] = Field(
        default=0,
        description="How many processes serve; `auto` is one for each core the gateway may use. A "
        "supervisor replaces those that die, reloads and stops them.",
        json_schema_extra={"default": "auto"},
    )
    drain_delay: Annotated[float, Duration("0s", "5m")] = Field(
        default=0.0,
        description="How long a gateway that was asked to stop still accepts connections while "
        "`/readyz` says 503, so that load balancers notice.",
    )
    worker_silence: Annotated[float, Duration("2s", "1h")] = Field(
        default=30.0,
        description="A worker that gives no sign of life for so long hangs, and is replaced.",
    )
    accepted_hosts: list[Line] = Field(
        default_factory=list,
        description="Further `host[:port]` values that may stand in a request's Host field, such "
        "as those of health checks. They never become part of a URL.",
    )


class AdminSection(Section):
    """The operators' listener: `/livez`, `/readyz`, `/metrics`, `/admin/…`."""

    host: Line = Field(
        default="127.0.0.1",
        description="Its address. Health and metrics ask nobody for a password: keep it off public "
        "networks.",
    )
    port: Port = Field(
        default=9090, description="Its port; another one than the public listener's."
    )
    token: Annotated[SecretReference | None, BySecretReference()] = Field(
        default=None,
        description="What whoever administrates sessions has to send as `Authorization: Bearer`, "
        "by reference. Without it they are administrated from this machine only.",
    )


class StoreSection(Section):
    """Where sealed sessions are kept."""

    explained: ClassVar[Mapping[str, str]] = {
        "tls_verify": _NO_TLS_SWITCH,
        "insecure": _NO_TLS_SWITCH,
    }

    url: Annotated[str | SecretReference, Address()] = Field(
        description="`redis://HOST[:PORT][/DB]`, `rediss://…` (TLS), `unix:///PATH[?db=N]` or "
        "`embedded:DIRECTORY` (a private Valkey on this machine). An address with a password in "
        "it must itself be a reference: `{env: NAME}` or `{file: PATH}`.",
        examples=["redis://redis:6379/0"],
    )
    prefix: Line = Field(
        default="gw:",
        description="Begins every key, so that several gateways can share a server.",
    )
    username: Line | None = Field(default=None, description="The user name (Redis ACL).")
    password: Annotated[SecretReference | None, BySecretReference()] = Field(
        default=None, description="The password, by reference."
    )
    ca_file: Line | None = Field(
        default=None,
        description="PEM bundle that replaces the system's authorities for `rediss://`. Relative "
        "to the configuration file.",
    )
    connect_timeout: Annotated[float, Duration("10ms", "30s")] = Field(
        default=0.2, description="How long opening a connection may take."
    )
    command_timeout: Annotated[float, Duration("10ms", "30s")] = Field(
        default=0.2, description="How long one answer may take."
    )
    operation_timeout: Annotated[float, Duration("10ms", "60s")] = Field(
        default=0.45,
        description="How long a request waits for the store altogether, before it gets a 503.",
    )
    max_connections: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=32, description="Connections per worker."
    )


class KeySection(Section):
    """One key of the ring."""

    explained: ClassVar[Mapping[str, str]] = {
        "key": "the key itself goes by reference under `secret`"
    }

    id: Line = Field(
        description="A name for the key, written into what it seals; never reuse one.",
        examples=["2026-11"],
    )
    secret: Annotated[SecretReference, BySecretReference()] = Field(
        description="At least 32 random bytes, in base64, base64url or hex, or as they are. Make "
        "one with `openssl rand -base64 32`.",
        examples=[{"file": "/run/secrets/gateway-key"}],
    )


class SessionSection(Section):
    """How long sessions live."""

    explained: ClassVar[Mapping[str, str]] = dict.fromkeys(_COOKIE_KEYS, FIXED_COOKIE)

    idle_timeout: Annotated[float, Duration("1m", "90d")] = Field(
        default=1800.0, description="A session ends when it has not been used for so long."
    )
    absolute_timeout: Annotated[float, Duration("1m", "400d")] = Field(
        default=43200.0, description="A session ends so long after the login, whatever happens."
    )
    refresh_margin: Annotated[float, Duration("1s", "10m")] = Field(
        default=60.0, description="The access token is renewed when it has less than this left."
    )
    cache_bytes: Annotated[int, Size("0B", "64GiB")] = Field(
        default=67108864,
        description="Memory for opened sessions per worker, about 8 KiB each; `0` keeps none.",
    )
    same_site: Annotated[
        str,
        Choice(
            ("strict", "lax"),
            {"none": "none would send the session along with other sites' requests; use strict"},
        ),
    ] = Field(
        default="strict",
        description="The session cookie's SameSite attribute. `lax` lets a link from another site "
        "open the app as signed in at the first request.",
    )


class LoginSection(Section):
    """How logins go."""

    attempt_ttl: Annotated[float, Duration("1m", "15m")] = Field(
        default=600.0,
        description="How long a person may take at the identity provider; 15 minutes at most.",
    )
    default_return_to: Line = Field(
        default="/", description="Where a login ends when it was started without `return_to`."
    )
    errors_to: Annotated[str, Choice(("page", "app"))] = Field(
        default="page",
        description="Who explains a login the provider refused: a `page` of the gateway, or the "
        "`app`, which is opened with `auth_error` in its query.",
    )


class LimitsSection(Section):
    """How large requests may be, and how slow clients."""

    max_target_bytes: Annotated[int, Size("8000B", "1MiB")] = Field(
        default=16384, description="The path and query of a request; never less than 8000 (K10)."
    )
    max_header_bytes: Annotated[int, Size("16KiB", "1MiB")] = Field(
        default=65536, description="All header fields of a request together."
    )
    max_header_count: Annotated[int, Field(ge=32, le=10000)] = Field(
        default=256, description="Header fields of a request, by number."
    )
    max_body_bytes: Annotated[int | None, Size("1B", "1048576GiB")] = Field(
        default=None, description="A request's body. Without it each upstream decides for itself."
    )
    max_message_bytes: Annotated[int, Size("1KiB", "1GiB")] = Field(
        default=1048576, description="One message of a WebSocket, either way; larger ones end it."
    )
    header_timeout: Annotated[float, Duration("1s", "5m")] = Field(
        default=10.0,
        description="How long a client may take to send the header of a request, however busily "
        "it sends.",
    )
    body_idle: Annotated[float, Duration("1s", "1h")] = Field(
        default=30.0, description="The longest pause while a client sends a body."
    )
    body_min_rate: Annotated[int, Size("0B", "1GiB")] = Field(
        default=500,
        description="What a body has to bring per second, on an average and from `body_idle` "
        "after its beginning on; slower uploads are answered 408. `0` asks for nothing.",
    )
    body_total: Annotated[float | None, Duration("1s", "7d")] = Field(
        default=None, description="How long a client may take to send a whole body."
    )
    write_idle: Annotated[float, Duration("1s", "1h")] = Field(
        default=60.0, description="How long a client may take nothing of an answer sent to it."
    )
    keepalive: Annotated[float, Duration("1s", "1h")] = Field(
        default=75.0,
        description="How long a connection may lie idle between two requests. Longer than the "
        "load balancer's own, or requests are lost in between.",
    )
    max_connections: Annotated[int, Field(ge=10, le=1000000)] = Field(
        default=10000, description="Connections of clients to one worker."
    )
    shutdown_grace: Annotated[float, Duration("0s", "1h")] = Field(
        default=30.0,
        description="How long requests under way may go on when the gateway is told to stop.",
    )
    reload_grace: Annotated[float, Duration("0s", "24h")] = Field(
        default=600.0,
        description="How long WebSockets, event streams and requests go on in the old workers "
        "after a reload, under the old configuration; then they have `shutdown_grace`. With `0s` a "
        "reload ends every channel.",
    )


class BackChannelSection(Section):
    """Requests from the gateway to identity providers."""

    explained: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("verify", "tls_verify", "insecure", "proxy"), _NO_TLS_SWITCH
    )

    ca_file: Line | None = Field(
        default=None,
        description="PEM bundle that replaces the system's authorities. Relative to the "
        "configuration file.",
    )
    total_timeout: Annotated[float, Duration("100ms", "60s")] = Field(
        default=5.0, description="How long one request may take altogether."
    )
    refresh_timeout: Annotated[float, Duration("100ms", "120s")] = Field(
        default=30.0,
        description="How long the answer to a refresh is waited for instead, if that is longer: a "
        "refresh token that rotates cannot be spent twice. Callers are told 503 after 20 seconds.",
    )
    connect_timeout: Annotated[float, Duration("100ms", "30s")] = Field(
        default=2.0, description="How long opening a connection may take."
    )
    max_body_bytes: Annotated[int, Size("16KiB", "16MiB")] = Field(
        default=1048576, description="The largest answer that is read."
    )
    max_connections: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20,
        description="Connections of one worker to one server; a request waits half of "
        "`total_timeout` for one, 2.5 seconds at most.",
    )


class LogSection(Section):
    """What is logged, and how."""

    level: Annotated[str, Choice(("debug", "info", "warning", "error"))] = Field(
        default="info",
        description="The least important messages to show. Audit lines always appear.",
    )
    format: Annotated[str, Choice(("json", "console"))] = Field(
        default="json", description="One JSON document per line, or text for people."
    )
