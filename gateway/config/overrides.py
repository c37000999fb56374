"""Settings from the environment: `GATEWAY__A__B=value` sets `a.b`.

List entries go by number (`GATEWAY__KEYS__0__ID`), the next free number adds one. A whole list or
mapping can be given as YAML or JSON. The schema says which names exist, so that a misspelt
variable is an error like a misspelt key.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from gateway.config.findings import Path, Report
from gateway.config.values import meant
from gateway.config.yaml_text import NotYaml, read_value

PREFIX = "GATEWAY__"
_SEPARATOR = "__"

Schema = Mapping[str, Any]


class _Shape:
    """What the schema allows at one place, with references and unions resolved."""

    def __init__(self, root: Schema, schema: Schema) -> None:
        self._root = root
        self._options = self._resolve(schema)

    def _resolve(self, schema: Schema) -> list[Schema]:
        if "$ref" in schema:
            schema = self._root["$defs"][schema["$ref"].rpartition("/")[2]]
        options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        return [found for one in options for found in self._resolve(one)] or [schema]

    def step(self, part: str) -> "tuple[str | int, _Shape] | None":
        """Return the key or number this part of a variable's name stands for, and its shape."""
        for option in self._options:
            if part in option.get("properties", {}):
                return part, _Shape(self._root, option["properties"][part])
            if part and isinstance(option.get("additionalProperties"), Mapping):
                # Shells allow no hyphens in names; where names have no underscores, those do.
                key = part.replace("_", "-") if "propertyNames" in option else part
                return key, _Shape(self._root, option["additionalProperties"])
            if "items" in option and part.isascii() and part.isdigit():
                return int(part), _Shape(self._root, option["items"])
        return None

    def names(self) -> list[str]:
        """Return the keys there are."""
        return [name for option in self._options for name in option.get("properties", {})]

    def takes_as_it_is(self, text: str) -> bool:
        """Whether the variable's text is the value, instead of YAML for it."""
        kinds = {option.get("type") for option in self._options}
        return kinds == {"string"} or (
            "string" in kinds
            and not text.lstrip().startswith("{")
            and kinds <= {"string", "object"}
        )


def apply_overrides(
    values: dict[str, object], environ: Mapping[str, str], schema: Schema, report: Report
) -> None:
    """Put the environment's settings into `values`, and their names into `report.sources`."""
    named = [
        (*found, name)
        for name in environ
        if name.startswith(PREFIX) and (found := _find(name, schema, report)) is not None
    ]
    # Shorter paths and lower numbers first: a whole list before its entries.
    named.sort(key=lambda one: [(isinstance(part, str), part) for part in one[0]])
    set_by: dict[Path, str] = {}
    for path, shape, name in named:
        if path in set_by:
            report.error((name,), f"this environment variable and {set_by[path]} mean the same")
        set_by[path] = name
        try:
            text = environ[name]
            value = text if shape.takes_as_it_is(text) else read_value(text)
        except NotYaml:
            report.error((name,), "this environment variable holds no valid YAML")
            report.stand_in(path)
            continue
        if _put(values, path, value):
            report.sources[path] = name
        else:
            report.error(
                (name,), "this environment variable finds no place: the list has fewer entries"
            )


def _find(name: str, schema: Schema, report: Report) -> tuple[Path, _Shape] | None:
    path: Path = ()
    shape = _Shape(schema, schema)
    for part in name.removeprefix(PREFIX).lower().split(_SEPARATOR):
        found = shape.step(part)
        if found is None:
            near = meant(part, shape.names())
            parts = [str(known).upper().replace("-", "_") for known in (*path, near)]
            hint = f"did you mean {PREFIX}{_SEPARATOR.join(parts)}?" if near else "remove it"
            shown = name if name.isascii() and name.isprintable() else PREFIX
            report.error((shown,), f"this environment variable names no setting; {hint}")
            return None
        path, shape = (*path, found[0]), found[1]
    return path, shape


def _put(values: dict[str, object], path: Path, value: object) -> bool:
    container: object = values
    for part, following in pairwise(path):
        container = _enter(container, part, [] if isinstance(following, int) else {})
    return _set(container, path[-1], value)


def _enter(container: object, part: str | int, empty: object) -> object:
    present: object = None
    if isinstance(container, dict):
        present = container.get(part)
    elif isinstance(container, list) and isinstance(part, int) and part < len(container):
        present = container[part]
    if present is not None:
        return present
    return empty if _set(container, part, empty) else None


def _set(container: object, part: str | int, value: object) -> bool:
    if isinstance(container, dict):
        container[part] = value
        return True
    if isinstance(container, list) and isinstance(part, int) and part <= len(container):
        container[part : part + 1] = [value]
        return True
    return False
