"""What each field name means for a gateway, decided once per name.

Facts: upstreams behind CGI, WSGI or PHP fold every `-` and `_` (old Apache: every character that
is not a letter or digit) to one character, so `X_Forwarded_User` and `x.forwarded.user` arrive
there as `X-Forwarded-User` (CVE-2025-64484). Names are therefore judged folded (L4).
"""

import re
from enum import Enum, auto
from functools import lru_cache


class MalformedField(ValueError):
    """A field no HTTP message may hold (RFC 9110 section 5); the caller knows whose fault it is."""


class Fate(Enum):
    """What happens to a field line on its way through."""

    PASS = auto()
    DROP = auto()
    CONNECTION = auto()  # names further fields to drop
    LENGTH = auto()  # Content-Length: at most one, validated
    CODING = auto()  # Transfer-Encoding: judged, never passed
    TRACE = auto()  # traceparent, tracestate: passed if well formed
    SET_COOKIE = auto()  # passed if allowed
    CACHING = auto()  # what caches obey: ours when a session was used
    VARY = auto()


_LONGEST_NAME = 128
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_FOLDED_AWAY = re.compile(rb"[^0-9a-z]")

# RFC 9110 section 7.6.1, RFC 7540 section 3.2.1 (L2, P2); `Proxy` becomes HTTP_PROXY (httpoxy).
_HOP_BY_HOP = frozenset({b"keep-alive", b"te", b"trailer", b"upgrade", b"http2-settings", b"proxy"})

# Ours to say, never a browser's (L3, L4): identity, address, address rewriting, method override
# (C8), credentials (H14, I8), the CSRF proof, framing and the request id.
_PROTECTED = _HOP_BY_HOP | {
    b"access-token",
    b"authorization",
    b"cf-connecting-ip",
    b"client-cert",
    b"client-cert-chain",
    b"connection",
    b"content-length",
    b"cookie",
    b"cookie2",
    b"dpop",
    b"dpop-nonce",
    b"expect",
    b"forwarded",
    b"front-end-https",
    b"host",
    b"max-forwards",
    b"transfer-encoding",
    b"true-client-ip",
    b"x-access-token",
    b"x-client-cert",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-csrf",
    b"x-forwarded",
    b"x-host",
    b"x-http-host-override",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-real-ip",
    b"x-request-id",
    b"x-rewrite-url",
    b"x-scheme",
    b"x-url-scheme",
}
_PROTECTED_FAMILIES = (
    b"cf-access-",
    b"fastly-client-",
    b"fly-client-ip",
    b"iv-",  # IBM Security Verify: iv-user, iv-groups, iv-creds
    b"oidc-",  # mod_auth_openidc: OIDC_CLAIM_*, OIDC_access_token
    b"shib-",
    b"sm-",  # SiteMinder: SM_USER
    b"smuser",
    b"client-ip",
    b"tailscale-",
    b"wl-proxy-",
    b"x-amzn-oidc-",
    b"x-authelia-",
    b"x-consumer-",
    b"x-envoy-",
    b"x-goog-",
    b"x-ms-client-principal",
    b"x-pomerium-",
    b"x-anonymous-consumer",
    b"x-apigateway-api-userinfo",
    b"x-appengine-",
    b"x-arr-",
    b"x-auth-email",
    b"x-auth-groups",
    b"x-auth-request-",
    b"x-auth-roles",
    b"x-auth-subject",
    b"x-auth-user",
    b"x-credential-",
    b"x-endpoint-api-",
    b"x-hasura-",
    b"x-id-token",
    b"x-jwt-assertion",
    b"x-jwt-payload",
    b"x-userinfo",
    b"x-vouch-",
    b"proxy-",
    b"remote-",  # remote-user, remote-groups
    b"ssl-client-",
    b"x-authenticated-",
    b"x-authentik-",
    b"x-forwarded-",
    b"x-middleware-",  # CVE-2025-29927
    b"x-original-",
    b"x-remote-",
    b"x-ssl-client-",
    b"x-webauth-",
)

# These pass, but only as themselves: the gateway has judged this spelling and no other.
_ONE_SPELLING = frozenset(
    {
        b"content-encoding",
        b"content-type",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"sec-fetch-user",
    }
)

_FRAMING = {
    b"connection": Fate.CONNECTION,
    b"content-length": Fate.LENGTH,
    b"transfer-encoding": Fate.CODING,
}
_OF_REQUESTS = _FRAMING | {b"traceparent": Fate.TRACE, b"tracestate": Fate.TRACE}

# What an upstream may not tell our browsers (L2, L12, L13): its make, a login prompt, and rules
# that would hold for the whole origin or for a server in front of us.
_NOT_FOR_BROWSERS = _HOP_BY_HOP | {
    b"alt-svc",
    b"authentication-info",
    b"clear-site-data",
    b"dpop-nonce",
    b"expect-ct",
    b"nel",
    b"public-key-pins",
    b"public-key-pins-report-only",
    b"refresh",
    b"report-to",
    b"server",
    b"sec-session-registration",
    b"secure-session-registration",
    b"service-worker-allowed",
    b"set-cookie2",
    b"set-login",
    b"strict-transport-security",
    b"use-as-dictionary",
    b"via",
    b"www-authenticate",
    b"x-aspnet-version",
    b"x-aspnetmvc-version",
    b"x-lighttpd-send-file",
    b"x-powered-by",
    b"x-request-id",
    b"x-sendfile",
}
_FAMILIES_NOT_FOR_BROWSERS = (b"access-control-", b"proxy-", b"x-accel-")

_OF_ANSWERS = _FRAMING | {
    b"set-cookie": Fate.SET_COOKIE,
    b"vary": Fate.VARY,
    b"age": Fate.CACHING,
    b"cache-control": Fate.CACHING,
    b"edge-control": Fate.CACHING,
    b"expires": Fate.CACHING,
    b"pragma": Fate.CACHING,
    b"surrogate-control": Fate.CACHING,
}


@lru_cache(maxsize=2048)
def fate_in_request(name: bytes) -> tuple[Fate, bytes]:
    """Return the fate of a browser's field and its name in lower case.

    Raises MalformedField for a name that is no token (RFC 9110 section 5.6.2), or too long.
    """
    name = _checked(name)
    if name in _OF_REQUESTS:
        return _OF_REQUESTS[name], name
    folded = _FOLDED_AWAY.sub(b"-", name)
    if folded in _PROTECTED or folded.startswith(_PROTECTED_FAMILIES):
        return Fate.DROP, name
    if folded != name and folded in _ONE_SPELLING:
        return Fate.DROP, name
    return Fate.PASS, name


@lru_cache(maxsize=2048)
def fate_in_answer(name: bytes) -> tuple[Fate, bytes]:
    """Return the fate of an upstream's field and its name in lower case.

    Raises MalformedField as `fate_in_request` does.
    """
    name = _checked(name)
    if name in _OF_ANSWERS:
        return _OF_ANSWERS[name], name
    if name in _NOT_FOR_BROWSERS or name.startswith(_FAMILIES_NOT_FOR_BROWSERS):
        return Fate.DROP, name
    # CDN-Cache-Control (RFC 9213) and each vendor's own.
    if name.endswith(b"cdn-cache-control"):
        return Fate.CACHING, name
    return Fate.PASS, name


def _checked(name: bytes) -> bytes:
    # The bound is also the bound of the memory the two caches above may take.
    name = name.lower()
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise MalformedField("a field name is not a token")
    return name
