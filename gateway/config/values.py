"""The kinds of values a configuration has, as pydantic types with messages for operators.

Each class is put into `Annotated` and validates one kind of value. The messages never repeat the
value: it may be a secret that strayed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)?")
_FAR_TOO_LONG = 1e18  # seconds; an integer may be too large even for a float
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


class Kind:
    """Pydantic's two hooks, for values that one function reads and one schema describes."""

    def read(self, value: object) -> object:
        """Return the value in its final form; raises ValueError with a message for operators."""
        raise NotImplementedError

    def schema(self) -> JsonSchemaValue:
        """Return the JSON Schema of what may be written."""
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
class Choice(Kind):
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
class Duration(Kind):
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
        return float(value) if 0 <= value < _FAR_TOO_LONG else None
    matched = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(matched[1]) * _SECONDS[matched[2] or "s"] if matched else None


@dataclass(frozen=True, slots=True)
class Size(Kind):
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
class Text(Kind):
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


class Workers(Kind):
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
