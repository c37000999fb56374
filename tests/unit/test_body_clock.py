"""Until when a body has to have come: pauses, average rate, all of it (F25)."""

import math

import pytest

from gateway.server.body_clock import BodyClock
from gateway.server.clients import TICK, Clients
from gateway.settings import Limits


class Time:
    """A clock that is turned by hand, and a body that begins at 1000 by it."""

    def __init__(self, **limits: float | None) -> None:
        given: dict[str, object] = {"body_idle": 30.0, "body_min_rate": 500, **limits}
        self.clients = Clients(Limits(**given), lambda *_: None, most=1, spare=0)  # type: ignore[arg-type]
        self.clients.now = 1000.0
        self.body = BodyClock(self.clients)

    def at(self, seconds: float) -> "Time":
        self.clients.now = 1000.0 + seconds
        return self

    def left(self) -> float:
        """Seconds until the deadline, the tick by which every one is late aside."""
        return self.body.go_on() - self.clients.now - TICK


def test_the_first_octets_may_take_as_long_as_any_pause() -> None:
    assert Time().left() == pytest.approx(30)


@pytest.mark.parametrize(
    ("after", "octets", "left"),
    [
        (0, 0, 30),
        (29, 1, 1 + 1 / 500),  # one octet in a while buys nothing
        (20, 500, 11),
        (20, 5_000, 20),
        (20, 10_000, 30),  # quick enough: the pause alone counts
        (3600, 500 * 3600, 30),
        (3600, 499 * 3600, 22.8),
        (3600, 490 * 3600, -42),
        (20_000, 2_000_000_000, 30),  # 2 GB at 100 kB/s
    ],
)
def test_what_has_come_buys_time_at_the_lowest_rate(after: float, octets: int, left: float) -> None:
    time = Time()
    time.body.took(octets)
    assert time.at(after).left() == pytest.approx(left)


def test_without_a_rate_only_pauses_count() -> None:
    time = Time(body_min_rate=0)
    time.body.took(1)
    assert time.at(100_000).left() == pytest.approx(30)


def test_all_of_it_has_a_limit_of_its_own() -> None:
    time = Time(body_total=50.0)
    time.body.took(10_000_000)
    assert time.at(45).left() == pytest.approx(5)
    assert time.at(60).left() < 0


def test_time_in_which_we_do_not_read_is_not_the_clients() -> None:
    time = Time()
    time.at(10).body.stop()
    time.at(15).body.stop()  # said again, it is the same stop
    assert time.at(110).left() == pytest.approx(20)
    assert time.at(120).left() == pytest.approx(10)
    time.body.stop()
    assert time.at(1000).left() == pytest.approx(10)


def test_it_is_on_unless_it_is_switched_off() -> None:
    assert Limits().body_min_rate == 500
    assert not math.isfinite(Limits().body_total or math.inf)
