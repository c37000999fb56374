"""Settings from the environment."""

import pytest

from tests.unit.config.documents import OTHER_KEY, check, errors, settings


def test_a_variable_overrides_the_file() -> None:
    made = settings(environ={"GATEWAY__LISTEN__PORT": "9999"})
    assert made.listen.port == 9999


def test_a_variable_sets_what_the_file_does_not_mention() -> None:
    made = settings(environ={"GATEWAY__SESSION__IDLE_TIMEOUT": "10m"})
    assert made.session.idle_timeout == 600


def test_names_are_read_without_case() -> None:
    assert settings(environ={"GATEWAY__Listen__port": "9999"}).listen.port == 9999


def test_text_stays_text_even_when_it_looks_like_a_number() -> None:
    made = settings(environ={"GATEWAY__PROVIDERS__MAIN__CLIENT_ID": "0123"})
    assert made.clients[0].client_id == "0123"


def test_list_entries_go_by_number_and_the_next_one_is_added() -> None:
    made = settings(
        environ={
            "GATEWAY__KEYS__0__ID": "renamed",
            "GATEWAY__KEYS__1__ID": "added",
            "GATEWAY__KEYS__1__SECRET__ENV": "OTHER_KEY",
        }
    )
    assert [key.key_id for key in made.keys] == ["renamed", "added"]
    assert made.keys[1].material.reveal() != made.keys[0].material.reveal()


def test_ten_entries_stay_in_order() -> None:
    names = {f"GATEWAY__TRUSTED_PROXIES__{n}": f"10.0.{n}.0/24" for n in reversed(range(12))}
    made = settings(environ=names)
    assert [str(network) for network in made.forwarded.trusted] == [
        f"10.0.{n}.0/24" for n in range(12)
    ]


@pytest.mark.parametrize(
    "value", ["[10.0.0.0/8, 192.168.0.0/16]", '["10.0.0.0/8","192.168.0.0/16"]']
)
def test_a_whole_list_is_given_as_yaml_or_json(value: str) -> None:
    made = settings(environ={"GATEWAY__TRUSTED_PROXIES": value})
    assert [str(network) for network in made.forwarded.trusted] == ["10.0.0.0/8", "192.168.0.0/16"]


def test_a_whole_list_comes_before_its_entries() -> None:
    made = settings(
        environ={
            "GATEWAY__TRUSTED_PROXIES__0": "10.1.0.0/16",
            "GATEWAY__TRUSTED_PROXIES": "[10.0.0.0/8, 192.168.0.0/16]",
        }
    )
    assert [str(network) for network in made.forwarded.trusted] == ["10.1.0.0/16", "192.168.0.0/16"]


def test_an_underscore_stands_for_the_hyphen_of_a_providers_name() -> None:
    made = settings(
        {"providers.entra-id": {"client_id": "x", "client_secret": {"env": "CLIENT_SECRET"}}},
        environ={"GATEWAY__PROVIDERS__ENTRA_ID__ISSUER": "https://login.example.com"},
    )
    assert [client.provider for client in made.clients] == ["main", "entra-id"]
    assert made.clients[1].issuer == "https://login.example.com"


def test_an_underscore_stays_one_in_other_names() -> None:
    made = settings(environ={"GATEWAY__PROVIDERS__MAIN__EXTRA_PARAMETERS__DOMAIN_HINT": "x"})
    assert made.clients[0].extra_parameters == (("domain_hint", "x"),)


def test_a_reference_to_a_secret_can_come_whole_or_in_parts() -> None:
    whole = settings(environ={"GATEWAY__KEYS__0__SECRET": "{env: OTHER_KEY}"})
    parts = settings({"keys.0.secret": {}}, environ={"GATEWAY__KEYS__0__SECRET__ENV": "OTHER_KEY"})
    assert whole.keys[0].material == parts.keys[0].material
    assert OTHER_KEY not in repr(whole)


def test_a_store_address_can_come_as_text_or_as_a_reference() -> None:
    plain = settings(environ={"GATEWAY__STORE__URL": "redis://elsewhere:6379/1"})
    assert plain.store.url.reveal() == "redis://elsewhere:6379/1"
    named = settings(
        environ={"GATEWAY__STORE__URL": "{env: REDIS_URL}", "REDIS_URL": "redis://:pw@elsewhere"}
    )
    assert named.store.url.reveal() == "redis://:pw@elsewhere"


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY__LISTEN__PROT",
        "GATEWAY__NOTHING",
        "GATEWAY__",
        "GATEWAY____",
        "GATEWAY__LISTEN__PORT__MORE",
        "GATEWAY__KEYS__FIRST__ID",
        "GATEWAY__KEYS__7__ID",
        "GATEWAY__KEYS__-1__ID",
        "GATEWAY__TRUSTED_PROXIES__0__X",
        "GATEWAY__PROVIDERS__MAIN__CLIENT_SECRT__ENV",
    ],
)
def test_a_variable_that_names_no_setting_is_an_error(name: str) -> None:
    assert errors(environ={name: "x"}) == [name]


def test_the_name_that_was_meant_is_suggested() -> None:
    _, (finding,) = check(environ={"GATEWAY__PROVIDERS__MAIN__ISUER": "x"})
    assert "GATEWAY__PROVIDERS__MAIN__ISSUER" in finding.message


def test_variables_of_others_are_left_alone() -> None:
    assert errors(environ={"GATEWAY_HOST": "x", "GATEWAYS__A": "y", "_GATEWAY__A": "z"}) == []


def test_two_variables_for_one_setting_are_an_error() -> None:
    names = {"GATEWAY__LISTEN__PORT": "1", "GATEWAY__listen__PORT": "2"}
    (found,) = errors(environ=names)
    assert found in names


def test_a_variable_with_broken_yaml_is_an_error_and_is_not_repeated() -> None:
    _, (finding,) = check(environ={"GATEWAY__TRUSTED_PROXIES": "[hunter2"})
    assert finding.path == "GATEWAY__TRUSTED_PROXIES"
    assert "hunter2" not in str(finding)


def test_a_secret_in_a_variable_of_ours_is_refused_and_not_repeated() -> None:
    _, (finding,) = check(environ={"GATEWAY__PROVIDERS__MAIN__CLIENT_SECRET": "hunter2"})
    assert finding.path == "providers.main.client_secret"
    assert finding.source == "GATEWAY__PROVIDERS__MAIN__CLIENT_SECRET"
    assert "hunter2" not in str(finding)


def test_a_finding_names_the_variable_a_wrong_value_came_from() -> None:
    _, (finding,) = check(environ={"GATEWAY__LISTEN__PORT": "eighty"})
    assert (finding.path, finding.source) == ("listen.port", "GATEWAY__LISTEN__PORT")


def test_an_empty_variable_is_no_way_to_unset_text() -> None:
    assert errors(environ={"GATEWAY__PUBLIC_ORIGIN": ""}) == ["public_origin"]


def test_a_wrong_structure_in_the_file_is_reported_once() -> None:
    found = errors({"listen": "8080"}, environ={"GATEWAY__LISTEN__PORT": "8080"})
    assert set(found) == {"GATEWAY__LISTEN__PORT", "listen"}
