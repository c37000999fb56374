"""A small configuration that is fine, and ways to spoil it at one place."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from gateway import config
from gateway.config import Finding, Level
from gateway.settings import Settings

RING_KEY = "T7Xl2V0pQ9sM4bWc8ZrEYhKj3NnUaGdF1oLiCxSvBqk"
OTHER_KEY = "pW3kYtB0xVhQm8ZrLc5UeJ1nGdSaF7oTiX4vRyKzN2M"
ENVIRON = {"RING_KEY": RING_KEY, "OTHER_KEY": OTHER_KEY, "CLIENT_SECRET": "w8Jq-client-Zk3v" * 4}

BASE: dict[str, Any] = {
    "public_origin": "https://app.example.com",
    "listen": {"host": "0.0.0.0", "port": 8080},
    "store": {"url": "redis://redis:6379/0"},
    "keys": [{"id": "2026-11", "secret": {"env": "RING_KEY"}}],
    "providers": {
        "main": {
            "issuer": "https://id.example.com",
            "client_id": "spa",
            "client_secret": {"env": "CLIENT_SECRET"},
        }
    },
    "routes": [{"path": "/api/", "upstream": "http://api:9000/v1/"}],
}

ABSENT = object()
"""As a value: the key is taken away."""

Changes = Mapping[str, object]


def document(changes: Changes | None = None) -> dict[str, Any]:
    """The base with values at dotted paths, such as `routes.0.path`, replaced."""
    changed = deepcopy(BASE)
    for path, value in (changes or {}).items():
        *above, last = path.split(".")
        inside: Any = changed
        for part in above:
            inside = inside[int(part)] if part.isdigit() else inside.setdefault(part, {})
        if value is ABSENT:
            del inside[last]
        elif last.isdigit():
            inside[int(last) : int(last) + 1] = [value]
        else:
            inside[last] = value
    return changed


def check(
    changes: Changes | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> tuple[Settings | None, list[Finding]]:
    text = yaml.safe_dump(document(changes), sort_keys=False)
    return config.check_text(text, directory or Path("/nowhere"), {**ENVIRON, **(environ or {})})


def settings(
    changes: Changes | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """The settings of a configuration without errors."""
    made, findings = check(changes, environ, directory)
    assert made is not None, config.render(findings)
    return made


def errors(
    changes: Changes | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> list[str]:
    """The paths of all errors, in order."""
    made, findings = check(changes, environ, directory)
    paths = [one.path for one in findings if one.level is Level.ERROR]
    assert (made is None) == bool(paths)
    return paths


def warnings(
    changes: Changes | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> list[str]:
    """The paths of all warnings of a configuration without errors."""
    made, findings = check(changes, environ, directory)
    assert made is not None, config.render(findings)
    return [one.path for one in findings]


def message(changes: Changes, environ: Mapping[str, str] | None = None) -> str:
    """The text of the only finding."""
    _, findings = check(changes, environ)
    (only,) = findings
    return only.message
