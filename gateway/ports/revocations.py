"""Refresh tokens on their way back to the provider, shared by every worker of every host."""

from typing import Protocol


class RevocationQueue(Protocol):
    """A bounded, durable set of entries, each of which is due at some moment.

    At least once: an entry that was taken is hidden from others for its lease, and comes back
    unless it is removed. Times are seconds from now by the queue's own clock. Any method raises
    `Unavailable(STORE_UNAVAILABLE)`; after that it may or may not have happened.
    """

    async def put(self, entry: bytes, *, due_in: float) -> bool:
        """Keep the entry; False when the queue is full. One that is there already becomes due."""
        ...

    async def take(self, most: int, *, lease: float) -> list[bytes]:
        """Return entries that are due, at most so many, the longest due first.

        Nobody is given them again for `lease` seconds.
        """
        ...

    async def postpone(self, entry: bytes, *, due_in: float) -> bool:
        """Make an entry due then; False when it is not there any more: it is not put back."""
        ...

    async def remove(self, entry: bytes) -> bool:
        """Forget the entry; False when it was not there."""
        ...

    async def length(self) -> int:
        """Return how many entries there are, due or not."""
        ...
