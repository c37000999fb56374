"""Whatever an upstream sends, on real sockets: an answer or `Unavailable`, and life goes on."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.edge.messages import Body, UpstreamRequest
from gateway.edge.upstream_group import PoolLimits, Timeouts, UpstreamGroup
from gateway.errors import Code, Unavailable
from gateway.ports import Upgraded
from tests.support.examples import examples
from tests.support.raw_upstream import OK, RawUpstream, raw_upstream
from tests.support.upstream_calls import GROUP, answered, of, pieces, request
from tests.support.wild_answers import answers

EXAMPLES = examples(150)


@dataclass
class Laboratory:
    """An upstream to be scripted, a client, and the loop both live in."""

    runner: asyncio.Runner
    server: RawUpstream
    upstream: Http1Upstream
    group: UpstreamGroup


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop])
def laboratory(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        serving = raw_upstream()
        server = runner.run(serving.__aenter__())
        terms = replace(GROUP, timeouts=Timeouts(5, 0.2, 0.2), limits=PoolLimits(max_connections=2))

        async def client() -> Http1Upstream:
            return Http1Upstream()

        upstream = runner.run(client())
        yield Laboratory(runner, server, upstream, of(server, terms=terms))
        runner.run(upstream.aclose())
        runner.run(serving.__aexit__(None, None, None))


def scripted(
    server: RawUpstream, octets: bytes, ends: list[int], *, then_close: bool
) -> asyncio.Event:
    """Answer with these octets in these packets; the event says that all of them are out."""
    out = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        start = 0
        try:
            for end in [*ends, len(octets)]:
                writer.write(octets[start:end])
                await writer.drain()
                await asyncio.sleep(0)
                start = max(start, end)
            if then_close:
                writer.close()
        finally:
            out.set()

    server.answer = answer
    return out


async def outcome(upstream: Http1Upstream, what: UpstreamRequest, body: Body | None) -> int | Code:
    try:
        return (await answered(upstream, what, body))[0]
    except Unavailable as failure:
        return failure.code


FAILURES = {Code.UPSTREAM_PROTOCOL, Code.UPSTREAM_TIMEOUT}


async def lives_on(laboratory: Laboratory) -> None:
    """The next requests are answered right, and nothing is left of the last one."""
    laboratory.server.answer = OK
    for method in ("POST", "GET", "POST"):
        what = request(laboratory.group, method=method)
        assert (await answered(laboratory.upstream, what))[2] == b"ok"
    (state,) = laboratory.upstream.states()
    assert (state.busy, state.waiting) == (0, 0)


@EXAMPLES
@given(
    octets=st.binary(max_size=200) | answers(),
    ends=st.lists(st.integers(0, 200), max_size=3).map(sorted),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    then_close=st.booleans(),
    with_body=st.booleans(),
)
def test_no_answer_breaks_the_client(
    laboratory: Laboratory,
    octets: bytes,
    ends: list[int],
    method: str,
    then_close: bool,
    with_body: bool,
) -> None:
    server, upstream, group = laboratory.server, laboratory.upstream, laboratory.group

    async def once() -> None:
        out = scripted(server, octets, ends, then_close=then_close)
        body = pieces(b"a", b"b") if with_body else None
        found = await outcome(upstream, request(group, method=method), body)
        assert found in FAILURES or found in range(200, 600)
        await out.wait()
        await asyncio.sleep(0.01)  # what comes behind an answer has come now
        await lives_on(laboratory)

    laboratory.runner.run(asyncio.wait_for(once(), 20))


@EXAMPLES
@given(octets=st.binary(max_size=100) | answers(), then_close=st.booleans())
def test_no_answer_to_an_upgrade_breaks_the_client(
    laboratory: Laboratory, octets: bytes, then_close: bool
) -> None:
    server, upstream, group = laboratory.server, laboratory.upstream, laboratory.group

    async def once() -> None:
        out = scripted(server, octets, [], then_close=then_close)
        try:
            found = await upstream.upgrade(request(group, fields=((b"upgrade", b"x"),)))
        except Unavailable as failure:
            code: Code | None = failure.code
        else:
            code = None
            if isinstance(found, Upgraded):
                found.wire.abort()
            elif not isinstance(found.body, bytes):
                await found.body.aclose()
        assert code is None or code in FAILURES
        await out.wait()
        await asyncio.sleep(0.01)
        await lives_on(laboratory)

    laboratory.runner.run(asyncio.wait_for(once(), 20))
