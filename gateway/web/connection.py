"""The link between a request and the socket it came on."""

from collections.abc import Callable


class Connection:
    """Tells requests under way that their browser has gone (M14)."""

    __slots__ = ("_on_loss", "gone")

    def __init__(self) -> None:
        self.gone = False
        self._on_loss: set[Callable[[], object]] = set()

    def watch(self, on_loss: Callable[[], object]) -> None:
        """Call `on_loss` when the connection is lost."""
        self._on_loss.add(on_loss)

    def forget(self, on_loss: Callable[[], object]) -> None:
        """Undo `watch`."""
        self._on_loss.discard(on_loss)

    def lost(self) -> None:
        """The server says: the connection is gone."""
        self.gone = True
        for on_loss in tuple(self._on_loss):
            on_loss()
