"""When a provider is left in peace, and when it is asked again (H10)."""

import pytest

from gateway.errors import Code, Unavailable
from gateway.ports import LookupId
from gateway.session.breaker import Breaker

NOW = 1000.0


def fail(breaker: Breaker, *sessions: str, now: float = NOW, wish: float = 0.0) -> None:
    for session in sessions:
        breaker.failed(LookupId(session), now, wish=wish, spread=0.0)


def refusal(breaker: Breaker, now: float) -> Unavailable:
    with pytest.raises(Unavailable) as refused:
        breaker.admit(now)
    assert refused.value.code is Code.PROVIDER_UNAVAILABLE
    return refused.value


def opened() -> Breaker:
    breaker = Breaker()
    fail(breaker, *"abcde")
    assert breaker.is_open()
    return breaker


def test_a_few_failures_open_nothing() -> None:
    breaker = Breaker()
    fail(breaker, *"abcd")
    breaker.admit(NOW)
    assert not breaker.is_open()


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker = Breaker()
    fail(breaker, *"abcd")
    breaker.answered()
    fail(breaker, *"abcd")
    assert not breaker.is_open()


def test_one_session_that_the_provider_stumbles_over_closes_nobody_out() -> None:
    breaker = Breaker()
    fail(breaker, *("a" * 50))
    breaker.admit(NOW)
    assert not breaker.is_open()


def test_five_in_a_row_open_it_for_a_moment() -> None:
    breaker = opened()
    assert refusal(breaker, NOW + 0.5).retry_after >= 1


def test_then_one_may_probe_and_the_others_wait_for_what_it_finds() -> None:
    breaker = opened()
    breaker.admit(NOW + 1.1)
    for _ in range(3):
        refusal(breaker, NOW + 1.2)
    breaker.answered()
    breaker.admit(NOW + 1.3)
    breaker.admit(NOW + 1.3)
    assert not breaker.is_open()


def test_a_probe_that_fails_opens_it_for_longer_and_longer_up_to_a_limit() -> None:
    breaker, now, pauses = opened(), NOW, []
    for _ in range(8):
        wait = 0.0
        while True:
            wait += 0.5
            try:
                breaker.admit(now + wait)
                break
            except Unavailable:
                continue
        pauses.append(wait)
        now += wait
        fail(breaker, "a", now=now)
    assert pauses == sorted(pauses)
    assert pauses[0] == 1.0
    assert pauses[-1] == pauses[-2] == 15.0


def test_a_provider_that_says_when_is_left_alone_until_then_at_once() -> None:
    breaker = Breaker()
    fail(breaker, "a", "b", wish=7.0)
    assert refusal(breaker, NOW + 6.9).retry_after >= 1
    breaker.admit(NOW + 7.1)


def test_no_provider_can_make_everybody_wait_for_long() -> None:
    breaker = Breaker()
    fail(breaker, "a", "b", wish=86400.0)
    breaker.admit(NOW + 60.1)


def test_what_one_session_is_told_to_wait_holds_up_nobody_else() -> None:
    """Providers limit by user, too: nobody may close a provider to everybody by asking often."""
    breaker = Breaker()
    fail(breaker, "a", "a", "a", wish=60.0)
    breaker.admit(NOW + 0.1)


def test_a_probe_that_was_not_made_lets_the_next_one_probe() -> None:
    breaker = opened()
    breaker.admit(NOW + 2)
    breaker.withdrawn()
    breaker.admit(NOW + 2)


def test_a_probe_nobody_hears_of_again_is_forgotten() -> None:
    breaker = opened()
    breaker.admit(NOW + 2)
    refusal(breaker, NOW + 30)
    breaker.admit(NOW + 70)


def test_a_clock_set_back_by_an_hour_does_not_keep_it_open_f34() -> None:
    breaker = opened()
    breaker.admit(NOW - 3600)
