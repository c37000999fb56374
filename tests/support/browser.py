"""A browser as the rules describe it: cookie prefixes and SameSite, Fetch Metadata, redirects.

Only what the tests need, but that strictly: a cookie whose attributes break its prefix is not kept
(6265bis section 5.7), a deletion that breaks it deletes nothing, a Strict cookie stays at home when
any hop of the navigation was cross-site, and one whose Max-Age is over is not sent any more.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urljoin, urlsplit

from gateway.ports import Clock
from tests.support.asgi import Answer, call, target_of
from tests.support.clock import TurnableClock

_REFRESH = re.compile(r'http-equiv="refresh" content="0;url=([^"]*)"')
_MAX_HOPS = 12


@dataclass
class Cookie:
    value: str
    same_site: str
    host: str
    expires: float = math.inf  # without Max-Age: as long as this browser is open


class Browser:
    """One person's browser, connected to a few origins that are ASGI applications."""

    def __init__(
        self,
        origins: Mapping[str, Any],
        home: str,
        peer: str = "127.0.0.1",
        clock: Clock | None = None,
    ) -> None:
        self.origins = origins
        self.home = home
        self.peer = peer
        self.clock = clock or TurnableClock()
        self.cookies: dict[str, Cookie] = {}
        self.seen: list[bytes] = []  # every octet this browser was sent by `home`
        self.visited: list[str] = []
        self.url = ""

    async def navigate(
        self, url: str, *, initiator: str | None = None, form: bytes | None = None
    ) -> Answer:
        """Go somewhere as a person does; follow redirects and refreshes to the end."""
        url = urljoin(self.home + "/", url)
        site = _site_between(initiator, url) if initiator else "none"
        for _ in range(_MAX_HOPS):
            answer = await self.load(url, site=site, form=form)
            form = None
            if answer.status in (301, 302, 303, 307) and answer.one("location"):
                here, url = url, urljoin(url, answer.one("location") or "")
                if site != "cross-site":
                    hop = _site_between(_origin(here), url)
                    site = hop if site != "none" or hop == "cross-site" else "none"
                continue
            refresh = _REFRESH.search(answer.body.decode("utf-8", "replace"))
            if refresh is None:
                self.url = url
                return answer
            here, url = url, urljoin(url, unescape(refresh[1]))
            site = _site_between(_origin(here), url)
        raise AssertionError(f"a redirect loop: {self.visited[-_MAX_HOPS:]}")

    async def load(
        self, url: str, *, site: str = "none", form: bytes | None = None, dest: str = "document"
    ) -> Answer:
        """Load one address as a top-level navigation, following nothing."""
        headers = {
            "sec-fetch-site": site,
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": dest,
            "accept": "text/html,application/xhtml+xml",
        }
        if form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            headers["origin"] = "null" if site == "cross-site" else _origin(url)
        return await self.request(
            "GET" if form is None else "POST", url, headers, form or b"", site
        )

    async def fetch(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """What the page's own script does: same-origin, with the custom header."""
        own = {
            "sec-fetch-site": "same-origin",
            "sec-fetch-mode": "cors",
            "sec-fetch-dest": "empty",
            "accept": "*/*",
            "x-csrf": "1",
        }
        if method not in ("GET", "HEAD"):
            own["origin"] = self.home
        url = urljoin(self.home + "/", path)
        return await self.request(method, url, {**own, **(headers or {})}, body, "same-origin")

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, site: str
    ) -> Answer:
        """Send exactly this, with the cookies that belong to it."""
        self.visited.append(url)
        origin = _origin(url)
        fields = [(b"host", urlsplit(url).netloc.encode())]
        fields += [(name.encode(), value.encode()) for name, value in headers.items()]
        cookies = self._cookies_for(url, method, site)
        if cookies:
            fields.append((b"cookie", cookies.encode()))
        app = self.origins[origin]
        answer = await call(app, method, target_of(url), fields, body, peer=self.peer)
        if origin == self.home:
            self.seen.append(answer.octets())
        for line in answer.all("set-cookie"):
            self._keep(line, urlsplit(url).hostname or "")
        return answer

    def _cookies_for(self, url: str, method: str, site: str) -> str:
        host = urlsplit(url).hostname
        pairs = []
        for name, cookie in self.cookies.items():
            if cookie.host != host or cookie.expires <= self.clock.now():
                continue
            if site == "cross-site" and cookie.same_site == "strict":
                continue
            if site == "cross-site" and cookie.same_site == "lax" and method != "GET":
                continue
            pairs.append(f"{name}={cookie.value}")
        return "; ".join(pairs)

    def _keep(self, line: str, host: str) -> None:
        pair, *attributes = [part.strip() for part in line.split(";")]
        name, _, value = pair.partition("=")
        given = {}
        for attribute in attributes:
            key, _, setting = attribute.partition("=")
            assert key.lower() not in given, f"{key} occurs twice in {line}"
            given[key.lower()] = setting
        lowered = name.lower()
        if lowered.startswith("__host-"):
            if "secure" not in given or given.get("path") != "/" or "domain" in given:
                return
            if lowered.startswith("__host-http-") and "httponly" not in given:
                return
        if given.get("max-age") == "0":
            self.cookies.pop(name, None)
            return
        lifetime = float(given["max-age"]) if "max-age" in given else math.inf
        same_site = given.get("samesite", "lax").lower()
        self.cookies[name] = Cookie(value, same_site, host, self.clock.now() + lifetime)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _site_between(initiator: str, url: str) -> str:
    if initiator == _origin(url):
        return "same-origin"
    # `localhost` and `127.0.0.1` are different sites; a port does not make one.
    same = urlsplit(initiator).hostname == urlsplit(url).hostname
    return "same-site" if same else "cross-site"
