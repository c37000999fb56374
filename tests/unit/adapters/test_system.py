"""The machine's clock and randomness."""

import time

from gateway.adapters.system import SystemClock, SystemEntropy


def test_the_clock_reads_epoch_seconds_between_two_looks_at_the_wall() -> None:
    before = time.time_ns() / 1e9
    now = SystemClock().now()
    after = time.time_ns() / 1e9
    assert before - 0.001 <= now <= after + 0.001


def test_entropy_gives_as_many_octets_as_asked_and_never_the_same() -> None:
    entropy = SystemEntropy()
    drawn = {entropy.octets(32) for _ in range(100)}
    assert len(drawn) == 100
    assert {len(octets) for octets in drawn} == {32}
    assert entropy.octets(0) == b""
