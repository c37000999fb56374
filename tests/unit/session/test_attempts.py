"""What travels through the browser while somebody logs in, and for how long it is believed."""

import pytest

from gateway.errors import Code, Refused
from gateway.oidc.attempt import LoginAttempt
from gateway.secret import LoginBinding
from gateway.session.attempts import Attempts
from gateway.session.sealing import KeyRing
from tests.support.clock import SeededEntropy, TurnableClock
from tests.support.world import settings_of

BINDING = LoginBinding("A" * 43)


def attempts_at(clock: TurnableClock) -> tuple[Attempts, LoginAttempt]:
    attempt = LoginAttempt(
        attempt_id="attempt-1", provider="main", return_to="/wanted", issued_at=clock.now()
    )
    ring = KeyRing(settings_of().keys, SeededEntropy())
    return Attempts(ring, clock, attempt), attempt


@pytest.mark.parametrize("seconds", [-60, 0, 1, 599, 600])
def test_a_state_opens_while_its_attempt_lasts_e18(seconds: float) -> None:
    clock = TurnableClock()
    attempts, attempt = attempts_at(clock)
    state, bound = attempts.seal(attempt, BINDING)
    clock.advance(seconds)
    assert attempts.open(state, BINDING, 600) == bound


@pytest.mark.parametrize("seconds", [-61, 601, 86400])
def test_a_state_older_or_newer_than_it_can_be_is_expired_e18(seconds: float) -> None:
    clock = TurnableClock()
    attempts, attempt = attempts_at(clock)
    state, _ = attempts.seal(attempt, BINDING)
    clock.advance(seconds)
    with pytest.raises(Refused) as refused:
        attempts.open(state, BINDING, 600)
    assert refused.value.code is Code.STATE_EXPIRED


@pytest.mark.parametrize("seconds", [-60, 0, 1, 600])
def test_a_way_on_is_good_for_as_long_as_one_may_look_at_the_hop_page(seconds: float) -> None:
    clock = TurnableClock()
    attempts, attempt = attempts_at(clock)
    way = attempts.refused(Code.STATE_REPLAYED, attempt, BINDING).resume
    clock.advance(seconds)
    resumption = attempts.resume(way)
    assert (resumption.attempt, resumption.code) == (attempt, Code.STATE_REPLAYED)


@pytest.mark.parametrize("seconds", [-61, 601, 86400])
def test_a_way_on_from_yesterday_or_tomorrow_leads_nowhere(seconds: float) -> None:
    clock = TurnableClock()
    attempts, attempt = attempts_at(clock)
    way = attempts.refused(Code.STATE_REPLAYED, attempt, BINDING).resume
    clock.advance(seconds)
    with pytest.raises(Refused) as refused:
        attempts.resume(way)
    assert refused.value.code is Code.STATE_EXPIRED
