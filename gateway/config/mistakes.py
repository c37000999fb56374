"""One section, read by pydantic; its errors become findings, and the rest is still used.

What is unusable or missing gets a stand-in: the key's default, or its example where there is no
default. So one mistake does not hide the next, and what is found about a stand-in is dropped by
the report.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.findings import Path, Report
from gateway.config.section import Section
from gateway.config.values import meant

S = TypeVar("S", bound=Section)

NOT_A_MAPPING = "must be a mapping: lines of the form `key: value`"
NOT_A_LIST = "must be a list: lines that begin with a hyphen, or [a, b]"
NOT_TEXT = "a key that is not text (a number, a date, yes or no); put it in quotes"

_MESSAGES = {
    "invalid_key": NOT_TEXT,
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "list_type": NOT_A_LIST,
    "dict_type": NOT_A_MAPPING,
    "model_type": NOT_A_MAPPING,
}
_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}


def read_section(
    model: type[S],
    value: object,
    path: Path,
    report: Report,
    *,
    required: bool = False,
    known: tuple[str, ...] = (),
    present: Mapping[str, object] | None = None,
) -> S:
    """Return the section; a stand-in takes the place of every value that is unusable or missing.

    `known` and `present` are the keys there could be and are, if the section is only a part.
    """
    if value is None and required:
        report.unreadable(path, "is required")
    if value is not None and not isinstance(value, dict):
        report.unreadable(path, NOT_A_MAPPING)
        value = None
    # A key without a value is a key that was not set.
    given = _pruned(value or {})
    try:
        return model.model_validate(given)
    except ValidationError as invalid:
        mistakes = invalid.errors(include_url=False, include_input=False)
    unknown = [mistake for mistake in mistakes if mistake["type"] == "extra_forbidden"]
    unusable = [mistake for mistake in mistakes if mistake["type"] != "extra_forbidden"]
    repaired = given
    for mistake in unknown:  # first: they explain what is missing
        repaired = _with(repaired, mistake["loc"], None)
        _report_unknown(mistake["loc"], model, present or given, path, known, report)
    for mistake in unusable:
        report.error((*path, *mistake["loc"]), _message(mistake, model))
    for mistake in unusable:
        location, field = _field(model, mistake["loc"])
        report.stand_in((*path, *location))
        needed = field is not None and field.is_required()
        example = (field.examples or [None])[0] if field and needed else None
        repaired = _with(repaired, location, example)
    return model.model_validate(repaired)


def described(model: type[Section], name: str) -> str:
    """Return the first sentence about a key."""
    field = model.model_fields.get(name)
    return ((field.description if field else None) or "").partition(". ")[0].rstrip(".")


def _pruned(value: Mapping[Any, object]) -> dict[Any, object]:
    return {
        key: _pruned(item) if isinstance(item, dict) else item
        for key, item in value.items()
        if item is not None
    }


def _with(
    values: Mapping[Any, object], location: tuple[int | str, ...], value: object
) -> dict[Any, object]:
    """Return a copy with the value at this location, or with nothing there if it is None."""
    top, *below = location
    changed = dict(values)
    inner = changed.get(top)
    if below and isinstance(inner, dict):
        changed[top] = _with(inner, tuple(below), value)
    elif value is None:
        changed.pop(top, None)
    else:
        changed[top] = value
    return changed


def _field(
    model: type[Section], location: tuple[int | str, ...]
) -> tuple[tuple[int | str, ...], FieldInfo | None]:
    """Return the location of the innermost section's key, without what lies inside its value."""
    for depth, part in enumerate(location):
        field = model.model_fields.get(str(part))
        inner = _inner(field)
        if inner is None or depth == len(location) - 1:
            return location[: depth + 1], field
        model = inner
    return location, None


def _owner(model: type[Section], location: tuple[int | str, ...]) -> type[Section]:
    """Return the section that the last key of the location belongs to."""
    for part in location[:-1]:
        model = _inner(model.model_fields.get(str(part))) or model
    return model


def _inner(field: FieldInfo | None) -> type[Section] | None:
    kinds = (field.annotation, *get_args(field.annotation)) if field else ()
    sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
    return sections[0] if sections else None


def _report_unknown(
    location: tuple[int | str, ...],
    model: type[Section],
    present: Mapping[Any, object],
    path: Path,
    known: tuple[str, ...],
    report: Report,
) -> None:
    *above, name = location
    where = (*path, *location)
    owner = _owner(model, location)
    if isinstance(name, str) and name in owner.explained:
        report.error(where, owner.explained[name])
        return
    near = meant(name, known or tuple(owner.model_fields))
    report.error(where, f"unknown key; did you mean {near}?" if near else "unknown key")
    beside: object = present
    for part in above:
        beside = beside.get(part) if isinstance(beside, Mapping) else None
    if near and isinstance(beside, Mapping) and near not in beside:
        report.stand_in((*where[:-1], near))  # or it would be reported as missing, too


def _message(mistake: ErrorDetails, model: type[Section]) -> str:
    kind, context = mistake["type"], mistake.get("ctx", {})
    if kind == "missing":
        about = described(_owner(model, mistake["loc"]), str(mistake["loc"][-1]))
        return f"is required: {about}"
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]}"
    return _MESSAGES.get(kind, "is not valid")
