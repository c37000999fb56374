"""From plain values to sections: types, ranges, unknown and missing keys, all reported at once.

Every section is read by itself, and what is unusable in it is replaced by a stand-in, so that one
mistake does not hide the next. Findings about stand-ins are dropped by the report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.document import Document
from gateway.config.findings import Path, Report
from gateway.config.provider_section import ProviderSection
from gateway.config.route_section import RouteSection
from gateway.config.section import Section
from gateway.config.sections import (
    AdminSection,
    BackChannelSection,
    Basics,
    KeySection,
    LimitsSection,
    ListenSection,
    LoginSection,
    LogSection,
    SessionSection,
    StoreSection,
)
from gateway.config.values import meant

S = TypeVar("S", bound=Section)

_NOT_A_MAPPING = "must be a mapping: lines of the form `key: value`"
_NOT_A_LIST = "must be a list: lines that begin with a hyphen, or [a, b]"

_MESSAGES = {
    "string_type": "must be text; numbers, dates and yes or no need quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "list_type": _NOT_A_LIST,
    "dict_type": _NOT_A_MAPPING,
    "model_type": _NOT_A_MAPPING,
}
_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}


@dataclass(frozen=True, slots=True)
class Sections:
    """The document, section by section. Entries of lists and mappings know their place."""

    basics: Basics
    listen: ListenSection
    admin: AdminSection
    store: StoreSection
    session: SessionSection
    login: LoginSection
    limits: LimitsSection
    back_channel: BackChannelSection
    log: LogSection
    keys: tuple[tuple[Path, KeySection], ...]
    providers: tuple[tuple[str, ProviderSection], ...]
    routes: tuple[tuple[Path, RouteSection], ...]


def read_sections(values: Mapping[str, object], report: Report) -> Sections:
    """Return every section, whatever is wrong; the report says what is."""
    parts = Document.model_fields.keys() - Basics.model_fields.keys()
    top = {name: value for name, value in values.items() if name not in parts}
    return Sections(
        basics=_section(Basics, top, (), report, known=tuple(Document.model_fields)),
        listen=_section(ListenSection, values.get("listen"), ("listen",), report),
        admin=_section(AdminSection, values.get("admin"), ("admin",), report),
        store=_section(StoreSection, values.get("store"), ("store",), report, required=True),
        session=_section(SessionSection, values.get("session"), ("session",), report),
        login=_section(LoginSection, values.get("login"), ("login",), report),
        limits=_section(LimitsSection, values.get("limits"), ("limits",), report),
        back_channel=_section(
            BackChannelSection, values.get("back_channel"), ("back_channel",), report
        ),
        log=_section(LogSection, values.get("log"), ("log",), report),
        keys=_entries(KeySection, values.get("keys"), "keys", report),
        providers=_named(ProviderSection, values.get("providers"), "providers", report),
        routes=_entries(RouteSection, values.get("routes"), "routes", report),
    )


def _entries(
    model: type[S], value: object, name: str, report: Report
) -> tuple[tuple[Path, S], ...]:
    if value is None or value == []:
        report.unreadable((name,), f"is required: {_described(Document, name)}")
        return ()
    if not isinstance(value, list):
        report.unreadable((name,), _NOT_A_LIST)
        return ()
    return tuple(
        ((name, number), _section(model, entry, (name, number), report, required=True))
        for number, entry in enumerate(value)
    )


def _named(model: type[S], value: object, name: str, report: Report) -> tuple[tuple[str, S], ...]:
    if value is None or value == {}:
        report.unreadable((name,), f"is required: {_described(Document, name)}")
        return ()
    if not isinstance(value, dict):
        report.unreadable((name,), _NOT_A_MAPPING)
        return ()
    return tuple(
        (key, _section(model, entry, (name, key), report, required=True))
        for key, entry in value.items()
        if isinstance(key, str)
    )


def _section(
    model: type[S],
    value: object,
    path: Path,
    report: Report,
    *,
    required: bool = False,
    known: tuple[str, ...] = (),
) -> S:
    """Return the section; a stand-in takes the place of every value that is unusable or missing."""
    if value is None and required:
        report.unreadable(path, "is required")
    if value is not None and not isinstance(value, dict):
        report.unreadable(path, _NOT_A_MAPPING)
        value = None
    # A key without a value is a key that was not set.
    given = _pruned(value or {})
    try:
        return model.model_validate(given)
    except ValidationError as invalid:
        mistakes = invalid.errors(include_url=False, include_input=False)
    for mistake in sorted(mistakes, key=lambda one: one["type"] != "extra_forbidden"):
        _report(mistake, model, path, report, known or tuple(model.model_fields))
    return model.model_validate(_repaired(given, mistakes, model))


def _pruned(value: Mapping[Any, object]) -> dict[Any, object]:
    return {
        key: _pruned(item) if isinstance(item, dict) else item
        for key, item in value.items()
        if item is not None
    }


def _repaired(
    given: dict[Any, object], mistakes: list[ErrorDetails], model: type[Section]
) -> dict[Any, object]:
    repaired = dict(given)
    for mistake in mistakes:
        top = mistake["loc"][0]
        repaired.pop(top, None)
        if isinstance(top, str) and top in model.model_fields:
            field = model.model_fields[top]
            if field.is_required():
                repaired[top] = (field.examples or [None])[0]
    return repaired


def _report(
    mistake: ErrorDetails, model: type[Section], path: Path, report: Report, known: tuple[str, ...]
) -> None:
    where = (*path, *mistake["loc"])
    owner = _model_at(model, mistake["loc"][:-1])
    name = mistake["loc"][-1]
    if mistake["type"] != "extra_forbidden":
        # The section was to hold something else than the key that is wrong in it.
        report.error(where, _message(mistake, owner))
        report.stand_in((*path, mistake["loc"][0]))
        return
    if isinstance(name, str) and name in owner.explained:
        report.unreadable(where, owner.explained[name])
        return
    near = meant(name, known if owner is model else owner.model_fields)
    report.unreadable(where, f"unknown key; did you mean {near}?" if near else "unknown key")
    if near:
        report.stand_in((*where[:-1], near))


def _message(mistake: ErrorDetails, owner: type[Section]) -> str:
    kind, context = mistake["type"], mistake.get("ctx", {})
    if kind == "missing":
        return f"is required: {_described(owner, str(mistake['loc'][-1]))}"
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]}"
    return _MESSAGES.get(kind, "is not valid")


def _described(model: type[Section], name: str) -> str:
    """Return the first sentence about a key."""
    field = model.model_fields.get(name)
    return ((field.description if field else None) or "").partition(". ")[0].rstrip(".")


def _model_at(model: type[Section], location: tuple[int | str, ...]) -> type[Section]:
    for part in location:
        field = model.model_fields.get(str(part))
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
        model = inner[0] if inner else model
    return model
