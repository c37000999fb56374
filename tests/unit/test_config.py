"""Configuration as its callers see it: all mistakes at once, and never a secret."""

import json
import pickle
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import config
from gateway.config import Finding, Level
from gateway.errors import Misconfigured
from tests.unit.config.documents import ABSENT, BASE, ENVIRON, OTHER_KEY, RING_KEY, document

MARKER = "hunter2Marker"

EVERYTHING: dict[str, Any] = document(
    {
        "listen.accepted_hosts": ["gw:1"],
        "listen.workers": "auto",
        "admin": {"host": "127.0.0.1", "port": 9090},
        "trusted_proxies": ["10.0.0.0/8"],
        "store.prefix": "gw:",
        "store.username": "x",
        "store.password": {"env": "CLIENT_SECRET"},
        "store.ca_file": "ca.pem",
        "store.command_timeout": "1s",
        "session": {"idle_timeout": "30m", "same_site": "strict"},
        "login": {"default_return_to": "/", "errors_to": "page"},
        "limits": {"max_body_bytes": "1MiB"},
        "back_channel": {"ca_file": "ca.pem"},
        "log": {"level": "info"},
        "dangerously_trust_all_proxies": False,
        "providers.main.client_auth": "client_secret_basic",
        "providers.main.private_key": {"file": "key.pem"},
        "providers.main.scopes": ["openid"],
        "providers.main.extra_parameters": {"audience": "x"},
        "providers.main.post_logout_redirect_uri": "/bff/logged-out",
        "providers.main.endpoints": {"token_endpoint": "https://x/"},
        "providers.main.acr_values": ["x"],
        "providers.main.leeway": 5,
        "routes.0.access": "session",
        "routes.0.token": "user",
        "routes.0.scopes": ["openid"],
        "routes.0.methods": ["GET"],
        "routes.0.pass_cookies": ["theme"],
        "routes.0.content_security_policy": "x",
    }
)


def places(value: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document, branches and leaves."""
    if above:
        yield above
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*above, key))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*above, number))


PLACES = list(places(EVERYTHING))


def spoiled(place: tuple[str | int, ...], value: object) -> dict[str, Any]:
    changed: Any = deepcopy(EVERYTHING)
    inside = changed
    for part in place[:-1]:
        inside = inside[part]
    inside[place[-1]] = value
    whole: dict[str, Any] = changed
    return whole


def check(text: str, environ: dict[str, str] | None = None) -> list[Finding]:
    return config.check_text(text, Path("/nowhere"), {**ENVIRON, **(environ or {})})[1]


# -- the four ways in -----------------------------------------------------------------------------


def test_a_file_is_loaded_and_relative_paths_start_from_it(tmp_path: Path) -> None:
    (tmp_path / "ring.key").write_text(RING_KEY)
    (tmp_path / "ring.key").chmod(0o600)
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(document({"keys.0.secret": {"file": "ring.key"}})))
    made, findings = config.check(file, ENVIRON)
    assert findings == []
    assert made == config.load(file, ENVIRON)


def test_a_text_is_loaded_like_a_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(BASE))
    assert config.load_text(file.read_text(), tmp_path, ENVIRON) == config.load(file, ENVIRON)


def test_only_the_environment_that_was_handed_over_counts() -> None:
    with pytest.raises(Misconfigured):
        config.load_text(yaml.safe_dump(BASE), Path(), {})


def test_a_wrong_configuration_is_raised_with_one_line_per_error() -> None:
    changes = {"listen.port": 0, "log": {"level": "loud"}, "admin": {"host": "0.0.0.0"}}
    text = yaml.safe_dump(document(changes))
    with pytest.raises(Misconfigured) as raised:
        config.load_text(text, Path(), ENVIRON)
    assert len(raised.value.findings) == 2
    assert all("\n" not in finding for finding in raised.value.findings)
    assert [finding.partition(":")[0] for finding in raised.value.findings] == [
        "listen.port",
        "log.level",
    ]


def test_warnings_alone_do_not_forbid_a_start() -> None:
    made, findings = config.check_text(
        yaml.safe_dump(document({"admin": {"host": "0.0.0.0"}})), Path(), ENVIRON
    )
    assert made is not None
    assert [finding.level for finding in findings] == [Level.WARNING]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "gateway.yaml"
    if content is not None:
        file.write_bytes(content)
    made, (finding,) = config.check(file, ENVIRON)
    assert made is None
    assert (finding.level, finding.path) == (Level.ERROR, str(file))
    with pytest.raises(Misconfigured):
        config.load(file, ENVIRON)


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    made, findings = config.check(tmp_path, ENVIRON)
    assert made is None
    assert len(findings) == 1


# -- all at once ----------------------------------------------------------------------------------

MANY = {
    "public_origin": "http://app.example.com",
    "listne": {},
    "listen.port": 70000,
    "admin": {"port": "x"},
    "trusted_proxies": ["0.0.0.0/0", "x"],
    "store.url": "redis://:pw@redis",
    "keys.0.id": ABSENT,
    "keys.0.secret": {"env": "WEAK"},
    "session": {"same_site": "none", "refresh_margin": "x"},
    "providers.main.client_auth": "none",
    "providers.main.issuer": "http://id.example.com",
    "providers.main.scopes": ["profile"],
    "providers.main.zzz": 1,
    "routes.0.path": "/bff/x",
    "routes.0.upstream": "http://localhost:9090",
    "routes.1": {"path": "/x", "upstream": "y", "access": "z"},
}


def test_every_mistake_is_found_in_one_go_with_its_path_and_line() -> None:
    findings = check(yaml.safe_dump(document(MANY), sort_keys=False), {"WEAK": "changeme"})
    assert sorted(finding.path for finding in findings) == [
        "admin.port",
        "keys[0].id",
        "keys[0].secret",
        "listen.port",
        "listne",
        "providers.main.client_auth",
        "providers.main.issuer",
        "providers.main.scopes",
        "providers.main.zzz",
        "public_origin",
        "routes[0].path",
        "routes[0].upstream",
        "routes[1].access",
        "routes[1].upstream",
        "session.refresh_margin",
        "session.same_site",
        "store.url",
        "trusted_proxies[0]",
        "trusted_proxies[1]",
    ]
    assert all(finding.source.startswith("line ") for finding in findings)


def test_findings_come_in_the_order_of_the_file_errors_first() -> None:
    text = (
        "log: {level: x}\nadmin: {host: 0.0.0.0}\nlisten: {port: 0}\nlimits: {max_body_bytes: x}\n"
    )
    base = {key: value for key, value in BASE.items() if key != "listen"}
    findings = check(text + yaml.safe_dump(base))
    assert [finding.path for finding in findings] == [
        "log.level",
        "listen.port",
        "limits.max_body_bytes",
        "admin.host",
    ]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", [None, 0, True, "", [[]], {"x": {}}, 10**30])
def test_no_value_anywhere_makes_more_than_a_finding(
    place: tuple[str | int, ...], value: object
) -> None:
    """Neither an exception, nor a line break in a finding."""
    for finding in check(json.dumps(spoiled(place, value))):  # YAML, and much faster to write
        assert finding.path
        assert finding.message
        assert "\n" not in str(finding)


def test_findings_are_rendered_one_to_a_line_with_a_count() -> None:
    findings = [
        Finding(Level.ERROR, "listen.port", "must be a number", "line 3"),
        Finding(Level.ERROR, "store", "is required"),
        Finding(Level.WARNING, "admin.host", "is not a loopback address"),
    ]
    lines = config.render(findings).splitlines()
    assert len(lines) == 4
    assert "listen.port" in lines[0]
    assert "line 3" in lines[0]
    assert lines[2].startswith("warning")
    assert lines[3] == "2 errors, 1 warning"
    assert config.render([]) == ""


# -- never a secret -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_in_the_wrong_place_is_never_repeated(place: tuple[str | int, ...]) -> None:
    wrong: list[object] = [
        MARKER,
        f"https://{MARKER}@x:{MARKER}/{MARKER}?{MARKER}#{MARKER}",
        f"redis://:{MARKER}@{MARKER}/{MARKER}",
        f"{MARKER}\n{MARKER}",
        MARKER * 200,
        [MARKER],
        {"env": MARKER},
        {"file": MARKER},
        [{"id": MARKER, "secret": MARKER}],
    ]
    for value in wrong:
        if place[-1] == "file":
            continue  # the name of a file is told, or nobody would find the mistake
        text = json.dumps(spoiled(place, value))
        findings = check(text)
        assert MARKER not in config.render(findings)
        assert MARKER not in repr(findings)


@pytest.mark.parametrize(
    "secret",
    [
        MARKER,
        f"*{MARKER}",
        f"&{MARKER}",
        f"!{MARKER}",
        f"!{MARKER} x",
        f"!!{MARKER} x",
        f"!{MARKER}!x y",
        f"%{MARKER}",
        f"@{MARKER}",
        f"`{MARKER}",
        f"'{MARKER}",
        f'"{MARKER}',
        f'"\\{MARKER}"',
        f"|{MARKER}",
        f">{MARKER}",
        f"{{{MARKER}",
        f"{{{MARKER}}}",
        f"{{{MARKER}: x}}",
        f"{{? {MARKER}}}",
        f"[{MARKER}",
        f"a: {MARKER}",
        f"- {MARKER}",
        f"\t{MARKER}",
        f"!!int {MARKER}",
        f"!!binary {MARKER}",
        f"!!python/name:{MARKER}",
        f"{{env: {MARKER}}}",
        f"{{file: {MARKER}}}",
        f"{{evn: {MARKER}}}",
        f"{MARKER}: {MARKER}: x",
    ],
)
def test_a_secret_that_yaml_trips_over_is_never_repeated(secret: str) -> None:
    text = yaml.safe_dump(BASE).replace("env: CLIENT_SECRET", "XX").replace("XX", "")
    assert "client_secret:" in text
    text = text.replace("client_secret:\n", f"client_secret: {secret}\n", 1)
    findings = check(text)
    assert findings
    assert MARKER not in config.render(findings)


def test_a_secret_in_a_variable_is_never_repeated() -> None:
    names = [
        "GATEWAY__" + "__".join(str(part) for part in place).upper().replace("-", "_")
        for place in PLACES
        if place[-1] != "file"
    ]
    assert len(names) > 50
    text = json.dumps(EVERYTHING)
    for name in names:
        for value in (MARKER, f"[{MARKER}", f"{{env: {MARKER}}}"):
            findings = check(text, {name: value})
            assert MARKER not in config.render(findings)


def test_a_secret_is_not_in_the_exception_either() -> None:
    changes = {"keys.0.secret": MARKER, "store.url": f"redis://:{MARKER}@x"}
    with pytest.raises(Misconfigured) as raised:
        config.load_text(yaml.safe_dump(document(changes)), Path(), {"CLIENT_SECRET": MARKER})
    assert len(raised.value.findings) == 2
    assert MARKER not in repr(raised.value) + str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize("name", ["RING_KEY", "OTHER_KEY", "CLIENT_SECRET", "PASSWORD", "URL"])
def test_a_secret_behind_a_reference_is_never_repeated(name: str) -> None:
    changes = {
        "keys.1": {"id": "old", "secret": {"env": "OTHER_KEY"}},
        "store.password": {"env": "PASSWORD"},
        "store.url": {"env": "URL"},
        "providers.main.private_key": {"env": "CLIENT_SECRET"},
    }
    environ = {**ENVIRON, "OTHER_KEY": OTHER_KEY, "PASSWORD": "x", "URL": "redis://redis"}
    for value in (
        MARKER,
        f"{MARKER}\n\n{MARKER}",
        f"redis://:{MARKER}@x/y/{MARKER}",
        f"\x00{MARKER}",
    ):
        text = yaml.safe_dump(document(changes))
        made, findings = config.check_text(text, Path(), {**environ, name: value})
        assert MARKER not in config.render(findings)
        assert MARKER not in repr(made)


# -- what comes out -------------------------------------------------------------------------------


def test_settings_cannot_be_changed_or_carried_away() -> None:
    made = config.load_text(yaml.safe_dump(BASE), Path(), ENVIRON)
    with pytest.raises(FrozenInstanceError):
        made.dangers = ("x",)  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError):
        pickle.dumps(made)


def test_the_contracts_own_example_loads(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_text("")
    (tmp_path / "gateway-key").write_text(RING_KEY)
    (tmp_path / "gateway-key").chmod(0o600)
    text = """
public_origin: https://app.example.com
listen: {host: 0.0.0.0, port: 8080, workers: auto}
admin: {host: 127.0.0.1, port: 9090}
trusted_proxies: [10.0.0.0/8]
store: {url: "redis://redis:6379/0", prefix: "gw:"}
keys:
  - {id: 2026-11, secret: {file: gateway-key}}
session: {idle_timeout: 30m, absolute_timeout: 12h, refresh_margin: 60s, same_site: strict}
providers:
  main:
    issuer: https://id.example.com/realms/main
    client_id: spa-gateway
    client_auth: client_secret_basic
    client_secret: {env: CLIENT_SECRET}
    scopes: [openid, profile, offline_access, orders.read]
routes:
  - path: /api/orders/
    upstream: http://orders:8080/v1/
    access: session
    token: user
    scopes: [orders.read]
    methods: [GET, POST]
  - path: /
    static: ./dist
    access: public
"""
    made, findings = config.check_text(text, tmp_path, ENVIRON)
    assert findings == []
    assert made is not None
    assert [route.path for route in made.routes] == ["/api/orders/", "/"]
