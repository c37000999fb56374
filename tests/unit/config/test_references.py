"""Secrets that are named and not written."""

import os
from pathlib import Path

import pytest

from gateway.config.references import LARGEST_SECRET
from tests.unit.config.documents import RING_KEY, check, errors, settings, warnings

SECRET = "providers.main.client_secret"


def secret_of(directory: Path, content: bytes, name: str = "secret.txt") -> str:
    place = directory / name
    place.write_bytes(content)
    place.chmod(0o600)
    made = settings({SECRET: {"file": name}}, directory=directory)
    assert made.clients[0].secret is not None
    return made.clients[0].secret.reveal()


def test_a_variable_is_looked_up() -> None:
    made = settings({SECRET: {"env": "MINE"}}, environ={"MINE": "value"})
    assert made.clients[0].secret is not None
    assert made.clients[0].secret.reveal() == "value"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"value", "value"),
        (b"value\n", "value"),
        (b"value\r\n", "value"),
        (b" value ", " value "),
        ("välue\n".encode(), "välue"),
    ],
)
def test_a_file_is_read_without_its_last_line_break(
    tmp_path: Path, content: bytes, secret: str
) -> None:
    assert secret_of(tmp_path, content) == secret


def test_a_relative_path_starts_from_the_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    assert secret_of(tmp_path, b"value", "deep/secret") == "value"


def test_random_octets_keep_a_last_one_that_looks_like_a_line_break(tmp_path: Path) -> None:
    octets = bytes(range(200, 231)) + b"\n"
    octets = octets[7:31] + octets[:7] + b"\n"
    (tmp_path / "ring.key").write_bytes(octets)
    (tmp_path / "ring.key").chmod(0o600)
    made = settings({"keys.0.secret": {"file": "ring.key"}}, directory=tmp_path)
    assert made.keys[0].material.reveal() == octets


def test_a_missing_variable_is_named() -> None:
    _, (finding,) = check({SECRET: {"env": "NOT_SET_HERE"}})
    assert finding.path == SECRET
    assert "NOT_SET_HERE" in finding.message


def test_a_missing_file_is_named_with_its_absolute_path(tmp_path: Path) -> None:
    _, (finding,) = check({SECRET: {"file": "secrets/client"}}, directory=tmp_path)
    assert finding.path == SECRET
    assert str(tmp_path / "secrets/client") in finding.message


@pytest.mark.parametrize(
    "reference",
    [
        {"env": "hunter2"},
        {"env": "hunter2-Xy/+="},
        {"file": "hunter2"},
        {"file": "hunter2\n"},
        {"file": "x://hunter2/"},
    ],
)
def test_a_secret_in_the_place_of_its_name_is_not_repeated(reference: dict[str, str]) -> None:
    _, (finding,) = check({SECRET: reference})
    assert finding.path == SECRET
    assert "hunter2" not in str(finding)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"\xff\xfe", b"x" * (LARGEST_SECRET + 1)])
def test_a_file_without_a_usable_secret_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret.txt").write_bytes(content)
    (tmp_path / "secret.txt").chmod(0o600)
    assert errors({SECRET: {"file": "secret.txt"}}, directory=tmp_path) == [SECRET]


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_variable_is_an_error(value: str) -> None:
    assert errors({SECRET: {"env": "MINE"}}, environ={"MINE": value}) == [SECRET]


def test_a_directory_is_no_secret(tmp_path: Path) -> None:
    assert errors({SECRET: {"file": "."}}, directory=tmp_path) == [SECRET]


def test_a_device_is_no_secret() -> None:
    assert errors({SECRET: {"file": "/dev/zero"}}) == [SECRET]


def test_a_name_no_file_can_have_is_an_error() -> None:
    assert errors({SECRET: {"file": "a\0b"}}) == [SECRET]
    assert errors({SECRET: {"file": "x" * 5000}}) == [SECRET]


@pytest.mark.parametrize(("mode", "found"), [(0o600, []), (0o640, []), (0o644, ["keys[0].secret"])])
def test_a_file_everybody_may_read_is_a_warning(
    tmp_path: Path, mode: int, found: list[str]
) -> None:
    (tmp_path / "ring.key").write_text(RING_KEY)
    os.chmod(tmp_path / "ring.key", mode)  # noqa: PTH101  the mode is the point
    assert warnings({"keys.0.secret": {"file": "ring.key"}}, directory=tmp_path) == found


@pytest.mark.parametrize("path", ["store.ca_file", "back_channel.ca_file"])
def test_a_bundle_of_authorities_has_to_be_there(tmp_path: Path, path: str) -> None:
    tls = {"store.url": "rediss://redis"}
    assert errors({**tls, path: "ca.pem"}, directory=tmp_path) == [path]
    assert errors({**tls, path: "x" * 1000}, directory=tmp_path) == [path]
    (tmp_path / "ca.pem").write_text("")
    made = settings({**tls, path: "ca.pem"}, directory=tmp_path)
    assert str(tmp_path / "ca.pem") in (made.store.ca_file, made.back_channel.ca_file)
