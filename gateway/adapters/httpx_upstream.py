"""The `Upstream` port over httpx2's bare transport: simple first, behind the seam.

Never an httpx *client* here: a shared client's cookie jar carried one user's upstream cookies into
another user's request. The transport sends exactly the fields it is given, follows nothing and
decodes nothing. The target goes out as the octets that were routed, not as httpx would write it.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import cast

import httpx2

from gateway.adapters.tls import client_context
from gateway.edge.messages import Body, UpstreamRequest
from gateway.errors import Code, Unavailable
from gateway.ports import Upgraded, UpstreamAnswer


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Limits towards upstreams; times in seconds."""

    connect_timeout: float = 2.0
    read_timeout: float = 60.0
    write_timeout: float = 30.0
    pool_timeout: float = 2.0
    max_connections: int = 200
    keepalive_expiry: float = 15.0


class HttpxUpstream:
    """HTTP/1.1 to upstreams, one connection pool for all of them."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._timeout = {
            "connect": settings.connect_timeout,
            "read": settings.read_timeout,
            "write": settings.write_timeout,
            "pool": settings.pool_timeout,
        }
        self._transport = httpx2.AsyncHTTPTransport(
            verify=client_context(None, key="routes"),
            trust_env=False,  # HTTP_PROXY in the environment never sees a token (K8)
            limits=httpx2.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=settings.keepalive_expiry,
            ),
        )

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        """Send one request; see the port."""
        outgoing = httpx2.Request(
            request.method,
            request.group.origin,
            headers=list(request.fields),
            content=body,
            extensions={"target": request.target, "timeout": self._timeout},
        )
        with _translated():
            response = await self._transport.handle_async_request(outgoing)
        fields = tuple((name.lower(), value) for name, value in response.headers.raw)
        return UpstreamAnswer(response.status_code, fields, _Answer(response))

    async def upgrade(self, _: UpstreamRequest) -> Upgraded | UpstreamAnswer:
        """See the port."""
        raise Unavailable(Code.UPSTREAM_PROTOCOL, note="upgrades are not spoken")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


class _Answer:
    """The octets as they came, undecoded; closing it closes the exchange, begun or not."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = cast("httpx2.AsyncByteStream", self._response.stream)
        with _translated():
            async for piece in stream:
                yield piece

    async def aclose(self) -> None:
        with _translated():
            await self._response.aclose()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the library's failures into ours, naming the side that failed."""
    try:
        yield
    except httpx2.PoolTimeout:
        raise Unavailable(Code.UPSTREAM_OVERLOADED, note="no free connection") from None
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as failure:
        raise Unavailable(Code.UPSTREAM_CONNECT, note=type(failure).__name__) from None
    except httpx2.TimeoutException as failure:
        raise Unavailable(Code.UPSTREAM_TIMEOUT, note=type(failure).__name__) from None
    except httpx2.TransportError as failure:
        # `from None`: the library's text quotes what the upstream sent, and that is nobody's log's.
        raise Unavailable(Code.UPSTREAM_PROTOCOL, note=type(failure).__name__) from None
    except Exception as failure:
        if type(failure).__module__.partition(".")[0] not in ("h11", "httpcore2"):
            raise  # a body's own failure, or a bug of ours
        raise Unavailable(Code.UPSTREAM_PROTOCOL, note=type(failure).__name__) from None
