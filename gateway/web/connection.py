"""The link between a request and the socket it came on."""

from collections.abc import Callable


class Connection:
    """Tells requests under way that their browser has gone (M14)."""

    __slots__ = ("_cut", "_on_loss", "gone")

    def __init__(self, cut: Callable[[], object] | None = None) -> None:
        """`cut` closes the socket at once, so that what was sent of an answer looks broken."""
        self.gone = False
        self._cut = cut
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
        return self._cut is not None

    def lost(self) -> None:
        """The server says: the connection is gone."""
        self.gone = True
        for on_loss in tuple(self._on_loss):
            on_loss()
