"""What a store's URL says, and what it must not say."""

import pytest
from gateway.adapters.redis_address import StoreAddress, store_address
from gateway.errors import Misconfigured
from gateway.secret import Password, StoreUrl


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", StoreAddress("", "localhost", 6379, False, 0, None, None)),
        ("redis://h:6380/3", StoreAddress("", "h", 6380, False, 3, None, None)),
        ("rediss://h/", StoreAddress("", "h", 6379, True, 0, None, None)),
        ("redis://u:p@h", StoreAddress("", "h", 6379, False, 0, "u", Password("p"))),
        ("redis://:p@[::1]:1", StoreAddress("", "::1", 1, False, 0, None, Password("p"))),
        (
            "redis://a%3Ab:p%40%2F@h/2",
            StoreAddress("", "h", 6379, False, 2, "a:b", Password("p@/")),
        ),
        ("unix:///run/redis.sock", StoreAddress("/run/redis.sock", "", 6379, False, 0, None, None)),
        ("unix:///a%20b?db=2", StoreAddress("/a b", "", 6379, False, 2, None, None)),
    ],
)
def test_a_url_names_a_server(url: str, expected: StoreAddress) -> None:
    assert store_address(StoreUrl(url)) == expected


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
