"""How a server is told to leave, and what is open there for longer than a request."""

import math
import time
from typing import Protocol


class Lasting(Protocol):
    """WebSockets and event streams, as the server sees them."""

    def leaving_takes(self) -> float:
        """Return the seconds it takes to tell all of them without haste that they have to go."""
        ...

    def go_away(self, within: float) -> None:
        """Tell all of them, those still to come included, within so many seconds."""
        ...


class NothingLasts:
    """Where every answer ends by itself."""

    def leaving_takes(self) -> float:
        """No time at all."""
        return 0.0

    def go_away(self, within: float) -> None:
        """Nobody is there to be told."""


class Departure:
    """When the servers of a process have to be gone.

    From the moment this is known nobody is accepted any more. Whoever is connected stays, until
    the leisure is over; from then on the grace of a shutdown runs. Servers look at this ten times a
    second.
    """

    def __init__(self) -> None:
        self.until = math.inf
        """The end of the leisure, by the monotonic clock."""
        self.leisure = 0.0
        """Its length in seconds."""
        self.at_once = False
        """Whether there is no grace either."""

    @property
    def has_begun(self) -> bool:
        """Whether anybody has said that it is time to go."""
        return self.until < math.inf

    @property
    def is_due(self) -> bool:
        """Whether there is no leisure any more."""
        return self.until <= time.monotonic()

    def leave(self, leisure: float = 0.0) -> None:
        """Be gone in so many seconds and a grace; what was said before holds if it is sooner."""
        until = time.monotonic() + leisure
        if until < self.until:
            self.until, self.leisure = until, leisure

    def insist(self) -> None:
        """Leave, and if that was said before, at once."""
        self.at_once = self.is_due
        self.leave()
