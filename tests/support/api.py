"""A scripted API behind the gateway: the `Upstream` port, remembering all it was sent."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from gateway.edge.messages import Body, Fields, Stream, UpstreamRequest
from gateway.errors import Unavailable
from gateway.ports import Upgraded, UpstreamAnswer

INVALID_TOKEN: Fields = ((b"www-authenticate", b'Bearer realm="api", error="invalid_token"'),)


class FakeBody:
    """The answer's pieces; counts its closing where the connection would be given back."""

    def __init__(self, api: "FakeApi") -> None:
        self._api = api

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._api.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self._api.closed += 1


@dataclass
class FakeApi:
    """Answers everything the same way; `received` and `bodies` hold what came in.

    With `accept` it answers handshakes with a 101, otherwise as everything else. A `body` takes the
    place of `pieces`.
    """

    status: int = 200
    fields: Fields = ((b"content-type", b"application/json"),)
    pieces: tuple[bytes | Exception, ...] = (b'{"hello":"world"}',)
    whole: bool = False  # all of the body is there at once
    failure: Unavailable | MemoryError | None = None
    received: list[UpstreamRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    closed: int = 0
    dials: int = 0  # handshakes for another protocol
    accept: Callable[[UpstreamRequest], Upgraded] | None = None
    body: Stream | None = None
    rejects: Callable[[UpstreamRequest], bool] = lambda _: False  # by a 401 invalid_token

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        octets = b""
        if body is not None:
            async for piece in body:
                octets += piece
        self.received.append(request)
        self.bodies.append(octets)
        if self.failure is not None:
            raise self.failure
        if self.rejects(request):
            return UpstreamAnswer(401, INVALID_TOKEN, self.body or FakeBody(self))
        if self.whole:
            pieces = [piece for piece in self.pieces if isinstance(piece, bytes)]
            return UpstreamAnswer(self.status, self.fields, b"".join(pieces))
        return UpstreamAnswer(self.status, self.fields, self.body or FakeBody(self))

    async def upgrade(self, request: UpstreamRequest) -> Upgraded | UpstreamAnswer:
        self.dials += 1
        if self.accept is None or self.failure is not None or self.rejects(request):
            return await self.send(request, None)
        self.received.append(request)
        return self.accept(request)

    def sent(self, name: bytes) -> list[bytes]:
        """The values of a field in the latest request."""
        return [value for key, value in self.received[-1].fields if key.lower() == name]
