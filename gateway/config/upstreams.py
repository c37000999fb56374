"""Upstreams: the servers of a route, with nothing left to interpretation (A4, K9)."""

import re
from dataclasses import dataclass

from gateway.config.findings import Path, Report
from gateway.config.network import Place
from gateway.config.references import References
from gateway.config.upstream_section import UpstreamKeys
from gateway.edge.host import parse_public_origin
from gateway.edge.upstream_group import (
    HealthCheck,
    PoolLimits,
    Timeouts,
    UpstreamGroup,
    UpstreamTls,
)

PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._~!$&'()+,=:@-]*")  # RFC 3986 `pchar` without %, ; and *
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TLS_KEYS = ("ca_file", "client_certificate", "client_key", "server_name")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What routes are checked against: our own listeners, the scopes providers are asked for."""

    own: tuple[Place, ...]
    asked_scopes: frozenset[str]
    references: References
    report: Report


def build_group(
    section: UpstreamKeys, path: Path, around: Surroundings
) -> tuple[UpstreamGroup, bytes] | None:
    """Return the servers and their common base path; None after a finding."""
    given = section.upstream
    texts = given if isinstance(given, list) else [given or ""]
    place = (*path, "upstream")
    if not texts:
        around.report.error(place, "names no server")
        return None
    listed = isinstance(given, list)
    found = [
        _server(text, (*place, number) if listed else place, around)
        for number, text in enumerate(texts)
    ]
    servers = [server for server in found if server is not None]
    if len(servers) < len(texts):
        return None
    origins, paths = [origin for origin, _ in servers], {base for _, base in servers}
    if len(paths) > 1 or len({origin.partition(":")[0] for origin in origins}) > 1:
        around.report.error(place, "all servers need the same scheme and path")
        return None
    if len(set(origins)) < len(origins):
        around.report.error(place, "names a server twice")
        return None
    group = UpstreamGroup(
        origins=tuple(origins),
        timeouts=Timeouts(
            section.connect_timeout,
            section.header_timeout,
            section.idle_timeout,
            section.total_timeout,
        ),
        limits=_limits(section, path, around.report),
        tls=_tls(section, path, origins[0], around),
        health=_health(section, path, around.report),
    )
    return group, paths.pop()


def _limits(section: UpstreamKeys, path: Path, report: Report) -> PoolLimits:
    if section.keepalive > section.max_connection_age:
        report.error((*path, "keepalive"), "must not be longer than max_connection_age")
    if section.total_timeout is not None and "wait_timeout" in section.model_fields_set:
        if section.wait_timeout > section.total_timeout:
            report.error((*path, "wait_timeout"), "must not be longer than total_timeout")
    return PoolLimits(
        max_connections=section.max_connections,
        max_waiting=section.max_waiting,
        wait=section.wait_timeout,
        keepalive=section.keepalive,
        max_age=section.max_connection_age,
    )


def _tls(
    section: UpstreamKeys, path: Path, origin: str, around: Surroundings
) -> UpstreamTls | None:
    references, report = around.references, around.report
    if not any(getattr(section, key) for key in _TLS_KEYS):
        return None
    if not origin.startswith("https:"):
        for key in _TLS_KEYS:
            if getattr(section, key):
                report.error((*path, key), "is for https upstreams; this one is plain http")
        return None
    if section.client_key and not section.client_certificate:
        report.error((*path, "client_key"), "needs client_certificate")
    return UpstreamTls(
        ca_file=references.certificates(section.ca_file, (*path, "ca_file")),
        certificate=references.certificates(
            section.client_certificate, (*path, "client_certificate")
        ),
        key=references.certificates(section.client_key, (*path, "client_key")),
        server_name=_server_name(section.server_name, (*path, "server_name"), report),
    )


def _server_name(name: str | None, place: Path, report: Report) -> str | None:
    if name is None:
        return None
    try:
        host = parse_public_origin(f"https://{name}").host
    except ValueError as wrong:
        report.error(place, str(wrong))
        return None
    if host != name.lower():
        report.error(place, "must be a name, without a port")
    return host


def _health(section: UpstreamKeys, path: Path, report: Report) -> HealthCheck | None:
    target = section.health_path
    if target is None:
        return None
    if not PLAIN_PATH.fullmatch(target) or "//" in target:
        report.error((*path, "health_path"), "must be a plain path that begins with /")
    return HealthCheck(target.encode("utf-8", "replace"), section.health_interval)


def _server(text: str, place: Path, around: Surroundings) -> tuple[str, bytes] | None:
    """Return origin and base path of an upstream; None after a finding."""
    wrong = _url_fault(text)
    if wrong is None:
        scheme, _, rest = text.partition("://")
        authority, slash, base_path = rest.partition("/")
        try:
            host = parse_public_origin(f"https://{authority}").host
        except ValueError as trouble:
            wrong = str(trouble)
        else:
            default = _DEFAULT_PORTS[scheme.lower()]
            port = _port(authority) or default
            if not any(Place(host, port).is_same(own) for own in around.own):
                shown_port = "" if port == default else f":{port}"
                origin = f"{scheme.lower()}://{host}{shown_port}"
                return origin, (slash + base_path or "/").encode()
            wrong = "is this gateway itself: requests would go round in circles (K9)"
    around.report.error(place, wrong)
    return None


def _port(authority: str) -> int | None:
    """Return the port that stands in a valid authority."""
    _, colon, digits = authority.rpartition("]")[2].rpartition(":")
    return int(digits) if colon else None


def _url_fault(text: str) -> str | None:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        hint = "; WebSockets go over http and https too" if scheme in ("ws", "wss") else ""
        return f"must begin with http:// or https://{hint}"
    if "?" in rest or "#" in rest:
        return "has no query and no fragment; every request brings its own"
    slash = rest.find("/")
    base_path = rest[slash:] if slash >= 0 else "/"
    if not PLAIN_PATH.fullmatch(base_path) or "//" in base_path:
        return "its path must be plain: no %, no ;, no double slashes"
    if {".", ".."}.intersection(base_path.split("/")):
        return "its path must have no dot segments"
    return None
