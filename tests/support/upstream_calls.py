"""Asking an `Upstream` in the words of its port, and reading all of what comes back."""

from collections.abc import AsyncGenerator
from dataclasses import replace

from gateway.edge.messages import Body, Fields, Stream, UpstreamRequest
from gateway.edge.upstream_group import PoolLimits, Timeouts, UpstreamGroup
from gateway.errors import Code, Unavailable
from gateway.ports import Upstream, UpstreamAnswer
from tests.support.raw_upstream import RawUpstream

GROUP = UpstreamGroup(("http://unset",), Timeouts(5, 5, 5), PoolLimits(max_connections=4, wait=5))
"""Terms patient enough for a busy machine; `of` fills in the servers."""


def of(*servers: RawUpstream | str, terms: UpstreamGroup = GROUP) -> UpstreamGroup:
    """The group of these servers, on these terms."""
    return replace(
        terms,
        origins=tuple(one if isinstance(one, str) else one.origin for one in servers),
    )


def request(
    to: RawUpstream | UpstreamGroup,
    target: bytes = b"/x",
    method: str = "GET",
    fields: Fields = (),
) -> UpstreamRequest:
    group = of(to) if isinstance(to, RawUpstream) else to
    host = group.origin.partition("://")[2].encode()
    return UpstreamRequest(method, group, target, ((b"host", host), *fields))


async def answered(
    upstream: Upstream, what: UpstreamRequest, body: Body | None = None
) -> tuple[int, Fields, bytes]:
    """Send, and read the answer to its end."""
    answer = await upstream.send(what, body)
    if isinstance(answer.body, bytes):
        return answer.status, answer.fields, answer.body
    try:
        return answer.status, answer.fields, b"".join([piece async for piece in answer.body])
    finally:
        await answer.body.aclose()


async def failure_of(upstream: Upstream, what: UpstreamRequest, body: Body | None = None) -> Code:
    """Send, and return the code of the failure, before or within the answer."""
    try:
        await answered(upstream, what, body)
    except Unavailable as failure:
        return failure.code
    raise AssertionError("it was answered")


def stream_of(answer: UpstreamAnswer) -> Stream:
    """The body of an answer that cannot have been there at once."""
    assert not isinstance(answer.body, bytes)
    return answer.body


async def pieces(*parts: bytes) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part
