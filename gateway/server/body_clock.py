"""When a request's body has to have come (F25).

A pause limit alone lets one octet every half minute hold a connection of an upstream for ever, and
a few hundred such clients all of them; a limit on the whole alone would break honest uploads of
gigabytes. So a body also has to keep a low average rate, whatever its length (Apache httpd's
mod_reqtimeout calls this MinRate).
"""

import math

from gateway.server.clients import Clients


class BodyClock:
    """Three deadlines of one body: its next octets, its average rate, all of it.

    While it is we who do not read, because the upstream lags behind or has not been asked yet, the
    rate's clock stands still.
    """

    __slots__ = ("_begun", "_clients", "_octets", "_stopped_at", "_until")

    def __init__(self, clients: Clients) -> None:
        """Begin now, by the clock of these clients and by their limits."""
        total = clients.limits.body_total
        self._clients = clients
        self._until = math.inf if total is None else clients.after(total)
        self._begun = clients.now  # moved on by every stop
        self._stopped_at: float | None = None
        self._octets = 0

    def took(self, octets: int) -> None:
        """So many more have come."""
        self._octets += octets

    def stop(self) -> None:
        """We do not read, or the client waits for us."""
        if self._stopped_at is None:
            self._stopped_at = self._clients.now

    def go_on(self) -> float:
        """It is the client's turn; return its deadline.

        The rate is first looked at after as long as a pause may be: until then it says nothing.
        """
        clients, limits = self._clients, self._clients.limits
        if self._stopped_at is not None:
            self._begun += clients.now - self._stopped_at
            self._stopped_at = None
        until = min(clients.after(limits.body_idle), self._until)
        if rate := limits.body_min_rate:
            so_far = clients.now - self._begun
            left = limits.body_idle + self._octets / rate - so_far
            until = min(until, clients.after(left))
        return until
