"""The schema, the reference and the code say the same."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import config
from tests.unit.config.documents import ABSENT, ENVIRON, check, document

ROOT = Path(__file__).parents[3]
SCHEMA = config.json_schema()
_ROW = re.compile(r"(?m)^\| `([^`]+)` \| (required|-|`[^`]+`) \| (.+) \|$")

Rows = dict[str, tuple[str, str]]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {**SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    return schema


def keys(schema: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every key there is: its path, its schema, and whether it is required."""
    schema = resolved(schema)
    for name, part in schema.get("properties", {}).items():
        inner = resolved(part)
        yield above + name, inner, name in schema.get("required", ())
        if isinstance(inner.get("additionalProperties"), dict):
            yield from keys(inner["additionalProperties"], f"{above}{name}.NAME.")
        if "items" in inner:
            yield from keys(inner["items"], f"{above}{name}[].")
        yield from keys(inner, f"{above}{name}.")


KEYS = {path: (part, required) for path, part, required in keys(SCHEMA)}
SECTIONS = {"listen", "admin", "store", "session", "login", "limits", "back_channel", "log"}


def documented() -> Rows:
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = _ROW.findall(text)
    names = [name for name, _, _ in rows]
    assert len(names) == len(set(names)), "a key is documented twice"
    return {name: (default, meaning) for name, default, meaning in rows}


def test_the_schema_file_is_the_codes_schema() -> None:
    """After a change: `gateway schema > config/schema.json`."""
    written = json.dumps(SCHEMA, indent=2, sort_keys=True) + "\n"
    assert (ROOT / "config" / "schema.json").read_text() == written


def test_the_schema_is_the_same_every_time() -> None:
    assert config.json_schema() == SCHEMA


def test_every_key_of_the_contract_is_there() -> None:
    assert KEYS.keys() >= {
        "public_origin",
        "listen.host",
        "listen.port",
        "listen.workers",
        "admin.host",
        "admin.port",
        "trusted_proxies",
        "store.url",
        "store.prefix",
        "keys[].id",
        "keys[].secret",
        "session.idle_timeout",
        "session.absolute_timeout",
        "session.refresh_margin",
        "session.same_site",
        "providers.NAME.issuer",
        "providers.NAME.client_id",
        "providers.NAME.client_auth",
        "providers.NAME.client_secret",
        "providers.NAME.scopes",
        "routes[].path",
        "routes[].upstream",
        "routes[].access",
        "routes[].token",
        "routes[].scopes",
        "routes[].methods",
        "routes[].static",
    }


@pytest.mark.parametrize("path", KEYS)
def test_every_key_is_described(path: str) -> None:
    description = KEYS[path][0].get("description", "")
    assert len(description) > 8
    assert description.endswith(".")


def test_unknown_keys_are_errors_in_the_schema_too() -> None:
    mappings = [SCHEMA, *SCHEMA["$defs"].values()]
    assert all(one["additionalProperties"] is False for one in mappings)


def test_null_is_no_value_in_the_schema() -> None:
    assert '"null"' not in json.dumps(SCHEMA)


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    assert documented().keys() == KEYS.keys() - SECTIONS


def test_the_documentation_says_what_is_required() -> None:
    required = {path for path, (_, needed) in KEYS.items() if needed} - SECTIONS
    assert {
        path for path, (default, _) in documented().items() if default == "required"
    } == required


@pytest.mark.parametrize("path", sorted(KEYS.keys() - SECTIONS))
def test_the_documented_default_is_the_one_that_counts(path: str) -> None:
    """Writing the default into the file changes nothing; what has none says so."""
    default, _ = documented()[path]
    part, _ = KEYS[path]
    assert (default in ("required", "-")) == ("default" not in part)
    if default in ("required", "-"):
        return
    place = path.replace("NAME", "main").replace("[]", ".0")
    if path == "routes[].content_security_policy":
        assert default == f"`{part['default']}`"
        return
    text = default.strip("`")
    value = text if part.get("type") == "string" else yaml.safe_load(text)
    bare, _ = check({"listen": ABSENT})
    written, findings = check({"listen": {}, place: value})
    assert findings == []
    assert written == bare


def test_the_documented_example_loads() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    environ = {**ENVIRON, "GATEWAY_KEY": ENVIRON["RING_KEY"]}
    made = config.load_text(example, Path("/nowhere"), environ)
    assert made.clients[0].provider == "main"


def test_the_test_document_is_the_schemas_shape() -> None:
    assert document().keys() <= SCHEMA["properties"].keys()


def test_every_danger_is_documented_as_one() -> None:
    dangers = {path for path in KEYS if path.startswith("dangerously_")}
    assert dangers == {"dangerously_allow_insecure_cookies", "dangerously_trust_all_proxies"}
    assert dangers <= documented().keys()
