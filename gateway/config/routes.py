"""Routes: which requests go where, with nothing left to interpretation (A4, K4, K9)."""

import re
from collections.abc import Iterable

from gateway.config.findings import Path, Report
from gateway.config.route_section import RouteSection
from gateway.config.upstream_section import UpstreamKeys
from gateway.config.upstreams import PLAIN_PATH, Surroundings, build_group
from gateway.edge.cookies import allowed_set_cookie
from gateway.edge.routes import Access, Route, RouteTable, TokenKind, ToStatic, ToUpstream
from gateway.edge.target import parse_target
from gateway.errors import Refused
from gateway.web.site import BASE

_ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_STATIC_METHODS = frozenset({"GET"})
_UPSTREAM_ONLY = (
    *("token", "scopes", "pass_cookies", "pass_set_cookies"),
    *(key for key in UpstreamKeys.model_fields if key != "upstream"),
)

_SCOPE = re.compile(r"[!#-\[\]-~]+")
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")


def build_routes(
    entries: Iterable[tuple[Path, RouteSection]], around: Surroundings
) -> tuple[Route, ...]:
    """Return the routes that are fit; what is wrong with the others is reported."""
    routes: dict[str, Route] = {}
    for path, section in entries:
        place = (*path, "path")
        to = _destination(section, path, around)
        if wrong := path_fault(section.path):
            around.report.error(place, wrong)
        elif section.path.rstrip("/") in routes:
            around.report.error(place, "an earlier route has the same path")
        elif to is not None:
            route = Route(section.path, _access(section), _methods(section), to)
            routes[route.prefix] = route
    try:
        RouteTable(routes.values(), base=BASE)
    except ValueError:  # its text repeats the path
        around.report.error(("routes",), "the paths cannot be told apart")
    return tuple(routes.values())


def path_fault(path: str) -> str | None:
    """Return why no request could be matched with this path beyond doubt, or None."""
    if not path.startswith("/"):
        return "must begin with /"
    if "*" in path:
        return "has no wildcards: a route covers everything below its path anyway"
    try:
        canonical = parse_target(path.encode(), authority_expected=b"").canonical
    except Refused as refused:
        return f"is not a plain path: {refused.note}"
    if canonical != path or not PLAIN_PATH.fullmatch(path):
        return "must be plain: no %, no ;, no query, no double slashes, no brackets, no spaces"
    if f"{path.lower()}/".startswith(f"{BASE}/"):
        return f"lies under {BASE}, where the gateway's own endpoints are"
    return None


def _access(section: RouteSection) -> Access:
    return Access(section.access or (Access.SESSION if section.upstream else Access.PUBLIC))


def _methods(section: RouteSection) -> frozenset[str]:
    if section.static is not None:
        return _STATIC_METHODS
    return frozenset(_ALL_METHODS if section.methods is None else section.methods)


def _destination(
    section: RouteSection, path: Path, around: Surroundings
) -> ToUpstream | ToStatic | None:
    if (section.upstream is None) == (section.static is None):
        around.report.error(path, "needs one of upstream and static, and not both")
        return None
    if section.static is not None:
        return _to_static(section, section.static, path, around)
    _check_rules(section, path, around)
    built = build_group(section, path, around)
    if built is None:
        return None
    group, base_path = built
    token = TokenKind.NONE if _access(section) is Access.PUBLIC else TokenKind.USER
    return ToUpstream(
        group=group,
        base_path=base_path,
        token=TokenKind(section.token or token),
        scopes=frozenset(section.scopes),
        pass_cookies=frozenset(section.pass_cookies),
        pass_set_cookies=frozenset(section.pass_set_cookies),
        websocket=section.websocket,
    )


def _to_static(section: RouteSection, name: str, path: Path, around: Surroundings) -> ToStatic:
    report = around.report
    for key in _UPSTREAM_ONLY:
        if key in section.model_fields_set:
            report.error((*path, key), "is only for routes with an upstream; remove it")
    if _access(section) is not Access.PUBLIC:
        report.error(
            (*path, "access"),
            "a built app is public: nothing in it is secret; protect the APIs behind it",
        )
    if section.methods is not None and not {"GET", "HEAD"}.issuperset(section.methods):
        report.error((*path, "methods"), "files have GET and HEAD only; remove this")
    place = (*path, "content_security_policy")
    if not section.content_security_policy.isascii():
        report.error(place, "must be plain ASCII")
    directory = around.references.place(name)
    if around.references.holds_the_configuration(name):
        report.error(
            (*path, "static"),
            "would publish the configuration file and what lies beside it; name the build's folder",
        )
    elif not around.references.has_directory(name):
        report.error((*path, "static"), f"there is no directory {directory}; build the app first")
    elif not around.references.has_file(f"{name}/index.html"):
        report.warn((*path, "static"), f"there is no index.html in {directory}")
    return ToStatic(str(directory), section.content_security_policy)


def _check_rules(section: RouteSection, path: Path, around: Surroundings) -> None:
    """Report rules of one route that contradict each other, or could never let anybody in."""
    report, access = around.report, _access(section)
    if access is Access.PUBLIC and section.token == TokenKind.USER:
        report.error((*path, "token"), "a public route looks at no session and has no token")
    if section.scopes and access is not Access.SESSION:
        report.error((*path, "scopes"), "needs access: session; nobody else has a token")
    if section.methods == []:
        report.error((*path, "methods"), "names no method; remove it to allow the usual ones")
    if "content_security_policy" in section.model_fields_set:
        report.error((*path, "content_security_policy"), "is only for static routes; remove it")
    for number, scope in enumerate(section.scopes):
        _check_scope(scope, (*path, "scopes", number), around)
    for number, name in enumerate(section.pass_cookies):
        _check_cookie(name, (*path, "pass_cookies", number), report)
    for number, name in enumerate(section.pass_set_cookies):
        _check_cookie(name, (*path, "pass_set_cookies", number), report)


def _check_scope(scope: str, place: Path, around: Surroundings) -> None:
    if not _SCOPE.fullmatch(scope):
        around.report.error(place, "must be one scope, without spaces or quotes")
    elif scope not in around.asked_scopes:
        around.report.warn(
            place,
            "no provider is asked for this scope; unless it is granted unasked, every request is "
            "answered 403",
        )


def _check_cookie(name: str, place: Path, report: Report) -> None:
    if not _COOKIE_NAME.fullmatch(name):
        report.error(place, "is not the name of a cookie")
    elif not allowed_set_cookie(f"{name}=".encode(), frozenset({name})):
        report.error(place, "is a cookie of the gateway's own (A7, B16)")
