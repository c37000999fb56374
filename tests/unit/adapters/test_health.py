"""When a server is left alone, and when it is tried again."""

from gateway.adapters.http1_upstream.health import FIRST_PAUSE, IN_A_ROW, LONGEST_PAUSE, Health


def failing(health: Health, now: float, times: int) -> None:
    for _ in range(times):
        health.failed(now)


def test_a_new_server_is_in() -> None:
    assert Health().admits(0)


def test_failures_in_a_row_put_it_out_for_a_while() -> None:
    health = Health()
    failing(health, 10, IN_A_ROW - 1)
    assert health.admits(10)
    health.failed(10)
    assert not health.admits(10)
    assert not health.admits(10 + FIRST_PAUSE - 0.01)
    assert health.admits(10 + FIRST_PAUSE)


def test_an_answer_between_them_starts_the_count_again() -> None:
    health = Health()
    for _ in range(10):
        failing(health, 0, IN_A_ROW - 1)
        health.succeeded()
    assert health.admits(0)


def test_a_server_that_cannot_be_reached_is_out_at_once() -> None:
    health = Health()
    health.unreachable(5)
    assert not health.admits(5)


def test_those_that_were_under_way_do_not_prolong_it() -> None:
    health = Health()
    for _ in range(50):
        health.unreachable(0)
        health.failed(0)
    assert health.admits(FIRST_PAUSE)


def test_one_request_tries_it_and_the_others_wait() -> None:
    health = Health()
    health.unreachable(0)
    assert health.admits(1)
    health.chosen(1)
    assert not health.admits(1)
    health.succeeded()
    assert health.admits(1)


def test_a_trial_whose_caller_left_is_followed_by_another() -> None:
    health = Health()
    health.unreachable(0)
    health.chosen(1)
    assert health.admits(1 + LONGEST_PAUSE)


def test_each_failed_trial_doubles_the_pause_up_to_a_bound() -> None:
    health, now, pauses = Health(), 0.0, []
    health.unreachable(now)
    for _ in range(8):
        pauses.append(health.out_until - now)
        now = health.out_until
        health.chosen(now)
        health.failed(now)  # once is enough on trial
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_success_forgets_the_longer_pauses() -> None:
    health = Health()
    for now in (0, 100, 200):
        health.unreachable(now)
    health.succeeded()
    health.unreachable(1000)
    assert health.admits(1000 + FIRST_PAUSE)


def test_what_a_check_found_holds_until_the_next_one() -> None:
    health = Health()
    health.is_ill = True
    health.succeeded()
    assert not health.admits(10**9)
    health.is_ill = False
    assert health.admits(0)
