"""How a server has been doing, as far as the requests sent to it tell.

A clock reading goes in, a verdict comes out. A server that fails is left alone for a while; then
one request tries it, and the others follow when that went well.
"""

from math import inf

IN_A_ROW = 3
"""So many failures to answer, without an answer between them, and a server is left alone."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


class Health:
    """The standing of one server; times by one clock, in seconds."""

    __slots__ = ("_on_trial", "_pause", "_row", "is_ill", "out_until")

    def __init__(self) -> None:
        self._row = 0
        self._pause = FIRST_PAUSE
        self._on_trial = False
        self.out_until = -inf  # when it may be tried again; it is in while this is -inf
        self.is_ill = False  # by the word of an active check, until the next one

    def admits(self, now: float) -> bool:
        """Whether the server may be given a request."""
        return now >= self.out_until and not self.is_ill

    def chosen(self, now: float) -> None:
        """It is given one; if that is its trial, no other follows for a while."""
        if self.out_until > -inf:
            self.out_until = now + self._pause
            self._on_trial = True

    def failed(self, now: float) -> None:
        """An exchange failed, and the server is to blame."""
        self._row += 1
        if self._row >= IN_A_ROW or self._on_trial:
            self.unreachable(now)

    def unreachable(self, now: float) -> None:
        """No connection came about; nobody needs a second one to believe that."""
        if now < self.out_until and not self._on_trial:
            return  # said by others that were under way
        self.out_until = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._row = 0
        self._on_trial = False

    def succeeded(self) -> None:
        """It has answered."""
        if not self._row and self.out_until == -inf:
            return  # as nearly always
        self._row = 0
        self._pause = FIRST_PAUSE
        self._on_trial = False
        self.out_until = -inf
