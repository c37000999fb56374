"""Cross-site requests are refused before any cookie is read (RFC 10017 section 6.1.3.3, C1 to C12).

SameSite is not enough: every sibling subdomain is same-site (C3). So a request that uses the
session cookie proves its origin by Fetch Metadata, by Origin or by Referer, in this order, and it
carries `X-CSRF: 1`, which no cross-site page can add without a CORS preflight that we never
grant. What a browser sends without scripts (navigations, images, EventSource) cannot carry the
field; it is let through where Fetch Metadata proves it same-origin and the method is safe.

A fetch-metadata field is written by the browser alone (the `Sec-` names are forbidden to
scripts), so one that occurs twice or holds an unknown value was not written by a browser.
"""

from enum import Enum, auto

from gateway.edge.host import PublicOrigin
from gateway.edge.messages import BrowserRequest
from gateway.errors import Code, Refused


class Guard(Enum):
    """What is at stake, and so which requests are let through."""

    COOKIE = auto()  # the request uses the session cookie
    FORM_LOGOUT = auto()  # as COOKIE, but a form of our own origin may post without X-CSRF
    WEBSOCKET = auto()  # a handshake, which can carry no field of its own: Origin decides (P1)
    NAVIGATION = auto()  # a login starts: the user's own top-level navigation (C11)
    NONE = auto()  # no ambient authority is used

    __hash__ = object.__hash__  # there is one of each; what Enum does instead takes its time


_SAFE_METHODS = frozenset({"GET", "HEAD"})  # RFC 9110 section 9.2.1
_FORMS = frozenset({b"application/x-www-form-urlencoded", b"multipart/form-data"})
_FETCH_METADATA = (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"sec-fetch-user")


def refuse_cross_site(request: BrowserRequest, origin: PublicOrigin, guard: Guard) -> None:
    """Return if the request may use what `guard` protects.

    Raises Refused: CSRF_CROSS_SITE, CSRF_ORIGIN, CSRF_MISSING; LOGIN_NAVIGATION_ONLY.
    """
    if guard is Guard.NONE:
        return
    if guard is Guard.NAVIGATION:
        _require_navigation(request)
        return
    site = _own_site(request)
    if guard is Guard.WEBSOCKET:
        # Browsers always send Origin here, and not all of them Fetch Metadata (RFC 6455 10.2).
        if request.values(b"origin") != [origin.wire]:
            raise _foreign_origin()
        return
    _require_own_origin(request, origin.wire, site)
    if request.only(b"x-csrf") == b"1":
        return
    if site is not None and _browser_sent_it_by_itself(request):
        return
    if guard is Guard.FORM_LOGOUT and _is_own_form(request, site):
        return
    raise Refused(Code.CSRF_MISSING, "The request needs the field X-CSRF: 1.")


def _own_site(request: BrowserRequest) -> bytes | None:
    # C4: same-site counts as hostile, and `none` (typed, bookmarked) exists only for navigations.
    values = request.values(b"sec-fetch-site")
    if not values:
        return None
    if values == [b"same-origin"]:
        return values[0]
    if values == [b"none"]:
        if request.method in _SAFE_METHODS and request.only(b"sec-fetch-mode") == b"navigate":
            return values[0]
    raise Refused(Code.CSRF_CROSS_SITE, "The request comes from another site.")


def _require_own_origin(request: BrowserRequest, origin: bytes, site: bytes | None) -> None:
    # C5, C6: exact equality with the configured origin; `null` and suffix tricks are not equal.
    origins = request.values(b"origin")
    if origins:
        if origins != [origin]:
            raise _foreign_origin()
        return
    if site is not None:
        return
    referers = request.values(b"referer")
    if referers:
        if len(referers) > 1 or not (referers[0] + b"/").startswith(origin + b"/"):
            raise _foreign_origin()
        return
    if request.method not in _SAFE_METHODS:
        raise _foreign_origin()


def _browser_sent_it_by_itself(request: BrowserRequest) -> bool:
    # A navigation, a subresource or an EventSource, none of which can carry X-CSRF. A script's
    # fetch can, so it must (C1); its destination is `empty`.
    if request.method not in _SAFE_METHODS:
        return False
    if request.only(b"sec-fetch-mode") == b"navigate":
        return True
    destination = request.only(b"sec-fetch-dest")
    if destination == b"empty":
        return request.only(b"accept") == b"text/event-stream"
    return bool(destination)


def _is_own_form(request: BrowserRequest, site: bytes | None) -> bool:
    # C12, for `<form method=post action=/bff/logout>` without a script.
    if request.method != "POST":
        return False
    if site is not None:
        return (
            site == b"same-origin"
            and request.only(b"sec-fetch-mode") == b"navigate"
            and request.only(b"sec-fetch-dest") == b"document"
        )
    if any(request.values(name) for name in _FETCH_METADATA):
        return False
    media_type = (request.only(b"content-type") or b"").partition(b";")[0].strip().lower()
    return media_type in _FORMS and request.only(b"origin") is not None


def _require_navigation(request: BrowserRequest) -> None:
    # A browser without Fetch Metadata sends neither field and is let through.
    for name, wanted in ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document")):
        values = request.values(name)
        if values and values != [wanted]:
            raise Refused(
                Code.LOGIN_NAVIGATION_ONLY, "A login starts with a navigation of the whole page."
            )


def _foreign_origin() -> Refused:
    return Refused(Code.CSRF_ORIGIN, "The request does not come from this application's origin.")
