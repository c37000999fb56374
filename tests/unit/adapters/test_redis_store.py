"""Where the store connects to, judged before anything is sent."""

import pytest

from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.errors import Misconfigured
from gateway.secret import Password, StoreUrl


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6380/3",
        "redis://user:pass@redis.internal:6379/0",
        "redis://:pass@[::1]:6379",
        "rediss://redis.internal",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=2",
    ],
)
async def test_an_address_opens_a_store_and_no_connection(url: str) -> None:
    await RedisStore(StoreSettings(StoreUrl(url))).aclose()


def test_an_address_that_names_no_server_is_a_finding() -> None:
    with pytest.raises(Misconfigured) as raised:
        RedisStore(StoreSettings(StoreUrl("memcached://localhost")))
    assert raised.value.findings[0].startswith("store.url: ")


def test_a_certificate_file_that_is_not_there_is_a_finding() -> None:
    settings = StoreSettings(StoreUrl("rediss://localhost"), ca_file="/no/such/file")
    with pytest.raises(Misconfigured) as raised:
        RedisStore(settings)
    (finding,) = raised.value.findings
    assert finding.startswith("store.ca_file: ")


def test_d14_settings_print_no_secret() -> None:
    settings = StoreSettings(
        StoreUrl("redis://u:seeded@localhost"), username="u", password=Password("seeded")
    )
    assert "seeded" not in repr(settings)
    assert "localhost" not in repr(settings)


def test_f1_the_whole_of_an_operation_is_answered_within_half_a_second() -> None:
    """The promise of the manual, as a property of the defaults."""
    defaults = StoreSettings(StoreUrl("redis://localhost"))
    assert defaults.budget < 0.5
    assert defaults.connect_timeout + defaults.command_timeout <= defaults.budget
    assert defaults.slot_timeout < defaults.budget
