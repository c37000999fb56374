"""Logging in at the certified provider without a browser: redirects, one form, two cookie jars."""

import http.client
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin, urlsplit

_HOPS = 12
_FORM = b'<form method="post">'
_GONE = re.compile(r"max-age=0\b|expires=[^;]*\b1970\b", re.IGNORECASE)

Jar = dict[str, str]


def log_in(home: str, account: str) -> str:
    """Return the Cookie field of a new session of this person at this gateway."""
    jars: dict[str, Jar] = {}
    url, form = f"{home}/bff/login?return_to=/", None
    for _ in range(_HOPS):
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        jar = jars.setdefault(origin, {})
        status, location, body = _load(url, jar, form)
        form = None
        if status in (302, 303):
            url = urljoin(url, location)
        elif _FORM in body:
            form = {"login": account, "act": "login"}
        else:
            assert (origin, status) == (home, 200), f"the login stopped at {origin}: {body!r}"
            return _field(jar)
    raise AssertionError("a login that never ends")


def _load(url: str, jar: Jar, form: Mapping[str, str] | None) -> tuple[int, str, bytes]:
    """Go to one address, following nothing."""
    parts = urlsplit(url)
    headers = {
        "Host": parts.netloc,
        "Accept": "text/html",
        "Sec-Fetch-Site": "none",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    if jar:
        headers["Cookie"] = _field(jar)
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    link = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        content = None if form is None else urlencode(form)
        link.request("GET" if form is None else "POST", target, content, headers)
        answer = link.getresponse()
        body = answer.read()
    finally:
        link.close()
    for line in answer.headers.get_all("set-cookie") or ():
        _keep(jar, line)
    return answer.status, answer.getheader("location") or "", body


def _keep(jar: Jar, line: str) -> None:
    pair, _, attributes = line.partition(";")
    name, _, value = pair.partition("=")
    if not value or _GONE.search(attributes):
        jar.pop(name.strip(), None)
    else:
        jar[name.strip()] = value.strip()


def _field(jar: Jar) -> str:
    return "; ".join(f"{name}={value}" for name, value in jar.items())
