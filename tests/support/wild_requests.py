"""Requests that are right but for one part, for tests that throw them at a socket."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tests.support.world import LOGIN, SESSION

METHODS = [b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"]
ODD_METHODS = [b"TRACE", b"CONNECT", b"PRI", b"PROPFIND", b"FOO", b"get", b"", b"GET\t", b"G(T"]
ODD_VERSIONS = [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 x", b"http/1.1", b"HTTP/1.", b"ICY", b""]
FRAMING = [b"Content-Length", b"Transfer-Encoding", b"Expect", b"Connection", b"Upgrade"]
NAMES = [
    *(b"Cookie", b"Origin", b"Referer", b"Accept", b"Content-Type", b"Range", b"Authorization"),
    *(b"Sec-Fetch-Site", b"Sec-Fetch-Mode", b"Sec-Fetch-Dest", b"X-CSRF", b"X-Request-Id"),
    *(b"Forwarded", b"X-Forwarded-For", b"Via", b"TE", b"Trailer", b"Max-Forwards"),
    *(b"If-None-Match", b"If-Modified-Since", b"Accept-Encoding", b"traceparent", b"X_User"),
    *(b"Keep-Alive", b"HTTP2-Settings", b"Sec-WebSocket-Key", b"Proxy-Connection", b"User-Agent"),
]
PLAUSIBLE = [
    *(b"1", b"0", b"-1", b"99", b"close", b"keep-alive", b"chunked", b"gzip, chunked", b"h2c"),
    *(b"websocket", b"100-continue", b"trailers", b"bytes=0-1", b"bytes=5-", b"bytes=9-1,2"),
    *(b"same-origin", b"cross-site", b"none", b"navigate", b"document", b"text/html", b"*/*"),
    *(b"application/x-www-form-urlencoded", b"application/json", b"multipart/form-data"),
    *(b"Bearer x", b"Basic eDp5", b'W/"x"', b"localhost", b"evil.example", b"for=1.2.3.4;;"),
    f"{SESSION}=x; {SESSION}=y".encode(),
    f"{SESSION}={'A' * 43}.x".encode(),
    f"{LOGIN}={'A' * 43}".encode(),
]
PARAMETERS = [
    *(b"code", b"state", b"iss", b"error", b"return_to", b"prompt", b"provider", b"max_age"),
    *(b"resume", b"login_hint", b"acr_values", b"ui_locales", b"x", b""),
]
ARGUMENTS = [
    *(b"", b"x", b"%ff", b"%00", b"%", b"/open/x", b"//evil", b"none", b"main", b"nobody", b"0"),
    *(b"9" * 25, b"%F0%9F%92%A9", b"+", b"A" * 300, b"access_denied", b"https%3A%2F%2Fid.example"),
]
MANNERS = {
    "script": (
        (b"X-CSRF", b"1"),
        (b"Sec-Fetch-Site", b"same-origin"),
        (b"Sec-Fetch-Mode", b"cors"),
    ),
    "navigation": (
        (b"Sec-Fetch-Site", b"none"),
        (b"Sec-Fetch-Mode", b"navigate"),
        (b"Sec-Fetch-Dest", b"document"),
    ),
    "none": (),
}
FORM = (b"Content-Type", b"application/x-www-form-urlencoded")

octets = st.binary(max_size=120)
visible = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60).map(
    str.encode
)
anything = st.one_of(visible, octets)
queries = st.lists(
    st.tuples(st.sampled_from(PARAMETERS), st.sampled_from(ARGUMENTS)).map(b"=".join), max_size=4
).map(b"&".join)


@dataclass(frozen=True)
class Thrown:
    """A request that is right but for one part."""

    method: bytes
    target: bytes
    version: bytes
    hosts: list[bytes]  # HERE is where the gateway is
    extra: list[tuple[bytes, bytes]]
    body: bytes
    chunked: bool

    @property
    def may_be_unfinished(self) -> bool:
        """Whether a stray part moves the end of the request: no answer is owed to it then."""
        if any(name in FRAMING for name, _ in self.extra):
            return True
        text = [self.method, self.target, *self.hosts, *(value for _, value in self.extra)]
        return any(b"\n" in part for part in text)

    def as_answer_of_a_login(self, query: bytes) -> "Thrown":
        """The same, at the callback: the provider's answer in the query, or spoiled in a form."""
        target = b"/bff/callback/main"
        if self.method in ODD_METHODS:
            return replace(self, target=target + b"?" + query)
        if self.body:
            return replace(self, method=b"POST", target=target, body=query + b"&" + self.body)
        return replace(self, method=b"GET", target=target + b"?" + query)

    def on_the_wire(self, here: bytes, mine: list[tuple[bytes, bytes]]) -> bytes:
        hosts = [(b"Host", host.replace(b"HERE", here)) for host in self.hosts]
        lines = [name + b": " + value for name, value in [*hosts, *mine, *self.extra]]
        line = self.method + b" " + self.target + b" " + self.version
        head = b"".join(one + b"\r\n" for one in [line, *lines])
        return head + framed(self.body, chunked=self.chunked)


PARTS = [
    *("nothing", "query", "target", "method", "version", "host"),
    *("field", "framing", "cookie", "body"),
]


@st.composite
def requests(draw: st.DrawFn, places: Sequence[tuple[bytes, bytes]]) -> Thrown:
    """To these methods and paths; of each request one part at most is wild, to get that far."""
    wild = draw(st.sampled_from(PARTS))

    def one_of(tame: st.SearchStrategy[bytes], odd: st.SearchStrategy[bytes], part: str) -> bytes:
        return draw(odd if wild == part else tame)

    method, path = draw(st.sampled_from(places))
    query = one_of(queries, anything, "query")
    path += b"?" + query if query else b""
    rooted = visible.map(lambda rest: b"/" + rest.replace(b" ", b"%20"))
    extra = [*MANNERS[draw(st.sampled_from(sorted(MANNERS)))]]
    extra += draw(
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(PLAUSIBLE)), max_size=3)
    )
    if wild == "field":
        odd = st.tuples(st.sampled_from(NAMES), anything)
        extra += draw(st.lists(odd, min_size=1, max_size=5, unique_by=lambda one: one[0]))
    elif wild == "framing":
        extra.append((draw(st.sampled_from(FRAMING)), draw(st.sampled_from(PLAUSIBLE) | anything)))
    elif wild == "cookie":
        name = draw(st.sampled_from([SESSION, LOGIN])).encode()
        extra.append((b"Cookie", name + b"=" + draw(anything)))
    body = one_of(queries, anything, "body") if method not in (b"GET", b"HEAD") else b""
    odd_hosts = st.sampled_from([[], [b"HERE", b"HERE"], [b"evil.example"]]) | st.lists(
        anything, min_size=1, max_size=2
    )
    return Thrown(
        one_of(st.just(method), st.sampled_from(ODD_METHODS + METHODS), "method"),
        one_of(st.just(path), st.one_of(rooted, octets), "target"),
        one_of(st.just(b"HTTP/1.1"), st.sampled_from(ODD_VERSIONS), "version"),
        draw(odd_hosts) if wild == "host" else [b"HERE"],
        [*extra, FORM] if body else extra,
        body,
        draw(st.booleans()),
    )


def framed(body: bytes, *, chunked: bool) -> bytes:
    """The end of a head and the body behind it, with a length that is true."""
    if not body:
        return b"\r\n"
    if chunked:
        return b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
