"""The APIs behind the gateway, over HTTP and what HTTP can be exchanged for."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.edge.messages import Body, Fields, Stream, UpstreamRequest


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An upstream's final answer.

    The body is octets when all of it was there at once; of a `Stream` the caller must reach the
    end or `aclose()` it.
    """

    status: int
    fields: Fields
    body: bytes | Stream
    # What has been found to follow from status and fields alone; answers with the same head share
    # it.
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


class WireEnd(Protocol):
    """Who listens to a `Wire`. Calls come from the event loop, must be quick and must not raise."""

    def received(self, octets: bytes) -> None:
        """Octets have come in."""
        ...

    def lost(self) -> None:
        """Nothing more will come, and nothing more can be sent. Called once."""
        ...

    def may_write(self, *, now: bool) -> None:
        """The wire's buffer is full (False) or has drained (True): back-pressure."""
        ...


class Wire(Protocol):
    """A connection that has ceased to be HTTP (101): octets both ways (RFC 9110 section 7.8)."""

    def attach(self, end: WireEnd) -> None:
        """Name the listener; it is first told of octets that came right behind the handshake."""
        ...

    def write(self, octets: bytes) -> None:
        """Send, or buffer; does nothing once the wire is lost."""
        ...

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        ...

    def resume(self) -> None:
        """Undo `pause`."""
        ...

    def close(self) -> None:
        """Send what is buffered, then close; `lost` follows."""
        ...

    def abort(self) -> None:
        """Close at once; `lost` follows."""
        ...


@dataclass(frozen=True, slots=True)
class Upgraded:
    """An upstream's 101: its fields as they came, and the wire it leaves behind."""

    fields: Fields
    wire: Wire


class Upstream(Protocol):
    """HTTP to APIs: no redirects, no cookies, no decoding, fields and repeats kept in order."""

    async def upgrade(self, request: UpstreamRequest) -> Upgraded | UpstreamAnswer:
        """Ask for another protocol on a connection of its own; Connection and Upgrade are sent.

        `request.fields` hold an Upgrade line; Connection is the adapter's. Returns the final
        answer if it is anything but 101. Raises as `send`.
        """
        ...

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        """Send, streaming the body, and return once the final answer's fields are in.

        Raises `Unavailable` with UPSTREAM_CONNECT, UPSTREAM_TIMEOUT, UPSTREAM_PROTOCOL or
        UPSTREAM_OVERLOADED; the body raises the same when the upstream breaks off.
        """
        ...
