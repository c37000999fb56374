"""The kinds of values a configuration has, as pydantic types with messages for operators.

Each class is put into `Annotated` and validates one kind of value. The messages never repeat the
value: it may be a secret that strayed.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]+) ?(B|KiB|MiB|GiB)?")
_OCTETS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def meant(written: object, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant, if any."""
    if not isinstance(written, str):
        return None
    known = {name.lower(): name for name in names}
    close = get_close_matches(written.strip().lower(), known, n=1, cutoff=0.6)
    return known[close[0]] if close else None


class _Kind:
    """Pydantic's two hooks, for values that one function reads and one schema describes."""

    def read(self, value: object) -> object:
        raise NotImplementedError

    def schema(self) -> JsonSchemaValue:
        raise NotImplementedError

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        read: Callable[[object], object] = self.read
        return core_schema.no_info_plain_validator_function(read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return self.schema()


@dataclass(frozen=True, slots=True)
class Choice(_Kind):
    """One of a few words; `refused` explains words that other products accept."""

    allowed: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)

    def read(self, value: object) -> str:
        """Return the word; raises ValueError."""
        if isinstance(value, str):
            if value in self.allowed:
                return value
            if value.lower() in self.refused:
                raise ValueError(self.refused[value.lower()])
        near = meant(value, self.allowed)
        hint = f" (did you mean {near}?)" if near else ""
        raise ValueError(f"must be one of {', '.join(self.allowed)}{hint}")

    def schema(self) -> JsonSchemaValue:
        """Return the words."""
        return {"type": "string", "enum": list(self.allowed)}


@dataclass(frozen=True, slots=True)
class Duration(_Kind):
    """Seconds as a number, or a number with a unit; between `low` and `high`, both included."""

    low: str
    high: str

    def read(self, value: object) -> float:
        """Return seconds; raises ValueError."""
        seconds = _seconds(value)
        if seconds is None:
            raise ValueError("must be a duration: seconds, or a number with ms, s, m, h or d")
        low, high = _seconds(self.low) or 0.0, _seconds(self.high) or 0.0
        if not low <= seconds <= high:
            raise ValueError(f"must be between {self.low} and {self.high}")
        return seconds

    def schema(self) -> JsonSchemaValue:
        """Return both spellings."""
        return {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": f"^{_DURATION.pattern}$"},
            ]
        }


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) and value >= 0 else None
    matched = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(matched[1]) * _SECONDS[matched[2] or "s"] if matched else None


@dataclass(frozen=True, slots=True)
class Size(_Kind):
    """Octets as a whole number, or with a binary unit; between `low` and `high`."""

    low: str
    high: str

    def read(self, value: object) -> int:
        """Return octets; raises ValueError."""
        octets = _octets(value)
        if octets is None:
            raise ValueError("must be a size: bytes, or a whole number with KiB, MiB or GiB")
        low, high = _octets(self.low) or 0, _octets(self.high) or 0
        if not low <= octets <= high:
            raise ValueError(f"must be between {self.low} and {self.high}")
        return octets

    def schema(self) -> JsonSchemaValue:
        """Return both spellings."""
        return {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": f"^{_SIZE.pattern}$"},
            ]
        }


def _octets(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    matched = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(matched[1]) * _OCTETS[matched[2] or "B"] if matched else None


@dataclass(frozen=True, slots=True)
class Text(_Kind):
    """One line of visible text, at most `longest` characters."""

    longest: int = 2048

    def read(self, value: object) -> str:
        """Return the text; raises ValueError."""
        if not isinstance(value, str):
            raise ValueError("must be text; numbers, dates and yes or no need quotes")  # noqa: TRY004  pydantic wants ValueError
        if not value or value != value.strip():
            raise ValueError("must not be empty, nor begin or end with a space")
        if not value.isprintable():
            raise ValueError("must be one line of visible characters")
        if len(value) > self.longest:
            raise ValueError(f"must not be longer than {self.longest} characters")
        return value

    def schema(self) -> JsonSchemaValue:
        """Return a plain text."""
        return {"type": "string", "minLength": 1, "maxLength": self.longest}


class Workers(_Kind):
    """A number of processes, or `auto` for one per core, which is 0 afterwards."""

    most = 256

    def read(self, value: object) -> int:
        """Return the number; raises ValueError."""
        if value == "auto":
            return 0
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= self.most:
            return value
        raise ValueError(f"must be auto, or a whole number from 1 to {self.most}")

    def schema(self) -> JsonSchemaValue:
        """Return both spellings."""
        return {
            "anyOf": [
                {"type": "string", "enum": ["auto"]},
                {"type": "integer", "minimum": 1, "maximum": self.most},
            ]
        }


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is, never what it is. Exactly one of the two is set."""

    env: str = field(default="", repr=False)  # a secret may have been written here by mistake
    file: str = field(default="", repr=False)


_PLACES = {
    "env": "The name of an environment variable.",
    "file": "The path of a file, relative to the configuration file.",
}


class BySecretReference(_Kind):
    """`{env: NAME}` or `{file: PATH}`."""

    def read(self, value: object) -> SecretReference:
        """Return the reference; raises ValueError."""
        if not isinstance(value, dict):
            raise ValueError(  # noqa: TRY004  pydantic wants ValueError
                "a secret is never written here: name its place, {env: NAME} or {file: PATH}, "
                "and replace this one, for it has been stored in clear"
            )
        if len(value) != 1 or not value.keys() <= _PLACES.keys():
            near = next((name for key in value if (name := meant(key, _PLACES))), None)
            hint = f" (did you mean {near}?)" if near and near not in value else ""
            raise ValueError(f"must be either {{env: NAME}} or {{file: PATH}}{hint}")
        ((kind, name),) = value.items()
        if not isinstance(name, str) or not name.strip():
            raise ValueError("needs the name of an environment variable or the path of a file")
        return SecretReference(**{kind: name})

    def schema(self) -> JsonSchemaValue:
        """Return the two forms."""
        return {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {kind: {"type": "string", "minLength": 1, "description": about}},
                    "required": [kind],
                    "additionalProperties": False,
                }
                for kind, about in _PLACES.items()
            ]
        }


class Address(_Kind):
    """A store's address in clear, or a reference to one that holds a password."""

    def read(self, value: object) -> str | SecretReference:
        """Return the address or the reference; raises ValueError."""
        if isinstance(value, dict):
            return BySecretReference().read(value)
        return Text().read(value)

    def schema(self) -> JsonSchemaValue:
        """Return both forms."""
        return {"anyOf": [Text().schema(), *BySecretReference().schema()["oneOf"]]}
