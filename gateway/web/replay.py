"""A request body that can be sent a second time, if it is small (H12)."""

from gateway.edge.messages import Body

MOST = 65536
"""Octets that are kept of a body while it passes through."""


class ReplayableBody:
    """Passes a body on, and keeps it as long as it is small."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._kept: list[bytes] = []
        self._octets = 0
        self._is_whole = False

    async def first(self) -> Body:
        """Yield the body as it comes."""
        async for piece in self._body:
            self._octets += len(piece)
            if self._octets <= MOST:
                self._kept.append(piece)
            else:
                self._kept.clear()
            yield piece
        self._is_whole = self._octets <= MOST

    def can_be_repeated(self) -> bool:
        """Whether all of it has been sent, and kept."""
        return self._is_whole

    async def again(self) -> Body:
        """Yield what was sent."""
        for piece in self._kept:
            yield piece
