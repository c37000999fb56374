"""The `Upstream` port: HTTP/1.1 of our own, on asyncio protocols and httptools (ADR 0008).

From the outside in: `client` finds the group, `servers` picks one of its servers, `pool` hands out
that server's connections, `exchange` runs one request on a `connection`, and `answer_reader` reads
what comes back. The framing rules themselves are pure and lie in `gateway/edge`.
"""
