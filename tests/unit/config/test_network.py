"""The origin, the listeners, the proxies before us."""

import pytest

from gateway.config.network import Place
from gateway.secret import AdminToken
from tests.unit.config.documents import ENVIRON, check, errors, settings, warnings


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://APP.example.com:443", "https://app.example.com"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("http://localhost", "http://localhost"),
        ("http://localhost:3000", "http://localhost:3000"),
    ],
)
def test_an_origin_is_https_or_plain_http_on_localhost(written: str, origin: str) -> None:
    assert str(settings({"public_origin": written}).public_origin) == origin


@pytest.mark.parametrize(
    "written",
    [
        "http://app.example.com",
        "http://127.0.0.1:8080",
        "http://localhost.example.com",
        "https://app.example.com/",
        "https://app.example.com/app",
        "https://user@app.example.com",
        "https://app.example.com?x",
        "app.example.com",
        "ftp://app.example.com",
        "https://",
        "https://app.example.com:0",
        "https://*.example.com",
        8080,
        None,
        ["https://app.example.com"],
    ],
)
def test_any_other_origin_is_refused(written: object) -> None:
    assert errors({"public_origin": written}) == ["public_origin"]


def test_the_redirect_uri_follows_the_origin() -> None:
    made = settings({"public_origin": "https://app.example.com:8443"})
    assert made.clients[0].redirect_uri == "https://app.example.com:8443/bff/callback/main"


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "::", "::1", "localhost", "gw.internal"])
def test_a_listener_has_an_address_or_a_name(host: str) -> None:
    assert settings({"listen.host": host}).listen.host == host


@pytest.mark.parametrize("host", ["*", "[::]", "0.0.0.0:80", "a b", "http://x", "", 0, "1.2.3"])
def test_what_is_no_address_is_refused(host: object) -> None:
    assert errors({"listen.host": host}) == ["listen.host"]


@pytest.mark.parametrize("port", [0, -1, 65536, "8080", True, 80.5, [80]])
def test_what_is_no_port_is_refused(port: object) -> None:
    assert errors({"listen.port": port}) == ["listen.port"]


def test_by_default_nobody_on_the_network_can_reach_us() -> None:
    made = settings({"listen": {}})
    assert (made.listen.host, made.listen.port, made.listen.workers) == ("127.0.0.1", 8080, 0)
    assert (made.admin.host, made.admin.port) == ("127.0.0.1", 9090)


def test_the_two_listeners_have_two_ports() -> None:
    assert errors({"admin.port": 8080}) == ["admin.port"]


def test_an_admin_listener_on_the_network_is_a_warning() -> None:
    assert warnings({"admin.host": "0.0.0.0"}) == ["admin.host"]
    assert warnings({"admin.host": "::1"}) == []
    assert warnings({"admin.host": "localhost"}) == []


def test_the_operators_token_is_a_secret_that_nobody_guesses() -> None:
    place = {"admin.token": {"env": "CLIENT_SECRET"}}
    assert settings({}).admin.token is None
    assert settings(place).admin.token == AdminToken(ENVIRON["CLIENT_SECRET"])
    for weak in ("short", "x" * 31, "x" * 32 + " ", "ü" * 40, "x" * 32 + "\nX"):
        _, found = check(place, {**ENVIRON, "CLIENT_SECRET": weak})
        assert "admin.token" in [one.path for one in found]
        assert weak not in str(found)
    assert errors({"admin.token": "o7Ny-admin-of-32-characters-or-more"}) == ["admin.token"]
    assert errors({"admin.token": {"env": "NOT_SET"}}) == ["admin.token"]


@pytest.mark.parametrize("workers", ["auto", 1, 2, 256])
def test_a_number_of_workers_is_nothing_to_warn_of(workers: object) -> None:
    assert warnings({"listen.workers": workers}) == []
    assert settings({"listen.workers": workers}).listen.workers == (
        0 if workers == "auto" else workers
    )


def test_by_default_a_gateway_that_stops_accepts_nobody_any_more() -> None:
    assert settings().listen.drain_delay == 0.0
    assert settings({"listen.drain_delay": "15s"}).listen.drain_delay == 15.0


def test_old_workers_and_silent_ones_have_their_time() -> None:
    assert settings().listen.worker_silence == 30.0
    assert settings({"listen.worker_silence": "1m"}).listen.worker_silence == 60.0
    assert settings().limits.reload_grace == 600.0
    assert settings({"limits.reload_grace": "0s"}).limits.reload_grace == 0.0
    assert errors({"listen.worker_silence": "1s"}) == ["listen.worker_silence"]


def test_further_hosts_are_kept_in_lower_case() -> None:
    made = settings({"listen.accepted_hosts": ["Gateway.internal:8080", "10.0.0.5"]})
    assert made.listen.accepted_hosts == {"gateway.internal:8080", "10.0.0.5"}


@pytest.mark.parametrize("host", ["https://x", "x/y", "a b", "*", ":80", "x:99999"])
def test_what_cannot_stand_in_a_host_field_is_refused(host: str) -> None:
    assert errors({"listen.accepted_hosts": [host]}) == ["listen.accepted_hosts[0]"]


def test_proxies_are_networks_or_single_addresses() -> None:
    made = settings({"trusted_proxies": ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "2001:db8::1"]})
    assert [str(network) for network in made.forwarded.trusted] == [
        "10.0.0.0/8",
        "192.0.2.1/32",
        "fd00::/8",
        "2001:db8::1/128",
    ]


def test_by_default_nobody_is_believed() -> None:
    assert settings().forwarded.trusted == ()


@pytest.mark.parametrize(
    "network",
    ["10.0.0.5/8", "proxy.internal", "10.0.0.0/33", "10.0.0", "", "::ffff:10.0.0.0/104", 10],
)
def test_what_is_no_network_is_refused(network: object) -> None:
    assert errors({"trusted_proxies": ["10.0.0.0/8", network]}) == ["trusted_proxies[1]"]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "2000::/3"])
def test_the_whole_internet_is_no_proxy_unless_one_insists(network: str) -> None:
    everybody = {"trusted_proxies": [network]}
    assert errors(everybody) == ["trusted_proxies[0]"]
    made = settings({**everybody, "dangerously_trust_all_proxies": True})
    assert made.dangers == ("dangerously_trust_all_proxies",)
    assert str(made.forwarded.trusted[0]) == network


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Place("orders", 80), Place("ORDERS", 80), True),
        (Place("orders", 80), Place("orders", 81), False),
        (Place("localhost", 80), Place("127.0.0.1", 80), True),
        (Place("localhost", 80), Place("[::1]", 80), True),
        (Place("0.0.0.0", 80), Place("127.9.9.9", 80), True),
        (Place("::", 80), Place("app.localhost", 80), True),
        (Place("[2001:db8:0::1]", 80), Place("2001:db8::1", 80), True),
        (Place("127.0.0.1", 80), Place("10.0.0.1", 80), False),
        (Place("0.0.0.0", 80), Place("orders", 80), False),
    ],
)
def test_two_spellings_of_one_place_are_the_same_place(
    one: Place, other: Place, same: bool
) -> None:
    assert one.is_same(other) is same
    assert other.is_same(one) is same
