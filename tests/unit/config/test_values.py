"""The kinds of values: durations, sizes, words, references to secrets."""

import pytest

from gateway.config.secret_reference import Address, BySecretReference, SecretReference
from gateway.config.values import (
    Choice,
    Duration,
    Size,
    Text,
    Workers,
    meant,
)

LONG = Duration("0s", "400d")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (60, 60.0),
        (0.25, 0.25),
        ("60", 60.0),
        ("60s", 60.0),
        ("1.5m", 90.0),
        ("200ms", 0.2),
        ("12h", 43200.0),
        ("1 d", 86400.0),
        (" 5s ", 5.0),
        (0, 0.0),
    ],
)
def test_a_duration_is_seconds_or_a_number_with_a_unit(written: object, seconds: float) -> None:
    assert LONG.read(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        True,
        -1,
        "-1s",
        "1w",
        "1h30m",
        "",
        "s",
        "1e3",
        None,
        [],
        float("inf"),
        float("nan"),
        int("9" * 400),  # no float holds it
        "9" * 400,
        "٣s",
        "500d",
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        LONG.read(written)


@pytest.mark.parametrize(("written", "inside"), [("59s", 0), ("1m", 1), ("15m", 1), (901, 0)])
def test_a_duration_keeps_to_its_bounds(written: object, inside: int) -> None:
    kind = Duration("1m", "15m")
    if inside:
        assert 60 <= kind.read(written) <= 900
    else:
        with pytest.raises(ValueError, match="between 1m and 15m"):
            kind.read(written)


@pytest.mark.parametrize(
    ("written", "octets"),
    [(1, 1), ("512", 512), ("2KiB", 2048), ("1 MiB", 1048576), ("3GiB", 3 * 1024**3)],
)
def test_a_size_is_octets_or_a_number_with_a_binary_unit(written: object, octets: int) -> None:
    assert Size("1B", "4GiB").read(written) == octets


@pytest.mark.parametrize("written", [0, -1, True, 1.5, "1MB", "1.5MiB", "", None, "5GiB"])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        Size("1B", "4GiB").read(written)


def test_a_choice_takes_its_own_words_only() -> None:
    kind = Choice(("strict", "lax"), {"none": "because"})
    assert kind.read("lax") == "lax"
    with pytest.raises(ValueError, match="did you mean strict"):
        kind.read("Strict")
    with pytest.raises(ValueError, match=r"^because$"):
        kind.read("None")
    for other in (1, None, ["lax"], "", "medium"):
        with pytest.raises(ValueError, match="one of strict, lax"):
            kind.read(other)


@pytest.mark.parametrize("written", ["", " a", "a ", "a\nb", "a\x7f", "x" * 11, 1, None, b"a", []])
def test_text_is_one_visible_line(written: object) -> None:
    with pytest.raises(ValueError, match="must"):
        Text(10).read(written)
    assert Text(10).read("a b") == "a b"


@pytest.mark.parametrize(("written", "number"), [("auto", 0), (1, 1), (256, 256)])
def test_workers_are_counted_or_left_to_the_machine(written: object, number: int) -> None:
    assert Workers().read(written) == number


@pytest.mark.parametrize("written", [0, -1, 257, True, "2", "Auto", None, 1.0])
def test_other_numbers_of_workers_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="auto"):
        Workers().read(written)


def test_a_secret_is_named_by_a_variable_or_a_file() -> None:
    kind = BySecretReference()
    assert kind.read({"env": "NAME"}) == SecretReference(env="NAME")
    assert kind.read({"file": "/run/x"}) == SecretReference(file="/run/x")


@pytest.mark.parametrize(
    "written",
    [
        "hunter2",
        12345,
        ["hunter2"],
        None,
        {},
        {"env": "A", "file": "b"},
        {"evn": "A"},
        {"hunter2": None},
        {"env": ""},
        {"env": " "},
        {"file": 1},
        {"env": None},
        {1: 2},
    ],
)
def test_anything_else_is_no_reference_and_is_not_repeated(written: object) -> None:
    with pytest.raises(ValueError, match=r"secret|must be|needs") as refused:
        BySecretReference().read(written)
    assert "hunter2" not in str(refused.value)


def test_a_reference_does_not_print_what_may_have_been_put_there_by_mistake() -> None:
    assert "hunter2" not in repr(SecretReference(env="hunter2"))


def test_a_store_address_is_text_or_a_reference() -> None:
    assert Address().read("redis://redis") == "redis://redis"
    assert Address().read({"env": "REDIS_URL"}) == SecretReference(env="REDIS_URL")
    with pytest.raises(ValueError, match="must be"):
        Address().read(6379)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("lisen", "listen"),
        ("clientId", "client_id"),
        ("CLIENT_SECRET", "client_secret"),
        ("zzz", None),
        (1, None),
    ],
)
def test_a_name_close_to_a_known_one_is_suggested(written: object, name: str | None) -> None:
    assert meant(written, ["listen", "client_id", "client_secret"]) == name
