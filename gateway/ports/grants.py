"""Who may spend a session's refresh token: one at a time, over all processes of all hosts (H8)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from gateway.ports.store import LookupId


class Doubt(IntEnum):
    """Whether the refresh token we hold may have been spent by a grant whose outcome we missed."""

    NONE = 0
    LOST = 1
    """Its holder died, or no answer came: a provider may allow for that for some seconds."""
    UNCLEAR = 2
    """An answer came that does not say, or asking once more was in vain."""


@dataclass(frozen=True, slots=True)
class Mine:
    """The lock is ours until `lease` is over, unless it is renewed.

    `taken_over` says that its owner has not given it back: that one has died, or could not.
    """

    doubt: Doubt
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else has it, for so many seconds more if they do not renew it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NotYet:
    """Nobody has it, and nobody is to have it for so many seconds: a grant has just failed."""

    seconds: float


Turn = Mine | Held | NotYet


class GrantLock(Protocol):
    """One lock per session, with an owner, a lease, and a memory of grants that went astray.

    The lock keeps two grants apart in time; it cannot keep a holder that was suspended from going
    on. What such a one may not write is decided by the session's generation and tokens, when it
    writes (fencing). Times are seconds, judged by the store's clock. Every method may raise
    `Unavailable(STORE_UNAVAILABLE)`; it may then have taken effect, or not.

    Whoever waits is told by `Changes.grant_changed` of every change here.
    """

    async def begin(self, lookup: LookupId, owner: str, *, lease: float, keep: float) -> Turn:
        """Take the lock if it is free. `keep` is how long a doubt is remembered at most.

        A lock whose lease is over although its owner never finished is taken over, in doubt. Who
        has it already gets it again, and is then not said to have taken it over: by beginning
        again, they say that they have waited for a sign of life in vain.
        """
        ...

    async def renew(self, lookup: LookupId, owner: str, *, lease: float, keep: float) -> bool:
        """Have the lease begin anew; False when the lock is somebody else's for good.

        It is taken back when it was lost and is free, and when somebody has taken it over and has
        neither begun again nor renewed it yet.
        """
        ...

    async def finish(self, lookup: LookupId, owner: str, *, doubt: Doubt, pause: float) -> None:
        """Give the lock back; nobody gets it for `pause`. Does nothing to somebody else's."""
        ...

    async def abandon(self, lookup: LookupId, owner: str) -> None:
        """End the lease of a lock that may be ours or not; what is known of the grant stays.

        Whoever begins next takes over, from whoever had it before us in truth.
        """
        ...

    async def pause(self, lookup: LookupId) -> float:
        """Return for how long nobody is to have the lock because a grant has failed; 0 for none."""
        ...
