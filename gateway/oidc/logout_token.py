"""The logout token: whether a signed token orders us to end sessions (Back-Channel Logout 2.6).

`LogoutOrder` is made here only. ID tokens, access tokens and other security events are signed by
the same keys: a token that is anything besides a logout token must end nobody's session (G17).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import Code, Refused
from gateway.oidc.audience import audience_fault
from gateway.oidc.claims import MAX_SUBJECT
from gateway.oidc.client import Client
from gateway.oidc.compact_jws import read_compact
from gateway.oidc.id_token import MAX_SID
from gateway.oidc.json_object import NotAnObject, number, read_json_object
from gateway.oidc.keys import SignedToken
from gateway.oidc.parameters import UnreadableParameter, read_parameters
from gateway.secret import LogoutToken

EVENT = "http://schemas.openid.net/event/backchannel-logout"
"""The member of `events` that makes a logout token; a name, which is never fetched (2.4)."""

LONGEST_LIFE = 86400.0
"""Seconds. A token is remembered for as long as it is good, so that nobody sends it twice (J11).
One that is good for a year would have to be remembered for a year, or become good again; the
specification recommends two minutes (section 4)."""

MAX_JTI = 255

_TYPE = "logout+jwt"
_PARAMETER = "logout_token"


@dataclass(frozen=True, slots=True)
class LogoutOrder:
    """What to end: the provider's session `sid`, or every session of `subject`.

    With both: that session, if it is this person's. Times are the provider's, in epoch seconds.
    """

    issuer: str
    subject: str | None = field(repr=False)
    sid: str | None = field(repr=False)
    jti: str
    issued_at: float
    expires_at: float


def read_form(octets: bytes) -> LogoutToken:
    """Return the token of a logout request (section 2.5); other members are ignored (J4).

    Raises `Refused(LOGOUT_TOKEN_MISSING)` when there is none, or more than one.
    """
    try:
        found = read_parameters(octets, frozenset({_PARAMETER}))
    except UnreadableParameter as unreadable:
        raise Refused(Code.LOGOUT_TOKEN_MISSING, note=str(unreadable)) from None
    if _PARAMETER not in found:
        raise Refused(Code.LOGOUT_TOKEN_MISSING)
    return LogoutToken(found[_PARAMETER])


def check_unverified(token: LogoutToken, client: Client, *, now: float) -> None:
    """Refuse what no signature could save, before one is checked: that is the dear part (J17).

    By the same rules as afterwards. Whoever can have tokens signed that are no logout tokens for
    us (their own ID tokens, say, or those of another client) has none checked by it.

    Raises `Refused(LOGOUT_TOKEN_CLAIMS | LOGOUT_TOKEN_MALFORMED | LOGOUT_TOKEN_SIGNATURE)`.
    """
    try:
        jws = read_compact(token.reveal())
        claims = read_json_object(jws.payload)
    except Refused as refusal:
        raise Refused(Code.LOGOUT_TOKEN_MALFORMED, note=refusal.note) from None
    except NotAnObject:
        raise Refused(
            Code.LOGOUT_TOKEN_MALFORMED, note="the payload is not a JSON object"
        ) from None
    _check_head(jws.type, jws.algorithm, client)
    _order(claims, client, now)


def check_logout_token(signed: SignedToken, client: Client, *, now: float) -> LogoutOrder:
    """Return the order of a token whose signature holds (section 2.6).

    Raises `Refused(LOGOUT_TOKEN_CLAIMS | LOGOUT_TOKEN_MALFORMED | LOGOUT_TOKEN_SIGNATURE)`.
    """
    _check_head(signed.type, signed.algorithm.value, client)
    return _order(signed.claims, client, now)


def _order(claims: Mapping[str, object], client: Client, now: float) -> LogoutOrder:
    if claims.get("iss") != client.issuer:
        raise _wrong("iss is not exactly the configured issuer")
    if fault := audience_fault(claims, client):
        raise _wrong(fault)
    issued_at, expires_at = _times(claims, client, now)
    jti = _short(claims, "jti", MAX_JTI)
    if jti is None:
        raise _wrong("jti is missing")
    _check_event(claims)
    subject, sid = _short(claims, "sub", MAX_SUBJECT), _short(claims, "sid", MAX_SID)
    if subject is None and sid is None:
        raise _wrong("neither sub nor sid")
    return LogoutOrder(client.issuer, subject, sid, jti, issued_at, expires_at)


def _check_head(typ: str | None, algorithm: str, client: Client) -> None:
    _check_type(typ, client)
    if algorithm not in {allowed.value for allowed in client.id_token_algorithms}:
        raise Refused(Code.LOGOUT_TOKEN_SIGNATURE, note="alg is not one that is configured")


def _check_type(typ: str | None, client: Client) -> None:
    # J10. RFC 8725 section 3.11 wants every kind of token to say what it is; providers of before
    # the specification's last edition send `JWT`, or nothing.
    lax = (None, "jwt") if not client.require_logout_typ else ()
    if typ != _TYPE and typ not in lax:
        raise Refused(Code.LOGOUT_TOKEN_MALFORMED, note="typ is not that of a logout token")


def _times(claims: Mapping[str, object], client: Client, now: float) -> tuple[float, float]:
    issued, expires = number(claims.get("iat")), number(claims.get("exp"))
    if issued is None or expires is None:
        raise _wrong("iat or exp is missing or not a number")
    if now >= expires + client.leeway:
        raise _wrong("the logout token has expired")
    if issued > now + client.leeway:
        raise _wrong("iat is in the future")
    if expires > now + client.leeway + LONGEST_LIFE:
        raise _wrong("exp is more than a day away")
    if "nbf" in claims:
        not_before = number(claims["nbf"])
        if not_before is None or not_before > now + client.leeway:
            raise _wrong("nbf is not a number or in the future")
    return issued, expires


def _check_event(claims: Mapping[str, object]) -> None:
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise _wrong("events is not an object that holds the logout event as an object")
    if "nonce" in claims:  # present at all: an ID token, or something made to look like one (J9)
        raise _wrong("a nonce, as ID tokens have")


def _short(claims: Mapping[str, object], name: str, most: int) -> str | None:
    """Return a claim that may be left out, but is a short text where it is not."""
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise _wrong(f"{name} is not a short text")
    return value


def _wrong(note: str) -> Refused:
    return Refused(Code.LOGOUT_TOKEN_CLAIMS, note=note)
