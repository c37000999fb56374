"""The files in `config/`: every one loads, and together with the reference they tell the truth."""

import base64
import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gateway import config
from gateway.config import Level
from gateway.settings import Settings
from tests.support.provider import EC_KEY as PROVIDER_KEY

FOLDER = Path(__file__).parents[3] / "config"
NAMES = sorted(path.name for path in FOLDER.glob("*.yaml"))

PEM = PROVIDER_KEY.as_pem(private=True).decode()


def key(name: str) -> str:
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


ENVIRON = {
    "GATEWAY_KEY": key("now"),
    "GATEWAY_KEY_OLD": key("before"),
    "CLIENT_SECRET": "k2Lm-client",
    "PLAIN_CLIENT_SECRET": "p9Qr-client",
    "STORE_PASSWORD": "s4Tv-store",
    "ADMIN_TOKEN": "o7Ny-admin-of-32-characters-or-more",
}


@pytest.fixture
def surroundings(tmp_path: Path) -> Path:
    """A directory with all that the examples refer to."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_text("<!doctype html>")
    (tmp_path / "secrets").mkdir()
    for name, content in (("gateway-key", key("file")), ("partner-key.pem", PEM)):
        (tmp_path / "secrets" / name).write_text(content)
        (tmp_path / "secrets" / name).chmod(0o600)
    for name in ("ca.pem", "gateway.pem", "gateway.key"):
        (tmp_path / name).write_text("")
    return tmp_path


def load(name: str, directory: Path) -> Settings:
    copied = Path(shutil.copy(FOLDER / name, directory))
    return config.load(copied, ENVIRON)


def test_there_is_an_example_for_each_usual_case() -> None:
    assert set(NAMES) >= {
        "minimal.yaml",
        "full.yaml",
        "keycloak.yaml",
        "entra-id.yaml",
        "auth0.yaml",
        "plain-oauth2.yaml",
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_example_loads_without_a_finding(name: str, surroundings: Path) -> None:
    copied = Path(shutil.copy(FOLDER / name, surroundings))
    made, findings = config.check(copied, ENVIRON)
    assert findings == []
    assert made is not None
    assert made.dangers == ()


@pytest.mark.parametrize("name", NAMES)
def test_no_example_starts_without_its_secrets(name: str, surroundings: Path) -> None:
    copied = Path(shutil.copy(FOLDER / name, surroundings))
    made, findings = config.check(copied, {})
    assert made is None
    assert {one.level for one in findings} == {Level.ERROR}
    assert all("environment variable" in one.message for one in findings)


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_of_an_example_stays_hidden(name: str, surroundings: Path) -> None:
    shown = repr(load(name, surroundings))
    assert not [value for value in ENVIRON.values() if value in shown]


def test_the_full_example_shows_every_key() -> None:
    text = (FOLDER / "full.yaml").read_text()
    schema = config.json_schema()
    definitions = [schema, *schema["$defs"].values()]
    names = {name for one in definitions for name in one.get("properties", {})}
    assert len(names) > 60
    assert [name for name in sorted(names) if not re.search(rf"(?m)\b{name}:", text)] == []


def test_the_full_example_shows_the_defaults_it_says_it_shows(surroundings: Path) -> None:
    full, minimal = load("full.yaml", surroundings), load("minimal.yaml", surroundings)
    assert full.session == minimal.session
    assert full.login == minimal.login
    assert full.log == minimal.log
    assert replace(full.admin, token=None) == minimal.admin
    assert full.routes[-1] == minimal.routes[-1]


def test_the_examples_for_providers_have_the_switches_these_need(surroundings: Path) -> None:
    auth0 = load("auth0.yaml", surroundings).clients[0]
    assert auth0.issuer.endswith("/")
    assert "audience" in dict(auth0.extra_parameters)
    assert "offline_access" in auth0.scopes
    entra = load("entra-id.yaml", surroundings).clients[0]
    assert entra.issuer.endswith("/v2.0")
    assert "offline_access" in entra.scopes
    assert not entra.send_id_token_hint
    assert not load("keycloak.yaml", surroundings).clients[0].issuer.endswith("/")
    github = load("plain-oauth2.yaml", surroundings)
    assert github.clients[0].default_token_lifetime >= github.session.absolute_timeout


@pytest.mark.parametrize("name", NAMES)
def test_every_example_says_what_it_is_for(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert text.startswith("# ")
    assert len(re.findall(r"(?m)#", text)) >= 5
    assert yaml.safe_load(text)["public_origin"] == "https://app.example.com"
