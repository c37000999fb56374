"""A scripted API behind the gateway: the `Upstream` port, remembering all it was sent."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from gateway.edge.messages import Body, Fields, UpstreamRequest
from gateway.errors import Unavailable
from gateway.ports import UpstreamAnswer


@dataclass
class FakeApi:
    """Answers everything the same way; `received` and `bodies` hold what came in."""

    status: int = 200
    fields: Fields = ((b"content-type", b"application/json"),)
    pieces: tuple[bytes, ...] = (b'{"hello":"world"}',)
    failure: Unavailable | None = None
    received: list[UpstreamRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    closed: int = 0

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        octets = b""
        if body is not None:
            async for piece in body:
                octets += piece
        self.received.append(request)
        self.bodies.append(octets)
        if self.failure is not None:
            raise self.failure
        return UpstreamAnswer(self.status, self.fields, self._stream())

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self.pieces:
                yield piece
        finally:
            self.closed += 1

    def sent(self, name: bytes) -> list[bytes]:
        """The values of a field in the latest request."""
        return [value for key, value in self.received[-1].fields if key.lower() == name]
