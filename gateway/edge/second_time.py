"""Whether octets have come before, lately: what comes once only is not worth remembering.

Remembering costs: what was remembered longest has to be taken apart, and the cycle collector looks
through all of it. Heads that are never the same twice (a trace id does that) would pay for nothing.
"""

_MOST = 2048  # how many different ones may lie between two that are the same: at least so many


class SecondTime:
    """Remembers hashes, a bounded number; a collision is taken for a second time, and harms nobody.

    Python's hash of octets is keyed: strangers cannot make collisions.
    """

    __slots__ = ("_before", "_lately")

    def __init__(self) -> None:
        self._lately: set[int] = set()
        self._before: set[int] = set()

    def is_for(self, octets: bytes) -> bool:
        """Whether these octets have been asked about before; they have from now on."""
        number = hash(octets)
        if number in self._lately or number in self._before:
            return True
        if len(self._lately) >= _MOST:
            self._before, self._lately = self._lately, set()
        self._lately.add(number)
        return False
