"""From an upstream's side back to the public one (K7, L12).

Paths are cut and joined as octets; no URL is ever built from text and parsed again.
"""

import re
from collections.abc import Iterable

from gateway.edge.headers import response_fields
from gateway.edge.host import PublicOrigin
from gateway.edge.messages import Field, Fields
from gateway.edge.routes import Route, ToUpstream, upstream_of
from gateway.edge.target import parse_target
from gateway.edge.upstream_group import UpstreamGroup
from gateway.errors import Code, Refused, Unavailable

_NO_CONTENT = 204
_LEADS_ELSEWHERE = frozenset({b"location", b"content-location", b"link"})
_LONGEST_LOCATION = 16384  # octets; browsers read no longer ones reliably


# A Location as a browser would read it. Backslashes and white space are read in too many ways.
_UNREADABLE = re.compile(rb"[\x00-\x20\x7f\\]")
_NETWORK_PATH = re.compile(rb"(?:([A-Za-z][A-Za-z0-9+.-]*):)?//([^/?#]*)(.*)", re.DOTALL)
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:")
# Browsers decode a host: `inter%6eal` is `internal`. Nobody writes one so.
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^:@%\[\]]+)(?::([0-9]{0,5}))?")
_ABOVE_ASCII = re.compile(rb"[\x80-\xff]")
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
_Place = tuple[bytes, bytes, bytes]  # scheme, host, port; the default port is filled in


def returning(
    status: int,
    fields: Fields,
    route: Route,
    origin: PublicOrigin,
    *,
    session_used: bool,
    internal_hosts: frozenset[bytes] = frozenset(),
) -> Fields:
    """Return the fields for the browser, with Location and Content-Location in public terms (K7).

    No answer names one of `internal_hosts` (L12).

    Raises Unavailable(UPSTREAM_PROTOCOL) as `response_fields` does, and for two differing
    Locations.
    """
    to = upstream_of(route)
    clean = response_fields(fields, pass_set_cookies=to.pass_set_cookies, session_used=session_used)
    if status != _NO_CONTENT and _LEADS_ELSEWHERE.isdisjoint(dict(clean)):
        return clean
    kept: list[Field] = []
    locations = set()
    for name, value in clean:
        if name == b"content-length" and status == _NO_CONTENT:
            continue  # RFC 9110 section 8.6 (M9)
        if name == b"location":
            locations.add(value)
        if name == b"link" and any(host in value.lower() for host in internal_hosts):
            continue  # paging links of an API that does not know its public address
        if name not in (b"location", b"content-location"):
            kept.append((name, value))
        elif (public := public_location(value, route, origin, internal_hosts)) is not None:
            kept.append((name, public))
    if len(locations) > 1:
        raise Unavailable(
            Code.UPSTREAM_PROTOCOL, "The service behind answered badly.", note="two Locations"
        )
    return tuple(kept)


def upstream_hosts(routes: Iterable[Route]) -> frozenset[bytes]:
    """Return the hosts that no answer may name: those of every route's upstream."""
    groups = [route.to.group for route in routes if isinstance(route.to, ToUpstream)]
    return frozenset(host for group in groups for _, host, _ in _places(group))


def public_location(
    value: bytes,
    route: Route,
    origin: PublicOrigin,
    internal_hosts: frozenset[bytes] = frozenset(),
) -> bytes | None:
    """Return where a Location of the upstream leads in public terms; None when it must not pass.

    A place under the upstream's own origin and base path becomes the public path. A relative
    reference passes, for the public path ends as the upstream's does. So does an http(s) URL of
    another host, our public origin included. What lies on the upstream's host but outside the
    base path, or on a host of `internal_hosts`, is internal, and what cannot be read in one way
    only is refused: both give None.
    """
    to = upstream_of(route)
    if not value or len(value) > _LONGEST_LOCATION or _UNREADABLE.search(value):
        return None
    url = _NETWORK_PATH.fullmatch(value)
    if url is None:
        if value.startswith(b"/"):
            return _public_path(value, route, to)
        return None if _SCHEME.match(value) else value
    places = _places(to.group)
    place = _place((url[1] or to.origin.partition(":")[0].encode()).lower(), url[2])
    if place is None:
        return None
    if place in places:
        return _public_path(url[3], route, to)
    is_internal = place[1] in internal_hosts | {inner[1] for inner in places}
    return None if is_internal and place[1] != origin.host.encode("ascii") else value


def _public_path(value: bytes, route: Route, to: ToUpstream) -> bytes | None:
    # Upstreams send raw UTF-8; a browser would percent-encode it just so.
    escaped = _ABOVE_ASCII.sub(lambda octet: b"%%%02X" % octet[0][0], value)
    reference, hash_mark, fragment = escaped.partition(b"#")
    if not reference.startswith(b"/"):
        reference = b"/" + reference
    try:
        target = parse_target(reference, authority_expected=b"")
    except Refused:
        return None
    if target.path != to.base and not target.path.startswith(to.base + b"/"):
        return None
    public = route.prefix.encode("ascii") + target.wire[len(to.base) :]
    if public.startswith(b"//"):
        return None  # it would name another authority (an open redirect)
    return (public if public.startswith(b"/") else b"/" + public) + hash_mark + fragment


def _places(group: UpstreamGroup) -> frozenset[_Place]:
    parts = [origin.encode("ascii").split(b"://") for origin in group.origins]
    found = [_place(scheme, authority) for scheme, authority in parts]
    return frozenset(place for place in found if place is not None)


def _place(scheme: bytes, authority: bytes) -> _Place | None:
    found = _AUTHORITY.fullmatch(authority)
    if found is None or scheme not in _DEFAULT_PORTS:
        return None
    # `internal.` is `internal`, said with the root of all names.
    return scheme, found[1].lower().rstrip(b"."), found[2] or _DEFAULT_PORTS[scheme]
