"""The `BackChannel` port: HTTPS to providers, and with the upstream the only home of httpx2.

Token endpoints are asked with credentials in hand, and their answers are believed. So nothing here
is clever: no redirect is followed (a 302 to an internal address would be a forged request, F2), no
cookie is kept, no proxy, `.netrc` or certificate of the environment is used (K8), nothing is
unpacked (a gzip bomb stays a few bytes), and one deadline covers it all (H20), because a time-out
per read never ends against one octet a second. No request is sent twice: a code is good for one
use, and a rotated refresh token too.
"""

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from weakref import WeakValueDictionary

import httpx2

from gateway.adapters.tls import client_context
from gateway.errors import Code, Effect, NoTurn, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest

_LONGEST_RETRY_AFTER = 3600  # seconds; no provider decides that nobody may log in for a day
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
_LONGEST_TURN = 2.5  # seconds to wait for a connection, while a lock on a grant is held
_KEEP_IDLE = 3.0  # seconds; servers close idle connections after 5 or more, and must not win a race


@dataclass(frozen=True, slots=True)
class BackChannelSettings:
    """Limits towards providers (H20). Times in seconds, sizes in octets.

    `ca_file` is a PEM bundle that replaces the system's certificate authorities.
    """

    ca_file: str | None = None
    total_timeout: float = 5.0
    refresh_timeout: float = 30.0  # instead, for what cannot be asked for twice
    connect_timeout: float = 2.0
    max_body: int = 1024 * 1024
    max_connections: int = 20  # to one server


class ProviderHttp:
    """Connections to all providers, for the whole process; each server has its own share."""

    def __init__(self, settings: BackChannelSettings) -> None:
        """Open nothing yet. Raises `Misconfigured` when `ca_file` cannot be read."""
        self._settings = settings
        self._client = httpx2.AsyncClient(
            verify=client_context(settings.ca_file, key="ca_file"),
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"accept-encoding": "identity", "user-agent": "bff-session-gateway"},
            timeout=httpx2.Timeout(settings.total_timeout, connect=settings.connect_timeout),
            limits=httpx2.Limits(
                max_connections=None,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=_KEEP_IDLE,
            ),
        )
        # One that hangs holds its own connections for half a minute, and nobody else's. What is
        # in here is in use.
        self._shares: WeakValueDictionary[bytes, asyncio.Semaphore] = WeakValueDictionary()

    async def send(self, request: BackChannelRequest) -> BackChannelAnswer:
        """See the port."""
        url = _permitted(request.url)
        settings = self._settings
        seconds = settings.total_timeout
        if request.is_for_once:
            seconds = max(seconds, settings.refresh_timeout)
        try:
            async with asyncio.timeout(seconds), self._share(url):
                return await self._exchange(url, request, seconds)
        except Unavailable:
            raise
        except Exception as fault:  # an answer in pieces may surface as any exception
            kind = fault.reason if isinstance(fault, _Unacceptable) else type(fault).__name__
            effect = Effect.NOTHING if isinstance(fault, _NOT_SENT) else Effect.LOST
            raise _unavailable(f"{url.host}: {kind}", effect) from fault

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    @asynccontextmanager
    async def _share(self, url: httpx2.URL) -> AsyncIterator[None]:
        """Hold one of the connections that one server may have.

        Waiting ends well before the deadline: nothing has been sent, and that has to be known.
        """
        fresh = asyncio.Semaphore(self._settings.max_connections)
        share = self._shares.setdefault(url.netloc, fresh)
        try:
            async with asyncio.timeout(min(self._settings.total_timeout / 2, _LONGEST_TURN)):
                await share.acquire()
        except TimeoutError as fault:
            note = f"provider {url.host}: all connections to it are in use"
            raise NoTurn(Code.PROVIDER_UNAVAILABLE, note=note, effect=Effect.NOTHING) from fault
        try:
            yield
        finally:
            share.release()

    async def _exchange(
        self, url: httpx2.URL, request: BackChannelRequest, seconds: float
    ) -> BackChannelAnswer:
        sending = self._client.stream(
            request.method,
            url,
            headers=list(request.fields),
            content=request.body or None,
            timeout=httpx2.Timeout(seconds, connect=self._settings.connect_timeout),
        )
        async with sending as response:
            return BackChannelAnswer(
                status=response.status_code,
                content_type=_content_type(response.headers),
                body=await self._body(response),
                retry_after=_retry_after(response.headers),
            )

    async def _body(self, response: httpx2.Response) -> bytes:
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise _Unacceptable("a coded body, which was not asked for")
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > self._settings.max_body:
                raise _Unacceptable("body too large")
        return bytes(body)


class _Unacceptable(Exception):
    """An answer we stop listening to."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _permitted(url: str) -> httpx2.URL:
    """Return a URL we may send credentials to (OAuth 2.1 section 1.5: always TLS).

    What is checked is what is sent: a second parser might see another host in the same text.
    """
    try:
        parsed = httpx2.URL(url)
    except Exception as fault:
        raise _unavailable("not a URL") from fault
    if not parsed.host or parsed.userinfo:
        raise _unavailable("not a URL of a provider")
    if parsed.scheme == "https" or (parsed.scheme == "http" and _is_loopback(parsed.host)):
        return parsed
    raise _unavailable(f"{parsed.host}: not https")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _content_type(headers: httpx2.Headers) -> str:
    """Return the media type in lower case, without parameters; "" when none or several."""
    found = headers.get_list("content-type")
    return found[0].partition(";")[0].strip().lower() if len(found) == 1 else ""


def _retry_after(headers: httpx2.Headers) -> int | None:
    """Return Retry-After in whole seconds (RFC 9110 section 10.2.3).

    A date counts from the answer's own Date, so that no clock of ours is compared with theirs.
    """
    text = _only(headers, "retry-after")
    if re.fullmatch("[0-9]{1,9}", text):
        return min(int(text), _LONGEST_RETRY_AFTER)
    then, now = _date(text), _date(_only(headers, "date"))
    if then is None or now is None:
        return None
    return min(max(0, int((then - now).total_seconds())), _LONGEST_RETRY_AFTER)


def _only(headers: httpx2.Headers, name: str) -> str:
    found = headers.get_list(name)
    return found[0].strip() if len(found) == 1 else ""


def _date(text: str) -> datetime | None:
    """Return the time of an HTTP date (RFC 9110 section 5.6.7): always GMT, unlike a mail's."""
    if not text.endswith(" GMT"):
        return None
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _unavailable(note: str, effect: Effect = Effect.NOTHING) -> Unavailable:
    return Unavailable(Code.PROVIDER_UNAVAILABLE, note=f"provider {note}", effect=effect)
