"""Addresses whose requests keep failing are turned away before they cost anything (J17).

For endpoints that need no cookie and check signatures. Only failures count: a provider that sends
a thousand good logout tokens is never limited. The table is bounded, and what failed longest ago
goes first: whoever has thousands of addresses gets more tries, never more memory.
"""

import math
from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address

from gateway.errors import Code, Refused
from gateway.ports import Clock

FAILURES = 20  # that many may fail ...
WINDOW = 10.0  # ... within so many seconds
MOST_ADDRESSES = 10_000

_ONE_NETWORK = 64  # bits; whoever has one IPv6 address has its whole network (RFC 6177)


class FailureLimit:
    """Failures of this process's clients, by address."""

    def __init__(self, clock: Clock, *, most: int = FAILURES) -> None:
        """`most` failures are let pass within `WINDOW`."""
        self._clock = clock
        self._most = most
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def check(self, address: str) -> None:
        """Raise `Refused(LOGOUT_TOO_MANY)` while too many requests of this address have failed."""
        failures = self._failures.get(_client(address))
        if failures is None or len(failures) <= self._most:
            return
        left = failures[0] + WINDOW - self._clock.now()
        if 0 < left <= WINDOW:  # a clock that was set back ends it, too
            retry = str(math.ceil(left)).encode()
            raise Refused(Code.LOGOUT_TOO_MANY, fields=((b"retry-after", retry),))

    def failed(self, address: str) -> None:
        """Count a failure."""
        client = _client(address)
        failures = self._failures.pop(client, None) or deque(maxlen=self._most + 1)
        failures.append(self._clock.now())
        self._failures[client] = failures
        while len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)


def _client(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:  # a unix socket, or a proxy that does not say
        return address
    if isinstance(parsed, IPv6Address):
        return f"{int(parsed) >> (128 - _ONE_NETWORK):x}::/{_ONE_NETWORK}"
    return str(parsed)
