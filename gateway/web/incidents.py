"""Outages as the operator learns of them: every one is counted, a few are written down.

A store that is down fails every request; a line for each would bury the one that matters. So the
first of each kind is written at once, and then one a second with the number left out.
"""

import logging
from collections.abc import Callable

from gateway.errors import Code, Unavailable
from gateway.ports import Caller, Clock

_log = logging.getLogger("gateway.outage")

_A_LINE_EVERY = 1.0  # seconds, for each code


class Incidents:
    """Notes failures of what the gateway depends on."""

    def __init__(self, clock: Clock, count: Callable[[str], None]) -> None:
        self._clock = clock
        self._count = count
        self._written_at: dict[Code, float] = {}
        self._left_out: dict[Code, int] = {}

    def note(self, failure: Unavailable, caller: Caller) -> None:
        """Count the failure, and write it down if nobody has just read the same."""
        code = failure.code
        self._count(code.value)
        now = self._clock.now()
        if 0 <= now - self._written_at.get(code, float("-inf")) < _A_LINE_EVERY:
            self._left_out[code] = self._left_out.get(code, 0) + 1
            return
        self._written_at[code] = now
        left_out = self._left_out.pop(code, 0)
        more = f"; {left_out} more since the last line" if left_out else ""
        _log.warning("%s: %s (request %s%s)", code.value, failure.note, caller.request_id, more)
