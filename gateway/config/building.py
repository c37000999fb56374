"""From sections to `Settings`: what the parts demand of each other is checked here."""

from collections.abc import Mapping
from pathlib import Path as FilePath

from gateway.adapters.provider_http import BackChannelSettings
from gateway.config.document import Basics
from gateway.config.findings import Report
from gateway.config.key_ring import build_ring
from gateway.config.network import (
    build_admin,
    build_forwarded,
    build_listen,
    build_origin,
    own_places,
)
from gateway.config.providers import asked_scopes, build_clients
from gateway.config.reading import Sections
from gateway.config.references import References
from gateway.config.routes import build_routes
from gateway.config.sections import LoginSection, SessionSection
from gateway.config.store import build_store
from gateway.config.upstreams import Surroundings
from gateway.edge.cookies import CookiePolicy, SameSite
from gateway.edge.host import PublicOrigin
from gateway.edge.return_to import check_return_to
from gateway.errors import Refused
from gateway.oidc.client import Client, ResponseMode
from gateway.session.login import LoginPolicy
from gateway.session.model import SessionPolicy
from gateway.settings import Limits, Log, LogFormat, Settings
from gateway.web.site import BASE, ErrorsTo

_DANGER = "dangerously_"


def build_settings(
    sections: Sections, directory: FilePath, environ: Mapping[str, str], report: Report
) -> Settings:
    """Return the settings; fit for use only if the report has no errors.

    `directory` is what relative paths start from.
    """
    basics = sections.basics
    references = References(directory, environ, report)
    origin = build_origin(basics, report)
    listen = build_listen(sections.listen, report)
    admin = build_admin(sections.admin, listen, references, report)
    clients = build_clients(sections.providers, origin, references, report)
    surroundings = Surroundings(
        own=own_places(origin, listen, admin),
        asked_scopes=frozenset(
            scope for _, provider in sections.providers for scope in asked_scopes(provider)
        ),
        references=references,
        report=report,
    )
    store = build_store(sections.store, references, report)
    return Settings(
        public_origin=origin,
        listen=listen,
        admin=admin,
        forwarded=build_forwarded(basics, report),
        cookies=_cookies(sections, origin, clients, report),
        store=store.settings,
        embedded_store=store.embedded,
        keys=build_ring(sections.keys, references, report),
        session=_session(sections.session, report),
        clients=clients,
        routes=build_routes(sections.routes, surroundings),
        login=_login(sections.login, origin, report),
        errors_to=ErrorsTo(sections.login.errors_to),
        limits=Limits(**dict(sections.limits)),
        back_channel=_back_channel(sections, references),
        log=Log(sections.log.level, LogFormat(sections.log.format)),
        dangers=_dangers(basics, report),
    )


def _cookies(
    sections: Sections, origin: PublicOrigin, clients: tuple[Client, ...], report: Report
) -> CookiePolicy:
    insecure = sections.basics.dangerously_allow_insecure_cookies
    if insecure and origin.is_secure:
        report.error(
            ("dangerously_allow_insecure_cookies",),
            "is for http://localhost alone; over https every browser keeps Secure cookies",
        )
    # B4: a form_post comes from another site, and only SameSite=None survives that.
    posted = [c.provider for c in clients if c.response_mode is ResponseMode.FORM_POST]
    if insecure and posted:
        report.error(
            ("providers", posted[0], "response_mode"),
            "form_post needs a SameSite=None cookie, which browsers refuse without Secure; use "
            "query, or drop dangerously_allow_insecure_cookies",
        )
    strict = sections.session.same_site == SameSite.STRICT.value.lower()
    return CookiePolicy(
        session_same_site=SameSite.STRICT if strict else SameSite.LAX,
        login_same_site=SameSite.NONE if posted else SameSite.LAX,
        secure=not insecure,
    )


def _session(section: SessionSection, report: Report) -> SessionPolicy:
    if section.idle_timeout > section.absolute_timeout:
        report.error(("session", "idle_timeout"), "must not be longer than absolute_timeout")
    if section.refresh_margin >= section.idle_timeout:
        report.error(("session", "refresh_margin"), "must be shorter than idle_timeout")
    return SessionPolicy(
        section.idle_timeout,
        section.absolute_timeout,
        section.refresh_margin,
        section.cache_bytes,
    )


def _login(section: LoginSection, origin: PublicOrigin, report: Report) -> LoginPolicy:
    try:
        return_to = str(check_return_to(section.default_return_to, origin, base=BASE))
    except Refused as refused:
        report.error(
            ("login", "default_return_to"),
            f"must be a path of the public origin, like / ({refused.note})",
        )
        return_to = "/"
    return LoginPolicy(section.attempt_ttl, return_to)


def _back_channel(sections: Sections, references: References) -> BackChannelSettings:
    section = sections.back_channel
    return BackChannelSettings(
        ca_file=references.certificates(section.ca_file, ("back_channel", "ca_file")),
        total_timeout=section.total_timeout,
        refresh_timeout=section.refresh_timeout,
        connect_timeout=section.connect_timeout,
        max_body=section.max_body_bytes,
        max_connections=section.max_connections,
    )


def _dangers(basics: Basics, report: Report) -> tuple[str, ...]:
    """Return the names of the protections that are switched off, and say so."""
    names = [name for name in Basics.model_fields if name.startswith(_DANGER)]
    in_force = tuple(name for name in names if getattr(basics, name))
    for name in in_force:
        report.warn((name,), "a protection is switched off")
    return in_force
