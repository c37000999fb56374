"""A request's body, framed as its head has said (RFC 9112 section 6)."""

from gateway.edge.messages import Body
from gateway.edge.request_framing import chunk, last_chunk
from gateway.errors import Code, Refused


class RequestBody:
    """Takes a body from its source piece by piece, and never more of it than was announced.

    `complete` says that every octet has been handed out. The last piece of a body of known length
    is handed out only when the source has ended too: nobody gets a request whose length is wrong.
    """

    __slots__ = ("_left", "_source", "complete")

    def __init__(self, source: Body, length: int | None) -> None:
        """`length` in octets, as the head says; None sends chunks."""
        self._source = source
        self._left = length
        self.complete = False

    async def next(self) -> bytes:
        """Return the next octets to send; they may be none at the end.

        Raises Refused(BODY_MALFORMED) when the source has more or fewer octets than announced, and
        whatever the source raises.
        """
        piece = await self._pull()
        if self._left is None:
            self.complete = not piece
            return chunk(piece) or last_chunk()
        self._left -= len(piece)
        if self._left > 0 and piece:
            return piece
        if self._left or (piece and await self._pull()):
            raise Refused(Code.BODY_MALFORMED, note="not of the length that was announced")
        self.complete = True
        return piece

    async def _pull(self) -> bytes:
        """Return the next octets of the source; none when it has ended."""
        async for piece in self._source:
            if piece:
                return piece
        return b""
