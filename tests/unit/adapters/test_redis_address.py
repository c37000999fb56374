"""What a store's URL says, and what it must not say."""

import pytest

from gateway.adapters.redis_address import store_address
from gateway.errors import Misconfigured
from gateway.secret import Password, StoreUrl


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", {"host": "localhost"}),
        ("redis://h:6380/3", {"port": 6380, "database": 3}),
        ("rediss://h/", {"over_tls": True}),
        ("redis://u:p@h", {"username": "u", "password": Password("p")}),
        ("redis://:p@[::1]:1", {"host": "::1", "port": 1, "password": Password("p")}),
        (
            "redis://a%3Ab:p%40%2F@h/2",
            {"database": 2, "username": "a:b", "password": Password("p@/")},
        ),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock", "host": ""}),
        ("unix:///a%20b?db=2", {"path": "/a b", "host": "", "database": 2}),
    ],
)
def test_a_url_names_a_server(url: str, expected: dict[str, object]) -> None:
    plain: dict[str, object] = {
        "path": "",
        "host": "h",
        "port": 6379,
        "over_tls": False,
        "database": 0,
    }
    plain |= {"username": None, "password": None}
    address = store_address(StoreUrl(url))
    assert {name: getattr(address, name) for name in plain} == plain | expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://seeded@localhost",
        "redis://",
        "redis:///0",
        "redis://localhost:seeded/0",
        "redis://localhost:99999",
        "redis://localhost/seeded",
        "redis://localhost/0/1",
        "redis://[::1/0",
        "redis://localhost/0?socket_timeout=60",
        "redis://seeded:seeded@localhost?protocol=3",
        "unix://",
        "unix:///run/redis.sock?db=seeded",
        "unix:///run/redis.sock?password=seeded",
        "memcached://localhost",
    ],
)
def test_d14_a_url_that_names_none_is_a_finding_that_does_not_quote_it(url: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        store_address(StoreUrl(url))
    (finding,) = raised.value.findings
    assert finding.startswith("store.url: ")
    assert "seeded" not in finding
    assert raised.value.__cause__ is None


def test_d14_an_address_prints_no_password() -> None:
    assert "seeded" not in repr(store_address(StoreUrl("redis://u:seeded@localhost")))
