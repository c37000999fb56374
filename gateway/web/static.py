"""A built single-page app: files, history fallback, and what caches may keep.

Starlette serves the bytes (conditional requests, ranges, no way out of the directory); the rules
here say which file a path means and how long it may be kept.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles as Files
from starlette.types import Message, Receive, Scope, Send

from gateway.edge.messages import BrowserRequest, Fields
from gateway.edge.routes import Route, ToStatic
from gateway.edge.target import Target
from gateway.errors import Code, Refused
from gateway.web.problems import wants_page
from gateway.web.site import Site


class StaticAnswer:
    """A file's answer, with the fields that every answer of ours has.

    Starlette makes some answers only while sending (a range that does not fit), so the fields are
    added there.
    """

    def __init__(self, response: Response, common: Fields, *, ranged: bool) -> None:
        self._response = response
        self._common = common
        self._ranged = ranged
        self.status_code = response.status_code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = list(message["headers"])
                names = {name for name, _ in fields}
                message["headers"] = fields + [one for one in self._common if one[0] not in names]
            await send(message)

        if not self._ranged:
            fields = [one for one in scope["headers"] if one[0].lower() != b"range"]
            scope = {**scope, "headers": fields}
        await self._response(scope, receive, complete)


# `index-B3xK9aQ1.js` below `assets/`: a build tool put the content's hash into the name. The
# directory is asked for as well, or a plain `my-settings1.js` would be kept for a year.
_HASHED = re.compile(
    r"(?:^|/)(?:assets|static|immutable|chunks|js|css|media)/(?:.*/)?[^/]*[.-]"
    r"(?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{8,}\.[a-z0-9]+\Z"
)
_RANGE = re.compile(rb"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")
_FOREVER = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"  # may be kept, must be revalidated: an ETag answers in one round trip
_NOT_KEPT = "no-store"
_PAGES = frozenset({"text/html", "application/xhtml+xml"})


class StaticFiles:
    """Serves the directories of the static routes."""

    def __init__(self, site: Site, routes: Iterable[Route]) -> None:
        self._common: Fields = (
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", b"same-origin"),
        )
        if site.origin.is_secure:
            self._common += ((b"strict-transport-security", b"max-age=31536000"),)
        self._files = {
            route.to.directory: Files(directory=route.to.directory, follow_symlink=False)
            for route in routes
            if isinstance(route.to, ToStatic)
        }

    async def answer(
        self, request: BrowserRequest, target: Target, route: Route, to: ToStatic
    ) -> StaticAnswer:
        """Return the file, or the index for an address inside the app (history fallback)."""
        name = _name(target, route)
        response = await self._file(to.directory, name, request) if name else None
        if response is None:
            if not _is_address(request, name):
                raise Refused(Code.STATIC_NOT_FOUND)
            name = "index.html"
            response = await self._file(to.directory, name, request)
        if response is None:
            raise Refused(Code.STATIC_NOT_FOUND, note="the static directory has no index.html")
        _dress(response, name, to)
        return StaticAnswer(response, self._common, ranged=_is_ranged(request, response))

    async def _file(self, directory: str, name: str, request: BrowserRequest) -> Response | None:
        if _is_hidden(directory, name):
            return None  # .git, .env: whatever lies about, it is not part of the app
        scope: Scope = {"type": "http", "method": request.method, "headers": list(request.fields)}
        try:
            return await self._files[directory].get_response(str(Path(name)), scope)
        except HTTPException:
            return None


def _is_hidden(directory: str, name: str) -> bool:
    """Whether the file, or what a link of this name leads to, has a name that begins with a dot."""
    root = Path(directory).resolve()
    try:
        found = Path(root, name).resolve()
    except (OSError, ValueError):
        return True  # a loop of links, or a name no file can have
    places = [Path(name).parts, found.relative_to(root).parts if found.is_relative_to(root) else ()]
    return any(part.startswith(".") and part != ".well-known" for parts in places for part in parts)


def _dress(response: Response, name: str, to: ToStatic) -> None:
    """Add what caches and browsers must know; whatever can run a script is a document."""
    headers = response.headers
    media_type = headers.get("content-type", "").partition(";")[0]
    is_page = media_type in _PAGES
    if is_page or media_type.endswith(("/xml", "+xml")):
        headers["content-security-policy"] = to.content_security_policy
        headers["x-frame-options"] = "DENY"
        headers["referrer-policy"] = "strict-origin-when-cross-origin"
    if is_page:
        headers["cache-control"] = _NOT_KEPT
    else:
        headers["cache-control"] = _FOREVER if _HASHED.search(name) else _ASK_FIRST


def _name(target: Target, route: Route) -> str:
    """Return the file's path below the directory, decoded once; "" for the route's own path."""
    prefix = route.path.rstrip("/")
    return unquote(target.path.decode("ascii")[len(prefix) :]).strip("/")


def _is_ranged(request: BrowserRequest, response: Response) -> bool:
    """Whether to send a part: one well-formed range; anything else is ignored (RFC 9110 14.2).

    Raises `Refused(RANGE_UNSATISFIABLE)` for a range behind the end of the file.
    """
    asked = _RANGE.fullmatch(request.only(b"range") or b"")
    if asked is None or not isinstance(response, FileResponse) or response.stat_result is None:
        return False
    first, last = asked["first"], asked["last"]
    if (not first and not last) or (first and last and int(last) < int(first)):
        return False
    size = response.stat_result.st_size
    if int(first or 0) >= size or (not first and int(last) == 0):
        whole = (b"content-range", f"bytes */{size}".encode())
        raise Refused(Code.RANGE_UNSATISFIABLE, fields=(whole,))
    return True


def _is_address(request: BrowserRequest, name: str) -> bool:
    """Whether the app's own router may know this address: a page load, not a missing asset."""
    last = name.rpartition("/")[2]
    return not name or (wants_page(request) and not re.search(r"\.[a-z0-9]{1,5}\Z", last))
