"""YAML without its traps: repeated keys, dates, tags, aliases."""

from pathlib import Path

import pytest

from gateway import config
from gateway.config.findings import Report
from gateway.config.yaml_text import NotYaml, read_document, read_value


def read(text: str) -> tuple[dict[str, object], Report]:
    report = Report()
    return read_document(text, report), report


def test_a_plain_document_is_read_with_the_line_of_every_value() -> None:
    values, report = read("listen:\n  port: 1\nkeys:\n  - id: a\n  - id: b\n")
    assert values == {"listen": {"port": 1}, "keys": [{"id": "a"}, {"id": "b"}]}
    assert report.findings == []
    assert report.sources[("listen", "port")] == 2
    assert report.sources[("keys", 1, "id")] == 5


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("log: {}\nlog: {}", "log"),
        ("listen: {port: 1, port: 2}", "listen.port"),
        ("routes:\n  - {access: session, path: /, access: public}", "routes[0].access"),
        ('listen:\n  port: 1\n  "port": 1', "listen.port"),
    ],
)
def test_a_repeated_key_is_an_error_and_not_the_last_one_wins(text: str, path: str) -> None:
    _, report = read(text)
    assert [finding.path for finding in report.findings] == [path]
    assert report.has_errors


def test_every_repeated_key_is_reported() -> None:
    _, report = read("a: 1\na: 2\nb: {c: 1, c: 2, c: 3}")
    assert [finding.path for finding in report.findings] == ["a", "b.c"]


def test_dates_stay_text() -> None:
    values, _ = read("id: 2026-11-23\nat: 2026-11-23 12:00:00")
    assert values == {"id": "2026-11-23", "at": "2026-11-23 12:00:00"}


def test_an_anchor_may_be_used_twice() -> None:
    values, report = read("a: &m [GET]\nb: *m")
    assert values == {"a": ["GET"], "b": ["GET"]}
    assert report.findings == []


def test_an_empty_document_is_an_empty_mapping() -> None:
    values, report = read("# nothing yet\n")
    assert values == {}
    assert report.findings == []


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b",
        "just text",
        "a: b: c",
        "a:\tb:\t c\n\td",
        "a: [1, 2",
        "a: *unknown",
        "a: !unknown x",
        "a: !!python/object/apply:os.getcwd []",
        "a: !!int x",
        "a: !!bool x",
        "a: &loop [*loop]",
        "a: b\n---\nc: d",
        "a: \x01",
        "? {b: c}\n: d",
        "a: " + "[" * 400,
        "{a: " * 400,
    ],
)
def test_what_is_not_plain_yaml_is_one_error_about_the_whole(text: str) -> None:
    values, report = read(text)
    assert values == {}
    assert [finding.path for finding in report.findings] == ["configuration"]


def test_a_broken_document_hides_what_would_be_missing_from_it() -> None:
    made, findings = config.check_text("a: [", Path(), {})
    assert made is None
    assert [finding.path for finding in findings] == ["configuration"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("1", 1), ("a", "a"), ("[a, b]", ["a", "b"]), ('{"a": true}', {"a": True})],
)
def test_a_variable_holds_one_yaml_value(text: str, value: object) -> None:
    assert read_value(text) == value


def test_a_variable_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(NotYaml):
        read_value("[a")
