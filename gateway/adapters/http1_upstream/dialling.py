"""Opening a connection: name, TCP, TLS, all of it within one deadline."""

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.adapters.http1_upstream.connection import Connection, Home
from gateway.errors import Code, Unavailable

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, and what its certificate must be for; `tls` None is plain http."""

    origin: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str | None


def address_of(origin: str, tls: ssl.SSLContext | None, server_name: str | None) -> Address:
    """Read `scheme://host[:port]`, which configuration has checked."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return Address(origin, host, parts.port or _DEFAULT_PORTS["http"], None, None)
    port = parts.port or _DEFAULT_PORTS["https"]
    return Address(origin, host, port, tls, server_name or host)


async def dial(address: Address, timeout: float, home: Home) -> Connection:  # noqa: ASYNC109  one deadline for three waits
    """Return an open connection; raises Unavailable(UPSTREAM_CONNECT).

    The note names the kind of failure only: what a server or a resolver says may be anything.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            _, connection = await loop.create_connection(
                lambda: Connection(home, loop),
                address.host,
                address.port,
                ssl=address.tls,
                server_hostname=address.server_name,
            )
    except (OSError, UnicodeError) as failure:  # TimeoutError and SSLError are OSErrors
        raise Unavailable(Code.UPSTREAM_CONNECT, note=type(failure).__name__) from None
    if not connection.is_open:
        raise Unavailable(Code.UPSTREAM_CONNECT, note="closed at once")
    return connection
