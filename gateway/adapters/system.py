"""The machine's own clock and randomness: the one home of both."""

import secrets  # noqa: TID251 - this is the Entropy port
import time


class SystemClock:
    """The `Clock` port: the wall clock, in seconds since the epoch."""

    def now(self) -> float:
        """Return the current time."""
        return time.time()  # noqa: TID251 - this is the Clock port


class SystemEntropy:
    """The `Entropy` port: the operating system's generator (ASVS 11.5.1)."""

    def octets(self, count: int) -> bytes:
        """Return `count` unpredictable bytes."""
        return secrets.token_bytes(count)
