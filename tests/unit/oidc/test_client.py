"""A client that exists keeps the rules."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Misconfigured
from gateway.oidc.client import OURS_ALONE, ClientAuth, Kind, origin_of
from gateway.oidc.keys import Algorithm
from gateway.secret import PrivateKeyPem
from tests.unit.oidc.examples import (
    CLIENT,
    PLAIN_ENDPOINTS,
    SECRET,
    client,
    key_client,
    plain_client,
)


def finding(**changes: Any) -> str:
    with pytest.raises(Misconfigured) as caught:
        client(**changes)
    assert len(caught.value.findings) == 1
    return caught.value.findings[0]


@pytest.mark.parametrize("auth", [ClientAuth.CLIENT_SECRET_BASIC, ClientAuth.CLIENT_SECRET_POST])
def test_a1_a_client_without_its_secret_does_not_exist(auth: ClientAuth) -> None:
    assert finding(auth=auth, secret=None).startswith("providers.main.client_secret:")


def test_a1_h2_private_key_jwt_needs_a_private_key() -> None:
    assert finding(auth=ClientAuth.PRIVATE_KEY_JWT, secret=None).startswith(
        "providers.main.private_key:"
    )
    assert key_client().private_key


def test_a_client_assertion_is_never_a_mac() -> None:
    assert "assertion_algorithm" in finding(
        auth=ClientAuth.PRIVATE_KEY_JWT,
        private_key=PrivateKeyPem("pem"),
        assertion_algorithm=Algorithm.HS256,
    )


@pytest.mark.parametrize("leeway", [-1.0, 60.5, 120.0, float("nan"), float("inf")])
def test_g8_the_leeway_is_at_most_a_minute(leeway: float) -> None:
    assert finding(leeway=leeway).startswith("providers.main.leeway:")


def test_g8_a_minute_of_leeway_is_allowed() -> None:
    assert client(leeway=60.0).leeway == 60.0


@pytest.mark.parametrize("lifetime", [0.0, -1.0, float("nan")])
def test_h6_the_default_lifetime_is_a_time(lifetime: float) -> None:
    assert "default_token_lifetime" in finding(default_token_lifetime=lifetime)


@pytest.mark.parametrize(
    "algorithms",
    [
        frozenset(),
        frozenset({Algorithm.RS256, Algorithm.HS256}),
        frozenset({Algorithm.HS256, Algorithm.HS512}),
    ],
)
def test_g7_public_keys_and_secrets_never_verify_side_by_side(
    algorithms: frozenset[Algorithm],
) -> None:
    assert "id_token_algorithms" in finding(id_token_algorithms=algorithms)


def test_g7_a_mac_needs_the_client_secret() -> None:
    macs = frozenset({Algorithm.HS256})
    assert client(id_token_algorithms=macs).id_token_algorithms == macs
    with pytest.raises(Misconfigured):
        key_client(id_token_algorithms=frozenset({Algorithm.HS256}))


def test_f6_rs256_is_the_default_and_the_only_one() -> None:
    assert CLIENT.id_token_algorithms == {Algorithm.RS256}


def test_an_openid_client_asks_for_openid() -> None:
    assert finding(scopes=("profile",)).startswith("providers.main.scopes:")


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/bff/callback/main",
        "http://localhost.evil.example/cb",
        "http://user@localhost/cb",
        "/bff/callback/main",
        "https://app.example/cb#fragment",
        "https://app.example/c b",
        "https:///cb",
        "javascript:alert(1)",
        "",
    ],
)
def test_e12_a_redirect_uri_is_https(uri: str) -> None:
    assert finding(redirect_uri=uri).startswith("providers.main.redirect_uri:")


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_e12_on_this_machine_a_redirect_uri_may_be_http(host: str) -> None:
    uri = f"http://{host}/bff/callback/main"
    assert client(redirect_uri=uri).redirect_uri == uri


def test_other_addresses_are_https_too() -> None:
    assert "post_logout" in finding(post_logout_redirect_uri="http://app.example/")
    assert "issuer" in finding(issuer="http://id.example")


@pytest.mark.parametrize("name", sorted(OURS_ALONE))
def test_e14_configuration_cannot_add_a_parameter_that_is_ours(name: str) -> None:
    assert name in finding(extra_parameters=((name, "x"),))


def test_e14_configuration_cannot_add_a_parameter_twice() -> None:
    assert "audience" in finding(extra_parameters=(("audience", "a"), ("audience", "b")))


def test_a_plain_provider_needs_configured_endpoints() -> None:
    assert plain_client().kind is Kind.OAUTH2
    with pytest.raises(Misconfigured) as caught:
        plain_client(endpoints=None)
    assert caught.value.findings[0].startswith("providers.main.endpoints:")


def test_f2_pinned_endpoints_keep_the_same_rules() -> None:
    endpoints = replace(PLAIN_ENDPOINTS, token_endpoint="http://p.example/token")
    with pytest.raises(Misconfigured) as caught:
        plain_client(endpoints=endpoints)
    assert caught.value.findings == ["providers.main.endpoints.token_endpoint: must be https"]
    assert "endpoints.issuer" in finding(endpoints=PLAIN_ENDPOINTS)


def test_all_findings_come_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        client(secret=None, leeway=90.0, scopes=(), client_id="")
    assert len(caught.value.findings) == 4


def test_a_client_does_not_print_its_credentials() -> None:
    assert SECRET not in repr(CLIENT)
    assert "pem" not in repr(key_client())


def test_the_default_identifier_of_a_plain_provider_is_its_origin() -> None:
    assert origin_of("https://plain.example:8443/login?x=1") == "https://plain.example:8443"
