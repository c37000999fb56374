"""The link between a request and the socket it came on."""

from collections.abc import Callable

from gateway.edge.messages import Fields
from gateway.errors import Code, Refused
from gateway.ports import Wire

Switch = Callable[[Fields], Wire]
"""Writes a 101 with these fields and takes the socket out of HTTP."""


class Connection:
    """Tells requests under way that their browser has gone (M14)."""

    __slots__ = ("_cut", "_on_loss", "_switch", "gone")

    def __init__(
        self, cut: Callable[[], object] | None = None, switch: Switch | None = None
    ) -> None:
        """`cut` closes the socket at once, so that what was sent of an answer looks broken."""
        self.gone = False
        self._cut = cut
        self._switch = switch
        self._on_loss: set[Callable[[], object]] = set()

    def watch(self, on_loss: Callable[[], object]) -> None:
        """Call `on_loss` when the connection is lost."""
        self._on_loss.add(on_loss)

    def forget(self, on_loss: Callable[[], object]) -> None:
        """Undo `watch`."""
        self._on_loss.discard(on_loss)

    def cut(self) -> bool:
        """Break the connection off; False when the server has no way to."""
        if self._cut is not None:
            self._cut()
        return self._cut is not None or self.gone

    def switch(self, fields: Fields) -> Wire:
        """Answer the request under way with 101 and these fields; its socket is HTTP no more.

        The Connection line is the server's; `fields` hold Upgrade and what belongs to the new
        protocol. From here on only the wire's end is told of a loss, the watchers are not; the
        request's task may return and leave the wire to others. Of the deadlines for HTTP none
        holds any longer, but the wire counts as one of the server's connections.

        Raises Refused(UPGRADE_REFUSED), and changes nothing, unless the request asked for an
        upgrade, announced no body, and has not been answered.
        """
        if self._switch is None:
            raise Refused(Code.UPGRADE_REFUSED)
        return self._switch(fields)

    def lost(self) -> None:
        """The server says: the connection is gone."""
        self.gone = True
        self._cut = self._switch = None  # they lead to the server's side, and that to us (F17)
        watchers, self._on_loss = self._on_loss, set()
        for on_loss in watchers:
            on_loss()
