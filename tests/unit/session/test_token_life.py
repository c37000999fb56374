"""When an access token is good, and when it is due (H6, H11)."""

import pytest

from gateway.ports import LookupId
from gateway.secret import AccessToken
from gateway.session.model import Tokens
from gateway.session.token_life import is_due, is_good

EARLY, LATE = LookupId("ffff" + "0" * 60), LookupId("0000" + "0" * 60)


def token(lifetime: float) -> Tokens:
    return Tokens(AccessToken("t"), expires_at=lifetime, received_at=0.0, scopes=frozenset())


def due_at(lifetime: float, lookup: LookupId, margin: float = 60.0) -> float:
    """Return the second of its life in which the token becomes due."""
    tokens = token(lifetime)
    low, high = 0.0, lifetime
    for _ in range(60):
        middle = (low + high) / 2
        if is_due(tokens, lookup, middle, margin):
            high = middle
        else:
            low = middle
    return high


@pytest.mark.parametrize(
    ("lifetime", "latest"),
    [(300.0, 240.0), (600.0, 540.0), (3600.0, 3240.0), (86400.0, 77760.0), (60.0, 30.0)],
)
def test_it_is_due_the_margin_ahead_or_a_tenth_of_a_long_life_h11(
    lifetime: float, latest: float
) -> None:
    assert due_at(lifetime, LATE) == pytest.approx(latest)


def test_sessions_of_one_moment_are_spread_and_none_is_late() -> None:
    assert due_at(300.0, EARLY) == pytest.approx(300 - 72)
    assert due_at(3600.0, EARLY) == pytest.approx(3600 - 432)
    moments = {round(due_at(3600.0, LookupId(f"{n:04x}")), 1) for n in range(0, 65536, 4096)}
    assert len(moments) == 16
    assert max(moments) <= 3240


@pytest.mark.parametrize("lifetime", [2.0, 10.0, 60.0, 119.0])
def test_a_short_life_is_not_due_on_arrival(lifetime: float) -> None:
    for lookup in (EARLY, LATE):
        assert due_at(lifetime, lookup) >= lifetime / 2 - 0.001


def test_a_token_with_less_than_five_seconds_left_is_not_sent() -> None:
    assert is_good(token(300.0), 294.9)
    assert not is_good(token(300.0), 295.0)


@pytest.mark.parametrize("lifetime", [1.0, 3.0, 5.0, 8.0])
def test_of_a_token_that_is_born_with_seconds_to_live_half_are_used_h6(lifetime: float) -> None:
    assert is_good(token(lifetime), lifetime / 2 - 0.01)
    assert not is_good(token(lifetime), lifetime / 2)


@pytest.mark.parametrize("lifetime", [1.0, 5.0, 8.0, 10.0, 11.0, 20.0, 40.0, 300.0, 86400.0])
@pytest.mark.parametrize("margin", [1.0, 60.0, 600.0])
def test_what_is_not_due_may_be_sent(lifetime: float, margin: float) -> None:
    for lookup in (EARLY, LATE):
        moment = due_at(lifetime, lookup, margin)
        assert is_good(token(lifetime), moment - 0.001)
        assert moment >= min(lifetime / 2, lifetime - 1.2 * max(margin, 5, lifetime / 10)) - 0.001


def test_a_lookup_id_that_is_no_hex_is_spread_to_nowhere() -> None:
    assert due_at(300.0, LookupId("lookup-a")) == pytest.approx(240.0)
