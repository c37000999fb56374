"""From plain values to sections: types, ranges, unknown and missing keys, all reported at once.

Every section is read by itself, so that a mistake in one does not hide those in another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from gateway.config.document import Basics, Document
from gateway.config.findings import Path, Report
from gateway.config.mistakes import NOT_A_LIST, NOT_A_MAPPING, NOT_TEXT, described, read_section
from gateway.config.provider_section import ProviderSection
from gateway.config.route_section import RouteSection
from gateway.config.section import Section
from gateway.config.sections import (
    AdminSection,
    BackChannelSection,
    KeySection,
    LimitsSection,
    ListenSection,
    LoginSection,
    LogSection,
    SessionSection,
    StoreSection,
)

S = TypeVar("S", bound=Section)


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
    known = tuple(Document.model_fields)
    return Sections(
        basics=read_section(Basics, top, (), report, known=known, present=values),
        listen=read_section(ListenSection, values.get("listen"), ("listen",), report),
        admin=read_section(AdminSection, values.get("admin"), ("admin",), report),
        store=read_section(StoreSection, values.get("store"), ("store",), report, required=True),
        session=read_section(SessionSection, values.get("session"), ("session",), report),
        login=read_section(LoginSection, values.get("login"), ("login",), report),
        limits=read_section(LimitsSection, values.get("limits"), ("limits",), report),
        back_channel=read_section(
            BackChannelSection, values.get("back_channel"), ("back_channel",), report
        ),
        log=read_section(LogSection, values.get("log"), ("log",), report),
        keys=_entries(KeySection, values.get("keys"), "keys", report),
        providers=_named(ProviderSection, values.get("providers"), "providers", report),
        routes=_entries(RouteSection, values.get("routes"), "routes", report),
    )


def _entries(
    model: type[S], value: object, name: str, report: Report
) -> tuple[tuple[Path, S], ...]:
    if value is None or value == []:
        report.unreadable((name,), f"is required: {described(Document, name)}")
        return ()
    if not isinstance(value, list):
        report.unreadable((name,), NOT_A_LIST)
        return ()
    return tuple(
        ((name, number), read_section(model, entry, (name, number), report, required=True))
        for number, entry in enumerate(value)
    )


def _named(model: type[S], value: object, name: str, report: Report) -> tuple[tuple[str, S], ...]:
    if value is None or value == {}:
        report.unreadable((name,), f"is required: {described(Document, name)}")
        return ()
    if not isinstance(value, dict):
        report.unreadable((name,), NOT_A_MAPPING)
        return ()
    for key in value:
        if not isinstance(key, str):
            report.error((name,), NOT_TEXT)
    return tuple(
        (key, read_section(model, entry, (name, key), report, required=True))
        for key, entry in value.items()
        if isinstance(key, str)
    )
