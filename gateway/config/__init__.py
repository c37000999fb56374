"""Configuration: a YAML file and the environment in, checked `Settings` out.

The only place that knows pydantic and YAML. In this order:

    yaml_text   text → plain values; repeated keys are errors
    overrides   GATEWAY__A__B=value on top
    reading     plain values → sections (types, ranges, unknown keys), described in *section*.py
    building    sections → settings (what depends on other keys, files and variables)

Everything that is wrong is found in one go; `findings` holds the rules for saying it.
"""

from collections.abc import Mapping
from pathlib import Path

from gateway.config.building import build_settings
from gateway.config.findings import Finding, Level, Report, render
from gateway.config.overrides import apply_overrides
from gateway.config.reading import read_sections
from gateway.config.schema import json_schema
from gateway.config.yaml_text import read_document
from gateway.errors import Misconfigured
from gateway.settings import Settings

__all__ = [
    "Finding",
    "Level",
    "check",
    "check_text",
    "json_schema",
    "load",
    "load_text",
    "render",
]


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings of a file. Raises `Misconfigured` with every mistake."""
    return _or_raise(*check(path, environ))


def load_text(text: str, directory: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings of a text; relative paths in it start from `directory`.

    Raises `Misconfigured` with every mistake.
    """
    return _or_raise(*check_text(text, directory, environ))


def check(path: Path, environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, if there are no errors, and all findings: errors, then warnings."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        return None, [Finding(Level.ERROR, str(path), "is not UTF-8 text")]
    except OSError as trouble:
        why = trouble.strerror or type(trouble).__name__
        return None, [Finding(Level.ERROR, str(path), f"cannot be read: {why}")]
    return check_text(text, path.parent, environ)


def check_text(
    text: str, directory: Path, environ: Mapping[str, str]
) -> tuple[Settings | None, list[Finding]]:
    """Do what `check` does, with a text."""
    report = Report()
    values = read_document(text, report)
    apply_overrides(values, environ, json_schema(), report)
    sections = read_sections(values, report)
    settings = build_settings(sections, directory, environ, report)
    return None if report.has_errors else settings, report.findings


def _or_raise(settings: Settings | None, findings: list[Finding]) -> Settings:
    if settings is None:
        raise Misconfigured([str(one) for one in findings if one.level is Level.ERROR])
    return settings
