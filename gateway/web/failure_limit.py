"""Addresses whose requests keep failing get little more of what is dear (J17).

For endpoints that need no cookie. Only failures count: a provider that sends a thousand good
logout tokens is never limited. Nor is anybody shut out who shares an address with those who fail,
as behind a proxy: while it is over its limit, requests that look right are let pass, so many a
second for all such addresses together. That bounds what strangers can spend, and whatever they
send, a provider gets its word in.

The table is bounded, and what began to fail longest ago goes first: whoever has thousands of
addresses gets more tries, never more memory.
"""

import math
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from gateway.errors import Code, Refused
from gateway.ports import Clock

FAILURES = 20  # that many may fail ...
WINDOW = 10.0  # ... within so many seconds, from the first of them
ADMITTED = 100  # a second, of addresses over their limit: about 1 % of a core in RSA signatures
MOST_ADDRESSES = 10_000

_SECOND = 1.0
_ONE_NETWORK = 64  # bits; whoever has one IPv6 address has its whole network (RFC 6177)


class _Count:
    """How many there were since it began, for `lasts` seconds."""

    __slots__ = ("_began", "_lasts", "number")

    def __init__(self, began: float, lasts: float) -> None:
        self._began = began
        self._lasts = lasts
        self.number = 0

    def left(self, now: float) -> float:
        """Return the seconds until it is over; 0 where it is, or the clock has been set back."""
        left = self._began + self._lasts - now
        return left if 0 < left <= self._lasts else 0.0


class FailureLimit:
    """Failures of this process's clients, by address."""

    def __init__(self, clock: Clock, *, most: int = FAILURES) -> None:
        """`most` failures within `WINDOW` put an address at its limit."""
        self._clock = clock
        self._most = most
        self._failures: OrderedDict[str, _Count] = OrderedDict()  # in the order they began
        self._admitted = _Count(clock.now(), _SECOND)

    def __len__(self) -> int:
        return len(self._failures)

    def check(self, address: str) -> None:
        """Raise `Refused(LOGOUT_TOO_MANY)` while too many requests of this address have failed."""
        if left := self._left(address):
            raise _too_many(left)

    def admit(self, address: str) -> None:
        """Let a request pass that looks right and is about to cost something.

        Raises `Refused(LOGOUT_TOO_MANY)` when its address is over the limit, and so many of such
        addresses have been let pass in this second.
        """
        if not self._left(address):
            return
        now = self._clock.now()
        if not self._admitted.left(now):
            self._admitted = _Count(now, _SECOND)
        if self._admitted.number >= ADMITTED:
            raise _too_many(self._admitted.left(now))
        self._admitted.number += 1

    def failed(self, address: str) -> None:
        """Count a failure."""
        now = self._clock.now()
        while self._failures and not next(iter(self._failures.values())).left(now):
            self._failures.popitem(last=False)
        client = _client(address)
        count = self._failures.get(client)
        if count is None or not count.left(now):
            self._failures.pop(client, None)
            count = self._failures[client] = _Count(now, WINDOW)
        count.number += 1
        while len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def _left(self, address: str) -> float:
        """Return for how many seconds more an address is over its limit; 0 when it is not."""
        count = self._failures.get(_client(address))
        if count is None or count.number <= self._most:
            return 0.0
        return count.left(self._clock.now())


def _too_many(left: float) -> Refused:
    retry = str(math.ceil(left)).encode()
    return Refused(Code.LOGOUT_TOO_MANY, fields=((b"retry-after", retry),))


def _client(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:  # a unix socket, or a proxy that does not say
        return address
    if isinstance(parsed, IPv6Address):
        return f"{int(parsed) >> (128 - _ONE_NETWORK):x}::/{_ONE_NETWORK}"
    return str(parsed)
