"""The parsers of `gateway/edge` and `gateway/server`: what browsers and upstreams write."""

import re
from ipaddress import ip_address, ip_network

from gateway.edge.administration import (
    PATH,
    End,
    Look,
    OnePerson,
    OneSession,
    read_order,
)
from gateway.edge.answer_framing import CHUNKED, UNTIL_CLOSE, MalformedAnswer, answer_framing
from gateway.edge.challenge import rejects_token
from gateway.edge.cookies import (
    SESSION_COOKIE,
    allowed_set_cookie,
    forwarded_cookies,
    read_cookie,
)
from gateway.edge.csrf import Guard, refuse_cross_site
from gateway.edge.field_names import MalformedField, fate_in_answer, fate_in_request
from gateway.edge.forwarded import UNKNOWN, ForwardedPolicy, client_address, forwarded_fields
from gateway.edge.headers import request_fields, response_fields
from gateway.edge.host import PublicOrigin, parse_public_origin, require_our_host
from gateway.edge.messages import BrowserRequest, Fields, UpstreamRequest
from gateway.edge.outgoing import refuse_tokens
from gateway.edge.return_to import check_return_to
from gateway.edge.rewrite import public_location
from gateway.edge.routes import Access, Route, TokenKind, ToUpstream
from gateway.edge.target import parse_target
from gateway.edge.trace import request_id, trace_context
from gateway.edge.upstream_group import UpstreamGroup
from gateway.edge.websocket import Handshake, check_handshake, for_upstream, switching_fields
from gateway.errors import Code
from gateway.server.framing import judge_framing
from tests.support.parsers import Parser, fields_of
from tests.unit.edge.vectors import read_vectors

OURS = b"app.example.com"
ORIGIN = PublicOrigin("https", "app.example.com", 443)
TRUSTING = ForwardedPolicy((ip_network("10.0.0.0/8"),))
PROXY = "10.0.0.1"
GROUP = UpstreamGroup(("http://orders:8080",))
ORDERS = Route(
    "/api/orders/",
    Access.SESSION,
    frozenset({"GET"}),
    ToUpstream(GROUP, b"/v1/", TokenKind.USER),
)
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3, and so is what answers it
HANDSHAKE = Handshake(KEY, (b"chat", b"superchat"))

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_NO_LINE_END = re.compile(rb"[^\x00\r\n]*")


def asked(fields: Fields, target: bytes = b"/", method: str = "GET") -> BrowserRequest:
    return BrowserRequest(method, target, fields, PROXY)


def well_formed(fields: Fields) -> None:
    for name, value in fields:
        assert _TOKEN.fullmatch(name)
        assert _NO_LINE_END.fullmatch(value)


def _target(octets: bytes) -> None:
    target = parse_target(octets, authority_expected=OURS)
    assert octets.endswith(target.wire if target.path != b"/" else target.wire[1:])
    assert parse_target(target.wire, authority_expected=b"") == target
    refuse_tokens(target)


def _admin_order(octets: bytes) -> None:
    """A target of the operators' listener; both methods mean the same sessions."""
    end = read_order("DELETE", octets)
    assert octets.startswith(PATH)
    assert isinstance(end, End)
    if isinstance(end.whose, OnePerson | OneSession):
        assert read_order("GET", octets) == Look(end.whose)


def _host(octets: bytes) -> None:
    require_our_host(asked(((b"host", octets),)), ORIGIN, frozenset({"lb.internal"}))
    assert octets.lower().partition(b":")[0] in (OURS, b"lb.internal")


def _public_origin(octets: bytes) -> None:
    origin = parse_public_origin(octets.decode("latin-1"))
    assert parse_public_origin(str(origin)) == origin


def _cookies(octets: bytes) -> None:
    """Lines of Cookie fields."""
    request = asked(tuple((b"cookie", line) for line in octets.split(b"\r\n")))
    allowed = frozenset({"a", "b", SESSION_COOKIE})
    passed = forwarded_cookies(request, allowed)
    if passed is not None:
        assert SESSION_COOKIE.lower().encode() not in {
            one.partition(b"=")[0].lower() for one in passed.split(b"; ")
        }
        assert forwarded_cookies(asked(((b"cookie", passed),)), allowed) == passed
    value = read_cookie(request, SESSION_COOKIE)
    if value is not None:
        again = f"{SESSION_COOKIE}={value}".encode("ascii")
        assert read_cookie(asked(((b"cookie", again),)), SESSION_COOKIE) == value


def _set_cookie(octets: bytes) -> None:
    if allowed_set_cookie(octets, frozenset({"a", SESSION_COOKIE})):
        assert octets.partition(b"=")[0].strip(b" \t") == b"a"
        assert _NO_LINE_END.fullmatch(octets)


def _forwarded(octets: bytes) -> None:
    """The same octets as either field, from a proxy that is believed."""
    for name in (b"x-forwarded-for", b"forwarded"):
        request = asked(tuple((name, line) for line in octets.split(b"\r\n")))
        address = client_address(request, TRUSTING)
        assert address == UNKNOWN or str(ip_address(address)) == address
        ours = forwarded_fields(address, request, TRUSTING, ORIGIN)
        well_formed(ours)
        for field in (ours[:1], ours[3:]):
            assert client_address(asked(field), TRUSTING) == address


def _handshake(octets: bytes) -> None:
    handshake = check_handshake(asked(fields_of(octets)))
    assert len(handshake.accept) == 28
    sent = for_upstream(UpstreamRequest("GET", GROUP, b"/", ()), handshake)
    well_formed(sent.fields)
    connected = (*sent.fields, (b"connection", b"upgrade"))
    assert check_handshake(asked(connected)) == handshake


def _switching(octets: bytes) -> None:
    fields = switching_fields(HANDSHAKE, fields_of(octets))
    well_formed(fields)
    assert switching_fields(HANDSHAKE, fields) == fields


def _request_fields(octets: bytes) -> None:
    kept = request_fields(asked(fields_of(octets)), pass_cookies=frozenset({"a"}))
    well_formed(kept)
    assert request_fields(asked(kept), pass_cookies=frozenset({"a"})) == kept


def _response_fields(octets: bytes) -> None:
    for used in (False, True):
        kept = response_fields(
            fields_of(octets), pass_set_cookies=frozenset({"a"}), session_used=used
        )
        well_formed(kept)


def _field_names(octets: bytes) -> None:
    for judge in (fate_in_request, fate_in_answer):
        fate, name = judge(octets)
        assert _TOKEN.fullmatch(name)
        assert judge(name) == (fate, name)


def _answer_framing(octets: bytes) -> None:
    """A status in three digits, then fields."""
    status, _, rest = octets.partition(b"\r\n")
    if not re.fullmatch(rb"[0-9]{3}", status):
        return
    for is_old in (False, True):
        length, persistent = answer_framing(
            int(status), fields_of(rest), to_head=False, is_http_1_0=is_old
        )
        assert length >= 0 or length in (CHUNKED, UNTIL_CLOSE)
        assert not (persistent and (length == UNTIL_CLOSE or is_old))


def _request_framing(octets: bytes) -> None:
    for version in ("1.0", "1.1"):
        framing = judge_framing(fields_of(octets), version)
        assert framing.length is None or framing.length >= 0


def _trace(octets: bytes) -> None:
    fields = [field for field in fields_of(octets) if field[0].startswith(b"trace")]
    kept = trace_context(fields)
    well_formed(kept)
    assert trace_context(list(kept)) == kept
    assert re.fullmatch(
        r"[!-~]{1,200}", request_id(asked(fields_of(octets)), trusted=True, fresh="fresh")
    )


def _return_to(octets: bytes) -> None:
    local = check_return_to(octets.decode("latin-1"), ORIGIN)
    assert local.startswith("/")
    assert not local.startswith(("//", "/\\"))
    assert check_return_to(local, ORIGIN) == local


def _location(octets: bytes) -> None:
    public = public_location(octets, ORDERS, ORIGIN, frozenset({b"internal"}))
    if public is not None:
        assert not re.search(rb"[\x00-\x20\x7f\\]", public)
        assert not re.match(
            rb"(?:https?:)?//(?:orders|internal)\.*(?:[:/?#]|$)", public, re.IGNORECASE
        )


def _challenge(octets: bytes) -> None:
    fields = ((b"www-authenticate", octets),)
    if rejects_token(401, fields):
        assert b"invalid_token" in octets
        assert b"bearer" in octets.lower()
    assert not rejects_token(403, fields)


def _cross_site(octets: bytes) -> None:
    for guard in Guard:
        refuse_cross_site(asked(fields_of(octets)), ORIGIN, guard)


def _vectors(name: str) -> tuple[bytes, ...]:
    return tuple(text.encode("latin-1", "replace") for _, text in read_vectors(name))


_CROSS_SITE = frozenset(
    {
        *(Code.CSRF_MISSING, Code.CSRF_CROSS_SITE, Code.CSRF_ORIGIN),
        Code.LOGIN_NAVIGATION_ONLY,
    }
)
_FRAMING = frozenset(
    {
        *(Code.VERSION_UNSUPPORTED, Code.HOST_MALFORMED, Code.CODING_UNSUPPORTED),
        *(Code.EXPECTATION_FAILED, Code.REQUEST_MALFORMED),
    }
)
_TARGET = frozenset(
    {Code.TARGET_MALFORMED, Code.TARGET_TOO_LONG, Code.HOST_MISDIRECTED, Code.TOKEN_IN_REQUEST}
)
_HANDSHAKE = frozenset({Code.WEBSOCKET_MALFORMED, Code.WEBSOCKET_VERSION, Code.TOKEN_IN_REQUEST})

_ADMIN_ORDER = frozenset({Code.ROUTE_NOT_FOUND, Code.ADMIN_SELECTOR, Code.SESSION_NOT_FOUND})
PARSERS = (
    Parser("target", "edge/target.py", _target, _TARGET, seeds=_vectors("targets.txt")),
    Parser("admin_order", "edge/administration.py", _admin_order, _ADMIN_ORDER),
    Parser("host", "edge/host.py", _host, frozenset({Code.HOST_MALFORMED, Code.HOST_MISDIRECTED})),
    Parser("public_origin", "edge/host.py", _public_origin, errors=(ValueError,)),
    Parser("cookies", "edge/cookies.py", _cookies, frozenset({Code.SESSION_AMBIGUOUS})),
    Parser("set_cookie", "edge/cookies.py", _set_cookie),
    Parser("forwarded", "edge/forwarded.py", _forwarded),
    Parser("websocket_request", "edge/websocket.py", _handshake, _HANDSHAKE),
    Parser(
        "websocket_answer", "edge/websocket.py", _switching, frozenset({Code.UPSTREAM_PROTOCOL})
    ),
    Parser("request_fields", "edge/headers.py", _request_fields, frozenset({Code.FIELD_MALFORMED})),
    Parser(
        "response_fields", "edge/headers.py", _response_fields, frozenset({Code.UPSTREAM_PROTOCOL})
    ),
    Parser("field_names", "edge/field_names.py", _field_names, errors=(MalformedField,)),
    Parser("answer_framing", "edge/answer_framing.py", _answer_framing, errors=(MalformedAnswer,)),
    Parser("request_framing", "server/framing.py", _request_framing, _FRAMING),
    Parser("trace", "edge/trace.py", _trace),
    Parser(
        "return_to",
        "edge/return_to.py",
        _return_to,
        frozenset({Code.LOGIN_RETURN_TO}),
        seeds=_vectors("return_to.txt"),
    ),
    Parser("location", "edge/rewrite.py", _location),
    Parser("challenge", "edge/challenge.py", _challenge),
    Parser("cross_site", "edge/csrf.py", _cross_site, _CROSS_SITE),
)
