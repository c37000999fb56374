"""Time one can turn, and randomness one can repeat."""

import hashlib


class TurnableClock:
    """The `Clock` port, standing still until it is advanced."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class SeededEntropy:
    """The `Entropy` port: the same bytes in the same order for the same seed, never a repeat."""

    def __init__(self, seed: str = "entropy") -> None:
        self._seed = seed.encode()
        self._drawn = 0

    def octets(self, count: int) -> bytes:
        self._drawn += 1
        stream = hashlib.shake_256(self._seed + self._drawn.to_bytes(8, "big"))
        return stream.digest(count)
