"""The machine we run on: its clock, and its source of randomness."""

from typing import Protocol


class Clock(Protocol):
    """Wall-clock time; rules take `now` as an argument, only flows ask the clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...


class Entropy(Protocol):
    """A cryptographic source of randomness (ASVS 11.5.1)."""

    def octets(self, count: int) -> bytes:
        """Return `count` unpredictable bytes."""
        ...
