"""A circuit breaker: a provider that does not answer is left in peace, and then asked by one.

    closed ──(failures of several sessions in a row, the last of them told to wait, or five)──▶ open
      ▲                                                                   │ its pause is over
      └──────────(the probe is answered)────────── half-open ◀────────────┘
                                                      └──(it is not)──▶ open, for longer

Any answer closes it, a refusal too: what it watches is whether the provider answers. Pure but for
the clock it is handed the time of; one per provider and process.
"""

from gateway.errors import Code, Effect, Unavailable, in_whole_seconds
from gateway.ports import LookupId

_FAILURES = 5  # in a row ...
_SESSIONS = 2  # ... of so many sessions: one that the provider stumbles over closes nobody out
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0  # seconds
_LONGEST_WISH = 60.0  # seconds a provider can make everybody wait by Retry-After
_PROBE_TAKES = 60.0  # seconds after which a probe nobody has told the outcome of is forgotten


class Breaker:
    """Whether a provider may be asked now. Times are epoch seconds, `spread` is between 0 and 1."""

    def __init__(self) -> None:
        self._failures = 0
        self._sessions: set[LookupId] = set()
        self._pause = 0.0
        self._open_since: float | None = None
        self._probe_since: float | None = None

    def is_open(self) -> bool:
        """Whether the provider has stopped answering, as far as is known."""
        return self._open_since is not None

    def admit(self, now: float) -> None:
        """Return when the provider may be asked; the outcome has to be told.

        Raises `Unavailable(PROVIDER_UNAVAILABLE)`, saying when to come again.
        """
        if self._open_since is None:
            return
        left = self._open_since + self._pause - now
        if 0 < left <= self._pause:  # more than the pause: the clock has been set back
            raise _unavailable("it has not answered lately", left)
        if self._probe_since is not None and 0 <= now - self._probe_since < _PROBE_TAKES:
            raise _unavailable("it is being asked whether it answers again", _FIRST_PAUSE)
        self._probe_since = now

    def answered(self) -> None:
        """The provider has said something, whatever it was."""
        self._failures = 0
        self._sessions.clear()
        self._pause = 0.0
        self._open_since = self._probe_since = None

    def withdrawn(self) -> None:
        """Nothing can be said: whoever was admitted did not ask to the end."""
        self._probe_since = None

    def failed(self, lookup: LookupId, now: float, *, wish: float, spread: float) -> None:
        """It has not; `wish` is how long it asks to be left alone (seconds, 0 for no wish)."""
        self._probe_since = None
        self._failures += 1
        if self._open_since is None:  # from then on it is known, however long it takes
            self._sessions.add(lookup)
        several = len(self._sessions) >= _SESSIONS
        enough = self._failures >= _FAILURES or wish > 0
        if not ((several and enough) or self._open_since is not None):
            return
        longer = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._pause = max(longer, min(wish, _LONGEST_WISH)) * (1 + spread / 5)
        self._open_since = now


def _unavailable(note: str, seconds: float) -> Unavailable:
    retry_after = in_whole_seconds(seconds)
    return Unavailable(
        Code.PROVIDER_UNAVAILABLE,
        note=f"provider: {note}",
        retry_after=retry_after,
        effect=Effect.NOTHING,
    )
