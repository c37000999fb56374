"""From an upstream's 101 to the browser's (P3, P5).

What leads here is `Pipeline.connect`: handshake, Origin, session, token, upstream, in this order.
"""

from dataclasses import dataclass, field

from gateway.edge.messages import Fields
from gateway.ports import Entropy, Wire
from gateway.session.live import LiveChannels
from gateway.session.model import Session
from gateway.web.open_channels import OpenChannels
from gateway.web.websocket_channel import WebSocketChannel

_MASK_OCTETS = 4
_PING_OCTETS = 8


@dataclass(frozen=True, slots=True)
class Switching:
    """The answer that ends HTTP on a connection: the 101's fields, and what begins then."""

    fields: Fields = field(repr=False)  # Set-Cookie among them
    channel: WebSocketChannel
    session: Session | None
    with_token: bool

    def begin(self, browser: Wire) -> None:
        """Join the browser's wire, from which HTTP is gone, with the upstream's."""
        self.channel.begin(browser, self.session, with_token=self.with_token)

    def abandon(self) -> None:
        """Give the upstream's wire up: there is no browser to join it with."""
        self.channel.abandon()


class WebSockets:
    """Makes channels; one object for the process."""

    def __init__(
        self, live: LiveChannels, channels: OpenChannels, entropy: Entropy, *, max_message: int
    ) -> None:
        """`max_message` is in octets, for one message either way."""
        self._live = live
        self._channels = channels
        self._entropy = entropy
        self._max_message = max_message
        self._ping = entropy.octets(_PING_OCTETS)  # no upstream can know, and imitate, our Pings

    def switching(
        self, fields: Fields, upstream: Wire, session: Session | None, *, with_token: bool
    ) -> Switching:
        """Return the answer to a handshake that the upstream has accepted."""
        channel = WebSocketChannel(
            upstream,
            ping=self._ping,
            mask=self._mask,
            max_message=self._max_message,
            registry=self._live,
            channels=self._channels,
        )
        return Switching(fields, channel, session, with_token)

    def _mask(self) -> bytes:
        return self._entropy.octets(_MASK_OCTETS)
