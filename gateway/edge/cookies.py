"""The gateway's two cookies, and what of other cookies may pass (A7, section B).

`__Host-Http-` binds a cookie to this host, to https and to Set-Cookie: neither a sibling
subdomain nor a script can plant one (layered cookies, "The __Host-Http- Prefix"). Browsers refuse
the prefix without Secure, so a gateway that must run without it uses other names.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.edge.messages import BrowserRequest, Field
from gateway.errors import Code, Refused

SESSION_COOKIE = "__Host-Http-session"
LOGIN_COOKIE = "__Host-Http-login"
_BARE_SESSION_COOKIE = "gateway-session"
_BARE_LOGIN_COOKIE = "gateway-login"

LONGEST_VALUE = 512
"""Octets. Every value we make is far shorter."""

_OURS = frozenset(
    name.lower()
    for name in (SESSION_COOKIE, LOGIN_COOKIE, _BARE_SESSION_COOKIE, _BARE_LOGIN_COOKIE)
)
_OUR_PREFIXES = ("__host-http-", "__http-")  # browsers compare prefixes without case
_OUR_STEMS = frozenset({"session", "login"})

# RFC 6265 section 4.1.1 `cookie-octet`: our own values never need anything else.
_COOKIE_OCTETS = re.compile(r"[!#-+\--:<-\[\]-~]+")
# What browsers themselves refuse to store (6265bis section 5.6, step 1); a tab is allowed.
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class SameSite(StrEnum):
    """When a browser sends a cookie along with a cross-site request (6265bis 5.6.7)."""

    STRICT = "Strict"
    LAX = "Lax"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class CookiePolicy:
    """The attributes an operator may choose; everything else is fixed (B1, B2).

    The login cookie must survive the provider's cross-site answer: Lax for a redirect, None for
    `form_post` (B4). `secure=False` is for development without https and costs the prefix.
    """

    session_same_site: SameSite = SameSite.STRICT
    login_same_site: SameSite = SameSite.LAX
    secure: bool = True

    @property
    def session_name(self) -> str:
        """The name of the session cookie."""
        return SESSION_COOKIE if self.secure else _BARE_SESSION_COOKIE

    @property
    def login_name(self) -> str:
        """The name of the login cookie."""
        return LOGIN_COOKIE if self.secure else _BARE_LOGIN_COOKIE


def read_cookie(request: BrowserRequest, name: str) -> str | None:
    """Return the value of the one cookie of this name, over all Cookie lines (B7).

    None when there is none, and when the value is one we never make: empty, above `LONGEST_VALUE`
    octets, quoted, or with other octets than RFC 6265 allows.

    Raises Refused(SESSION_AMBIGUOUS) when the name occurs twice, whatever the order or values:
    one of the two was planted, and nothing says which (B8, RFC 6265 section 8.6).
    """
    wanted = name.encode()
    found = [value for key, value in _pairs(request) if key == wanted]
    if len(found) > 1:
        raise Refused(Code.SESSION_AMBIGUOUS, "The request holds the same cookie twice.")
    if not found:
        return None
    value = found[0].decode("latin-1")
    return value if _is_possible(value) else None


def forwarded_cookies(request: BrowserRequest, allowed: frozenset[str]) -> bytes | None:
    """Return the Cookie value for an upstream: the allow-listed cookies in order, never ours (A7).

    None when nothing is left.
    """
    if not allowed:
        return None
    names = {name.encode() for name in allowed if not _is_ours(name)}
    kept = [
        key + b"=" + value
        for key, value in _pairs(request)
        if key in names and not _CONTROLS.search(value)
    ]
    return b"; ".join(kept) if kept else None


def allowed_set_cookie(value: bytes, allowed: frozenset[str]) -> bool:
    """Whether an upstream's Set-Cookie may reach the browser: listed, and not one of ours (B16)."""
    if _CONTROLS.search(value):
        return False
    name, equals, _ = value.partition(b";")[0].partition(b"=")
    # Without a name, `__Host-Http-session=x` can be the *value* a browser later sends as a name.
    if not equals or not name.strip(b" \t"):
        return False
    text = name.strip(b" \t").decode("latin-1")
    return text in allowed and not _is_ours(text)


def session_cookie(policy: CookiePolicy, value: str) -> Field:
    """Return the Set-Cookie field of a session; it has no Max-Age, the server keeps time (B11)."""
    return _set_cookie(policy, policy.session_name, _made(value), policy.session_same_site)


def expired_session_cookie(policy: CookiePolicy) -> Field:
    """Return the Set-Cookie field that removes the session cookie (B10)."""
    return _set_cookie(policy, policy.session_name, "", policy.session_same_site, max_age=0)


def login_cookie(policy: CookiePolicy, value: str, max_age: int) -> Field:
    """Return the Set-Cookie field of the login binding; `max_age` in seconds."""
    same_site = policy.login_same_site
    return _set_cookie(policy, policy.login_name, _made(value), same_site, max_age=max_age)


def expired_login_cookie(policy: CookiePolicy) -> Field:
    """Return the Set-Cookie field that removes the login binding (B10)."""
    return _set_cookie(policy, policy.login_name, "", policy.login_same_site, max_age=0)


def _set_cookie(
    policy: CookiePolicy, name: str, value: str, same_site: SameSite, max_age: int | None = None
) -> Field:
    lifetime = "" if max_age is None else f"; Max-Age={max_age}"
    # B10: a deletion repeats every attribute, or the browser keeps the cookie.
    secure = "; Secure" if policy.secure else ""
    text = f"{name}={value}; Path=/{lifetime}{secure}; HttpOnly; SameSite={same_site}"
    return (b"set-cookie", text.encode("ascii"))


def _made(value: str) -> str:
    if not _is_possible(value):
        raise ValueError("not a value that could be read back")  # our bug; it may split the field
    return value


def _is_possible(value: str) -> bool:
    return len(value) <= LONGEST_VALUE and _COOKIE_OCTETS.fullmatch(value) is not None


def _is_ours(name: str) -> bool:
    folded = name.lower()
    if folded in _OURS:
        return True
    return any(
        folded.startswith(prefix) and folded[len(prefix) :] in _OUR_STEMS
        for prefix in _OUR_PREFIXES
    )


def _pairs(request: BrowserRequest) -> list[tuple[bytes, bytes]]:
    # A piece without `=` is a cookie without a name (6265bis section 5.6); nobody asks for it.
    pairs = []
    for line in request.values(b"cookie"):
        for piece in line.split(b";"):
            key, equals, value = piece.partition(b"=")
            if equals:
                pairs.append((key.strip(b" \t"), value.strip(b" \t")))
    return pairs
