"""The `Upstream` port over HTTP/1.1."""

import ssl
from collections.abc import Iterable

from gateway.adapters.http1_upstream.pool import PoolState
from gateway.adapters.http1_upstream.servers import Servers
from gateway.adapters.tls import client_context
from gateway.edge.messages import Body, UpstreamRequest
from gateway.edge.upstream_group import UpstreamGroup, UpstreamTls
from gateway.errors import Code, Unavailable
from gateway.ports import Upgraded, UpstreamAnswer


class Http1Upstream:
    """HTTP/1.1 to every group of servers; nothing is remembered from one request to the next.

    No redirect is followed, no cookie kept, no body decoded, and the environment names no proxy and
    no authority (K7, K8, L8, L10).
    """

    def __init__(self, groups: Iterable[UpstreamGroup] = ()) -> None:
        """Read the files that these groups name; raises `Misconfigured`. Opens nothing yet."""
        self._contexts: dict[UpstreamTls | None, ssl.SSLContext] = {}
        for group in groups:
            self._context(group)
        # By identity, for a group's value is long to compare; who is asked for is kept alive.
        self._by_id: dict[int, tuple[UpstreamGroup, Servers]] = {}
        self._by_value: dict[UpstreamGroup, Servers] = {}
        self._closed = False

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        """See the port."""
        return await self._servers(request.group).send(request, body)

    async def upgrade(self, request: UpstreamRequest) -> Upgraded | UpstreamAnswer:
        """See the port."""
        return await self._servers(request.group).upgrade(request)

    def states(self) -> list[PoolState]:
        """Count this worker's connections to each server."""
        return [state for servers in self._by_value.values() for state in servers.states()]

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        for servers in self._by_value.values():
            await servers.aclose()

    def _servers(self, group: UpstreamGroup) -> Servers:
        known = self._by_id.get(id(group))
        if known is not None:
            return known[1]
        if self._closed:
            raise Unavailable(Code.UPSTREAM_OVERLOADED, note="closing")
        servers = self._by_value.get(group)
        if servers is None:
            servers = self._by_value[group] = Servers(group, self._context(group))
        self._by_id[id(group)] = (group, servers)
        return servers

    def _context(self, group: UpstreamGroup) -> ssl.SSLContext | None:
        if not group.origin.startswith("https:"):
            return None
        context = self._contexts.get(group.tls)
        if context is None:
            tls = group.tls or UpstreamTls()
            context = client_context(
                tls.ca_file, key="routes", certificate=tls.certificate, private_key=tls.key
            )
            context.set_alpn_protocols(["http/1.1"])  # never read as another protocol (RFC 9325)
            self._contexts[group.tls] = context
        return context
