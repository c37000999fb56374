"""Where sessions are kept."""

from pathlib import Path

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.secret import StoreUrl
from tests.unit.config.documents import ABSENT, check, errors, settings, warnings


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://redis:6379",
        "redis://redis:6379/0",
        "redis://gateway@redis:6379/15",
        "redis://[::1]:6379",
        "rediss://redis:6380/",
        "unix:///run/valkey.sock",
        "unix:///run/valkey.sock?db=2",
    ],
)
def test_an_address_is_passed_on_as_it_is(url: str) -> None:
    made = settings({"store.url": url})
    assert made.store.url.reveal() == url
    assert made.embedded_store is None


@pytest.mark.parametrize(
    "url",
    [
        "redis",
        "redis:6379",
        "redis://",
        "redis://:6379",
        "redis://redis:0",
        "redis://redis:99999",
        "redis://redis:port",
        "redis://redis/zero",
        "redis://redis/0?timeout=5",
        "redis://redis/0#x",
        "redis://[::1",
        "http://redis",
        "unix://run/valkey.sock",
        "unix:///run/valkey.sock?x=1",
        "unix:///run/valkey.sock?db=x",
        "redis+sentinel://a,b/main",
        "redis+cluster://a:6379",
        "embedded:",
        "redis://ré",
        "redis://a b",
        "",
        6379,
    ],
)
def test_what_is_no_address_is_refused(url: object) -> None:
    assert errors({"store.url": url}) == ["store.url"]


def test_a_store_is_required() -> None:
    assert errors({"store": ABSENT}) == ["store"]
    assert errors({"store": {"prefix": "x:"}}) == ["store.url"]


@pytest.mark.parametrize(
    "url", ["redis://:hunter2@redis", "redis://gateway:hunter2@redis:6379/0", "rediss://:hunter2@r"]
)
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    _, (finding,) = check({"store.url": url})
    assert finding.path == "store.url"
    assert "hunter2" not in str(finding)


def test_an_address_with_a_password_comes_by_reference() -> None:
    made = settings(
        {"store.url": {"env": "REDIS_URL"}}, environ={"REDIS_URL": "redis://:hunter2@redis:6379"}
    )
    assert made.store.url.reveal() == "redis://:hunter2@redis:6379"
    assert "hunter2" not in repr(made)


def test_a_wrong_address_by_reference_is_refused_and_not_repeated() -> None:
    _, (finding,) = check(
        {"store.url": {"env": "REDIS_URL"}}, environ={"REDIS_URL": "redis://:hunter2@redis/x/y"}
    )
    assert finding.path == "store.url"
    assert "hunter2" not in str(finding)


def test_user_and_password_stand_beside_the_address() -> None:
    made = settings(
        {"store.username": "gateway", "store.password": {"env": "STORE"}},
        environ={"STORE": "hunter2"},
    )
    assert made.store.username == "gateway"
    assert made.store.password is not None
    assert made.store.password.reveal() == "hunter2"
    assert errors({"store.password": "hunter2"}) == ["store.password"]


def test_an_embedded_store_lies_beside_the_configuration_file(tmp_path: Path) -> None:
    made = settings({"store.url": "embedded:./data", "store.prefix": "x:"}, directory=tmp_path)
    assert made.embedded_store is not None
    assert made.embedded_store.directory == str(tmp_path / "data")
    reached = made.embedded_store.at(StoreUrl("unix:///run/x.sock"))
    assert (reached.url.reveal(), reached.prefix) == ("unix:///run/x.sock", "x:")


def test_an_embedded_store_has_no_credentials_and_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert errors({"store.url": "embedded:data"}, directory=tmp_path) == ["store.url"]
    with_user = {"store.url": "embedded:other", "store.username": "x"}
    assert errors(with_user, directory=tmp_path) == ["store.username"]


def test_the_defaults_are_those_of_the_store() -> None:
    url = StoreUrl("redis://redis:6379/0")
    assert settings().store == StoreSettings(url)


def test_times_reach_the_store_in_seconds() -> None:
    made = settings({"store.command_timeout": "1s", "store.operation_timeout": "2s"})
    assert (made.store.command_timeout, made.store.budget) == (1.0, 2.0)


@pytest.mark.parametrize("prefix", ["", "a b", "ä:", 5])
def test_a_prefix_is_plain(prefix: object) -> None:
    assert errors({"store.prefix": prefix}) == ["store.prefix"]


def test_a_bundle_without_tls_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    assert warnings({"store.ca_file": "ca.pem"}, directory=tmp_path) == ["store.ca_file"]
