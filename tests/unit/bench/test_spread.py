"""The arithmetic of `bench.endings`, and where its table goes."""

import pytest

from bench.spread import BEGIN, DOCUMENT, END, Row, Spread, milliseconds, table, written_into


def test_percentiles_are_durations_that_occurred() -> None:
    hundred = [n / 1000 for n in range(100, 0, -1)]
    assert Spread.of(hundred) == Spread(0.050, 0.099, 0.100)
    assert Spread.of([n / 1000 for n in range(1, 201)]) == Spread(0.100, 0.198, 0.200)
    assert Spread.of([0.3]) == Spread(0.3, 0.3, 0.3)
    assert Spread.of([2.0, 1.0]) == Spread(1.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.00042, "0.4 ms"),
        (0.0123, "12.3 ms"),
        (0.0999, "99.9 ms"),
        (0.1, "100 ms"),
        (1.2346, "1,235 ms"),
    ],
)
def test_a_duration_has_the_digits_that_mean_something(seconds: float, said: str) -> None:
    assert milliseconds(seconds) == said


def test_a_row_says_how_often_and_how_long() -> None:
    times = [0.001, 0.001, 0.003], [0.001, 0.002, 0.5], [0.002] * 3, [0.004] * 3
    written = table([Row("logout", *times)])
    head, rule, row = written.splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert row == (
        "| logout | 3 | 1.0 ms | 2.0 ms | 500 ms | 500 ms "
        "| 2.0 ms | 2.0 ms | 2.0 ms | 4.0 ms | 4.0 ms | 4.0 ms |"
    )


def test_what_nobody_sends_is_answered_by_nobody() -> None:
    row = table([Row("deadline", [], [0.001], [0.001], [0.001])]).splitlines()[-1]
    assert row.startswith("| deadline | 1 | – | 1.0 ms |")


def test_the_slowest_effect_of_all_is_what_a_promise_is_held_against() -> None:
    for slow in range(3):
        times = [[0.1, 0.2], [0.1, 0.2], [0.1, 0.2]]
        times[slow] = [0.1, 1.5]
        assert Row("logout", [9.0, 9.0], *times).longest() == 1.5


def test_the_table_takes_the_place_of_the_one_before() -> None:
    text = f"above\n\n{BEGIN}\n\nold \\1 text\n\n{END}\n\nbelow\n"
    once = written_into(text, "new \\1 table")
    assert once == f"above\n\n{BEGIN}\n\nnew \\1 table\n\n{END}\n\nbelow\n"
    assert written_into(once, "x") == f"above\n\n{BEGIN}\n\nx\n\n{END}\n\nbelow\n"
    with pytest.raises(ValueError, match="exactly one place"):
        written_into("no place", "x")


def test_the_document_has_a_place_for_the_table() -> None:
    written_into(DOCUMENT.read_text(), "x")
