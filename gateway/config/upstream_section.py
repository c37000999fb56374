"""The keys of a route that say how its upstream is reached."""

from typing import Annotated

from pydantic import Field

from gateway.config.section import Line, Section
from gateway.config.values import Duration


class UpstreamKeys(Section):
    """What a route with an `upstream` may say about it."""

    upstream: Line | list[Line] | None = Field(
        default=None,
        description="The API behind: `http[s]://HOST[:PORT][/PATH]`. Its path takes the place of "
        "the route's path. A list names several servers that are the same, all with one path; the "
        "one with the fewest requests under way gets the next. Either this or `static`.",
    )
    websocket: bool = Field(
        default=False, description="Whether WebSockets pass. Their Origin must be `public_origin`."
    )
    connect_timeout: Annotated[float, Duration("10ms", "60s")] = Field(
        default=2.0, description="How long opening a connection to the upstream may take."
    )
    header_timeout: Annotated[float, Duration("10ms", "24h")] = Field(
        default=60.0,
        description="How long the upstream may take from the end of the request to the header of "
        "its answer.",
    )
    idle_timeout: Annotated[float, Duration("10ms", "24h")] = Field(
        default=60.0,
        description="The longest pause within a body, either way. Event streams "
        "(`text/event-stream`) and WebSockets may be silent for as long as they like.",
    )
    total_timeout: Annotated[float | None, Duration("10ms", "24h")] = Field(
        default=None,
        description="How long an exchange may take altogether, except event streams and "
        "WebSockets.",
    )
    max_connections: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=256,
        description="Connections of one worker to one server; further requests wait their turn.",
    )
    max_waiting: Annotated[int, Field(ge=0, le=1000000)] = Field(
        default=1024,
        description="How many requests may wait for a connection to one server, in one worker; "
        "the next one is answered 503 at once.",
    )
    wait_timeout: Annotated[float, Duration("10ms", "60s")] = Field(
        default=2.0,
        description="How long a request may wait for a connection; then it is answered 503.",
    )
    keepalive: Annotated[float, Duration("100ms", "1h")] = Field(
        default=15.0,
        description="How long a connection to the upstream may lie idle. Shorter than the "
        "upstream's own limit, or requests meet connections that are being closed.",
    )
    max_connection_age: Annotated[float, Duration("1s", "1d")] = Field(
        default=600.0,
        description="How old a connection may be when a request takes it; older ones are closed, "
        "so that a name that leads to another server by now is looked up again.",
    )
    ca_file: Line | None = Field(
        default=None,
        description="PEM bundle that replaces the system's authorities for an https upstream. "
        "Relative to the configuration file.",
    )
    client_certificate: Line | None = Field(
        default=None,
        description="PEM file with the certificate (and chain) the gateway shows to the upstream.",
    )
    client_key: Line | None = Field(
        default=None, description="PEM file with the private key of `client_certificate`."
    )
    server_name: Line | None = Field(
        default=None,
        description="The name the upstream's certificate must be for, if not the host in its "
        "address.",
    )
    health_path: Line | None = Field(
        default=None,
        description="Asked with GET to tell whether a server is well; without it only requests "
        "tell.",
    )
    health_interval: Annotated[float, Duration("100ms", "1h")] = Field(
        default=5.0, description="How often `health_path` is asked for."
    )
