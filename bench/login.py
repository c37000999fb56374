"""A person's browser, as far as a login needs one: redirects, a cookie jar, nothing else."""

import http.client
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from bench.programs import BenchError

_HOPS = 12
_AT_ONCE = 4  # people who log in at the same time
_LOGINS_OF_ONE_PERSON = 50  # each in another browser
_FAILURES = 5  # of as many logins
_REDIRECTS = frozenset({301, 302, 303, 307})

Jar = dict[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """What came back, and from where."""

    url: str
    status: int
    location: str | None
    body: bytes


@dataclass
class Browser:
    """Cookies by origin. `provider` is the jar of the identity provider's origin.

    Browsers that share it share the login there, as one person's do.
    """

    issuer: str
    provider: Jar = field(default_factory=dict)
    jars: dict[str, Jar] = field(default_factory=dict)
    _open: dict[str, http.client.HTTPConnection] = field(default_factory=dict)

    def navigate(self, url: str) -> Page:
        """Go somewhere as a person does, following redirects to the end."""
        site = "none"
        for _ in range(_HOPS):
            page = self.load(url, site)
            if page.status not in _REDIRECTS or page.location is None:
                return page
            here, url = url, urljoin(url, page.location)
            if urlsplit(here).hostname != urlsplit(url).hostname:
                site = "cross-site"
        raise BenchError(f"a login never ends: {url}")

    def load(self, url: str, site: str = "none") -> Page:
        """Load one address as a top-level navigation, following nothing."""
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Accept": "text/html",
            "Sec-Fetch-Site": site,
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        }
        return self._request(url, target or "/", headers)

    def fetch(self, url: str) -> Page:
        """What the page's own script does."""
        return self._request(url, urlsplit(url).path, {"X-CSRF": "1"})

    def cookies(self, url: str) -> str:
        """The Cookie field of a request to this origin; empty without cookies."""
        return "; ".join(f"{name}={value}" for name, value in self._jar(url).items())

    def close(self) -> None:
        """Close its connections."""
        for connection in self._open.values():
            connection.close()

    def _jar(self, url: str) -> Jar:
        origin = _origin(url)
        return self.provider if origin == self.issuer else self.jars.setdefault(origin, {})

    def _request(self, url: str, target: str, headers: dict[str, str]) -> Page:
        origin = _origin(url)
        connection = self._open.get(origin)
        if connection is None:
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
            self._open[origin] = connection
        if cookies := self.cookies(url):
            headers = {**headers, "Cookie": cookies}
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as failure:
            raise BenchError(f"{url.partition('?')[0]} does not answer: {failure!r}") from None
        for line in answer.headers.get_all("set-cookie") or ():
            _keep(self._jar(url), line)
        return Page(url, answer.status, answer.getheader("location"), body)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _keep(jar: Jar, line: str) -> None:
    pair, _, attributes = line.partition(";")
    name, _, value = pair.partition("=")
    if not value or re.search(r"max-age=0\b|expires=[^;]*\b1970\b", attributes, re.IGNORECASE):
        jar.pop(name.strip(), None)
    else:
        jar[name.strip()] = value.strip()


def log_in(origin: str, login: str, issuer: str, provider: Jar) -> Browser:
    """Log in at a system in a fresh browser of the person whose provider jar this is."""
    browser = Browser(issuer, provider)
    page = browser.navigate(origin + login)
    if not page.url.startswith(origin) or page.status not in (200, 404):
        where = page.url.partition("?")[0]
        raise BenchError(f"the login at {origin} ended at {where} with {page.status}")
    return browser


def many_logins(
    origin: str, login: str, issuer: str, count: int, seconds: float = 60.0
) -> list[str]:
    """Log in up to `count` times, a few at once; return the Cookie field of each session.

    Stops when the seconds are over, wherever it is then.
    """
    deadline = time.monotonic() + seconds

    def some(number: int) -> list[str]:
        person: Jar = {}
        found: list[str] = []
        failures = 0
        while len(found) < number and time.monotonic() < deadline:
            try:
                browser = log_in(origin, login, issuer, person)
            except BenchError:  # one may fail on a machine that is busy, as long as others do not
                failures += 1
                if failures > _FAILURES:
                    raise
                continue
            found.append(browser.cookies(origin))
            browser.close()
        return found

    sizes = [_LOGINS_OF_ONE_PERSON] * (count // _LOGINS_OF_ONE_PERSON)
    sizes.append(count % _LOGINS_OF_ONE_PERSON)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return [cookie for cookies in threads.map(some, sizes) for cookie in cookies]
