"""The servers of one group: which of them gets a request, and when another one does.

A request is sent twice in two cases only, and in neither can a server have acted on it: no
connection came about (the next server is tried), or a connection that had lain idle turned out to
be closed, not an octet of a body was on its way, and the method may be repeated (H13).
"""

import asyncio
import ssl
from functools import partial
from math import inf

from gateway.adapters.http1_upstream.checks import Checks
from gateway.adapters.http1_upstream.connection import Connection
from gateway.adapters.http1_upstream.dialling import address_of, dial
from gateway.adapters.http1_upstream.exchange import Exchange
from gateway.adapters.http1_upstream.pool import Pool, PoolState
from gateway.adapters.http1_upstream.request_body import RequestBody
from gateway.edge.headers import content_length
from gateway.edge.messages import Body, UpstreamRequest
from gateway.edge.request_framing import head_before_body, head_of_upgrade, head_without_body
from gateway.edge.upstream_group import UpstreamGroup
from gateway.errors import Code, Unavailable
from gateway.ports import Upgraded, UpstreamAnswer

# RFC 9110 section 9.2.2, without TRACE, which is not spoken here.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class Servers:
    """What one worker knows about the servers of a group, and its connections to them."""

    def __init__(self, group: UpstreamGroup, tls: ssl.SSLContext | None) -> None:
        """Must be called in the event loop it is for; opens nothing yet."""
        self._loop = asyncio.get_running_loop()
        self._times = group.timeouts
        name = group.tls.server_name if group.tls else None
        addresses = [address_of(origin, tls, name) for origin in group.origins]
        connect = group.timeouts.connect
        self._pools = [
            Pool(address.origin, partial(dial, address, connect), group.limits)
            for address in addresses
        ]
        self._only = self._pools[0] if len(self._pools) == 1 else None
        self._turn = 0
        self._checks: Checks | None = None
        if group.health is not None:
            healths = [pool.health for pool in self._pools]
            asked = list(zip(addresses, healths, strict=True))
            self._checks = Checks(group.health, group.origin, asked)

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        """See the port."""
        total = self._times.total
        until = inf if total is None else self._loop.time() + total
        if body is None:
            octets = head_without_body(request)
            return (await self._perform(request, octets, None, until)).answer()
        length = content_length(request.fields)
        rest = RequestBody(body, length)
        # Head and first piece go together: a small request is one packet, and a browser that
        # sends a head and then nothing holds no connection of the upstream's.
        octets = head_before_body(request, length) + await rest.next()
        return (await self._perform(request, octets, rest, until)).answer()

    async def upgrade(self, request: UpstreamRequest) -> Upgraded | UpstreamAnswer:
        """See the port."""
        octets = head_of_upgrade(request)
        exchange = await self._perform(request, octets, None, inf, upgrade=True)
        answer = exchange.answer()
        wire = exchange.wire
        if wire is None:
            return answer
        if _upgrades(answer.fields) != _upgrades(request.fields):
            wire.abort()
            raise Unavailable(Code.UPSTREAM_PROTOCOL, note="a 101 to something else")
        return Upgraded(answer.fields, wire)

    def states(self) -> list[PoolState]:
        """Count the connections to each server."""
        return [pool.state() for pool in self._pools]

    async def aclose(self) -> None:
        """Close every connection, and ask nobody how he is any more."""
        if self._checks is not None:
            await self._checks.aclose()
        for pool in self._pools:
            await pool.aclose()

    # ----------------------------------------------------------------------------------------------

    async def _perform(
        self,
        request: UpstreamRequest,
        octets: bytes,
        rest: RequestBody | None,
        until: float,
        *,
        upgrade: bool = False,
    ) -> Exchange:
        """Return an exchange whose answer has begun; raises what the port says."""
        if self._checks is not None:
            self._checks.begin()
        connection = self._only.take() if self._only is not None and not upgrade else None
        if connection is None:
            connection = await self._connected(until, fresh=upgrade)
        to_head = request.method == "HEAD"
        exchange = Exchange(connection, self._times, until, to_head=to_head, upgrade=upgrade)
        await exchange.perform(octets, rest)
        if exchange.stale and rest is None and request.method in _REPEATABLE:
            connection = await self._connected(until, fresh=True)
            exchange = Exchange(connection, self._times, until, to_head=to_head)
            await exchange.perform(octets, None)
        if exchange.failure is not None and not exchange.status:
            raise exchange.take_failure()
        return exchange

    async def _connected(self, until: float, *, fresh: bool) -> Connection:
        """Return a connection to whichever server can be reached."""
        tried: list[Pool] = []
        while True:
            pool = self._choose(tried)
            connection = None if fresh else pool.take()
            try:
                return connection or await pool.wait(until, fresh=fresh)
            except Unavailable as failure:
                tried.append(pool)
                if failure.code is not Code.UPSTREAM_CONNECT or len(tried) == len(self._pools):
                    raise

    def _choose(self, tried: list[Pool]) -> Pool:
        """Return the server with the fewest requests under way; equal ones take turns.

        If all are left alone, the one whose pause ends first is not: any answer beats none.
        """
        now = self._loop.time()
        self._turn = turn = (self._turn + 1) % len(self._pools)
        pools = [pool for pool in self._pools[turn:] + self._pools[:turn] if pool not in tried]
        admitted = [pool for pool in pools if pool.health.admits(now)]
        if admitted:
            pool = min(admitted, key=lambda pool: pool.load)
        else:
            pool = min(pools, key=lambda pool: (pool.health.is_ill, pool.health.out_until))
        pool.health.chosen(now)
        return pool


def _upgrades(fields: tuple[tuple[bytes, bytes], ...]) -> list[bytes]:
    return [value.lower() for name, value in fields if name == b"upgrade"]
