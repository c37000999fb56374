"""The ID token: whether a signed token says that this person logged in, here, now (Core 3.1.3.7).

`Identity` is made here only. Each rule is one function with its own code; the order is that of the
specification, and nothing of the token answer is used before all of them hold (E6).
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import Code, Refused
from gateway.oidc.attempt import LoginAttempt
from gateway.oidc.audience import audience_fault
from gateway.oidc.claims import MAX_SUBJECT, plain_subject
from gateway.oidc.client import Client
from gateway.oidc.json_object import number
from gateway.oidc.keys import Algorithm, SignedToken
from gateway.secret import AccessToken, Nonce

OLDEST = 600.0
"""Seconds: we ask for the token ourselves, so one issued longer ago is somebody else's (G9)."""

MAX_SID = 255
_CLOCK_ROUNDING = 1.0  # seconds; providers round auth_time now up, now down
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logged in: the pair (issuer, subject) names a person, nothing else does (D9).

    `auth_time` is epoch seconds, `sid` the provider's own session (Back-Channel Logout 2.1).
    """

    issuer: str
    subject: str = field(repr=False)
    sid: str | None = field(repr=False)
    acr: str | None
    auth_time: float | None
    claims: Mapping[str, object] = field(repr=False)

    @property
    def issued_at(self) -> float | None:
        """The provider's time of signing (`iat`); None where there is no ID token."""
        return number(self.claims.get("iat"))


def check_id_token(
    signed: SignedToken,
    client: Client,
    *,
    nonce: Nonce,
    access_token: AccessToken,
    now: float,
    attempt: LoginAttempt,
) -> Identity:
    """Return who logged in, from the ID token of a login (Core section 3.1.3.7).

    Raises `Refused` with an `ID_TOKEN_…` code naming the rule that does not hold.
    """
    claims = signed.claims
    _check_type(signed)
    _check_issuer(claims, client.issuer)
    _check_audience(claims, client)
    _check_algorithm(signed, client)
    _check_times(claims, client, now)
    _check_nonce(claims, nonce)
    subject = _subject(claims)
    _check_at_hash(signed, access_token)
    acr = _acr(claims, attempt.acr_values)
    auth_time = _auth_time(claims, now, client.leeway)
    _check_freshness(auth_time, attempt, client.leeway)
    return Identity(client.issuer, subject, _sid(claims), acr, auth_time, claims)


def check_refreshed_id_token(  # noqa: PLR0913  everything a session keeps to compare with
    signed: SignedToken,
    client: Client,
    *,
    issuer: str,
    subject: str,
    nonce: Nonce | None,
    auth_time: float | None,
    access_token: AccessToken,
    now: float,
) -> Identity:
    """Return the unchanged identity, from the ID token of a refresh (G18, Core section 12.2).

    A refresh never makes somebody else of a session: issuer, subject and time of authentication
    are those of the login. Raises `Refused` with an `ID_TOKEN_…` code; `ID_TOKEN_ISSUER` and
    `ID_TOKEN_SUBJECT` mean that the token is about another person.
    """
    claims = signed.claims
    # Who it is about comes first: a token mixed up with another person's has their nonce, their
    # times, and perhaps their client's audience as well, and those are faults one can live with.
    who = claims.get("iss"), claims.get("sub")
    if not all(isinstance(one, str) and one for one in who):
        raise Refused(Code.ID_TOKEN_MALFORMED, note="iss or sub is missing")
    _check_issuer(claims, issuer)
    if _subject(claims) != subject:
        raise Refused(Code.ID_TOKEN_SUBJECT, note="the refreshed ID token is another person's")
    _check_type(signed)
    _check_audience(claims, client)
    _check_algorithm(signed, client)
    _check_times(claims, client, now)
    if "nonce" in claims:  # it need not be there, but it must not be another login's
        _check_nonce(claims, nonce)
    _check_at_hash(signed, access_token)
    renewed = _auth_time(claims, now, client.leeway)
    if renewed is not None and auth_time is not None and abs(renewed - auth_time) > _CLOCK_ROUNDING:
        raise Refused(Code.ID_TOKEN_AUTH_TIME, note="auth_time changed without a login")
    return Identity(issuer, subject, _sid(claims), _acr(claims, ()), auth_time, claims)


def plain_identity(info: Mapping[str, object], client: Client) -> Identity:
    """Return who logged in at a plain OAuth 2.0 provider, from its user document.

    There is no ID token, hence no nonce and no signature: TLS and PKCE carry the whole weight. The
    issuer is the configured identifier, so that one provider's users are never another's (D9).
    Raises `Refused(USERINFO_INVALID)`.
    """
    return Identity(client.issuer, plain_subject(info, client), None, None, None, {})


def _check_type(signed: SignedToken) -> None:
    # Access tokens (RFC 9068) and logout tokens are signed by the same keys (G17, RFC 8725 3.11).
    if signed.type not in (None, "jwt"):
        raise Refused(Code.ID_TOKEN_MALFORMED, note="typ is not that of an ID token")
    if "events" in signed.claims:
        raise Refused(Code.ID_TOKEN_MALFORMED, note="a security event, not an ID token")


def _check_issuer(claims: Mapping[str, object], issuer: str) -> None:
    if claims.get("iss") != issuer:
        raise Refused(Code.ID_TOKEN_ISSUER, note="iss is not exactly the configured issuer")


def _check_audience(claims: Mapping[str, object], client: Client) -> None:
    if fault := audience_fault(claims, client):
        raise Refused(Code.ID_TOKEN_AUDIENCE, note=fault)


def _check_algorithm(signed: SignedToken, client: Client) -> None:
    if signed.algorithm not in client.id_token_algorithms:
        raise Refused(Code.ID_TOKEN_SIGNATURE, note="alg is not one that is configured")


def _check_times(claims: Mapping[str, object], client: Client, now: float) -> None:
    expires, issued = number(claims.get("exp")), number(claims.get("iat"))
    if expires is None or issued is None:
        raise Refused(Code.ID_TOKEN_TIME, note="exp or iat is missing or not a number")
    if now >= expires + client.leeway:
        raise Refused(Code.ID_TOKEN_TIME, note="the ID token has expired")
    if issued > now + client.leeway:
        raise Refused(Code.ID_TOKEN_TIME, note="iat is in the future")
    if issued < now - client.leeway - OLDEST:
        raise Refused(Code.ID_TOKEN_TIME, note="iat is too long ago")
    if "nbf" in claims:
        not_before = number(claims["nbf"])
        if not_before is None or not_before > now + client.leeway:
            raise Refused(Code.ID_TOKEN_TIME, note="nbf is not a number or in the future")


def _check_nonce(claims: Mapping[str, object], nonce: Nonce | None) -> None:
    if nonce is None or not _same(claims.get("nonce"), nonce.reveal()):
        raise Refused(Code.ID_TOKEN_NONCE, note="nonce is missing or another login's")


def _subject(claims: Mapping[str, object]) -> str:
    subject = claims.get("sub")
    if (
        not isinstance(subject, str)
        or not 0 < len(subject) <= MAX_SUBJECT
        or not (subject.isascii() and subject.isprintable())
    ):
        raise Refused(Code.ID_TOKEN_SUBJECT, note="sub is not 1 to 255 ASCII characters")
    return subject


def _check_at_hash(signed: SignedToken, access_token: AccessToken) -> None:
    """Check that the access token came with this ID token (G13, Core section 3.2.2.9)."""
    if "at_hash" not in signed.claims:
        return
    octets = _hash(signed.algorithm, access_token.reveal().encode("ascii"))
    half = base64.urlsafe_b64encode(octets[: len(octets) // 2]).rstrip(b"=").decode("ascii")
    if not _same(signed.claims["at_hash"], half):
        raise Refused(Code.ID_TOKEN_HASH, note="at_hash does not match the access token")


def _hash(algorithm: Algorithm, octets: bytes) -> bytes:
    # EdDSA is Ed25519 here (`adapters/jose.py` knows no other curve), which hashes with SHA-512.
    size = "512" if algorithm is Algorithm.EDDSA else algorithm.value[2:]
    return _HASHES[size](octets).digest()


def _acr(claims: Mapping[str, object], wanted: tuple[str, ...]) -> str | None:
    acr = claims.get("acr")
    if wanted and acr not in wanted:
        raise Refused(Code.ID_TOKEN_ACR, note="acr is not one that was asked for")  # G11
    return acr if isinstance(acr, str) else None


def _auth_time(claims: Mapping[str, object], now: float, leeway: float) -> float | None:
    if "auth_time" not in claims:
        return None
    auth_time = number(claims["auth_time"])
    if auth_time is None or auth_time > now + leeway:
        raise Refused(Code.ID_TOKEN_AUTH_TIME, note="auth_time is not a number or in the future")
    return auth_time


def _check_freshness(auth_time: float | None, attempt: LoginAttempt, leeway: float) -> None:
    """Check `max_age` (G12): the authentication may be that old when the login began, not older.

    Measured from the beginning, because that is when the provider had to decide; a person who
    reads the consent page for a minute after `max_age=0` has done nothing wrong.
    """
    if attempt.max_age is None:
        return
    if auth_time is None:
        raise Refused(Code.ID_TOKEN_AUTH_TIME, note="max_age was sent, and auth_time is missing")
    if auth_time < attempt.issued_at - attempt.max_age - leeway:
        raise Refused(Code.ID_TOKEN_AUTH_TIME, note="the authentication is older than max_age")


def _sid(claims: Mapping[str, object]) -> str | None:
    sid = claims.get("sid")
    if sid is None or sid == "":
        return None
    if not isinstance(sid, str) or len(sid) > MAX_SID:
        raise Refused(Code.ID_TOKEN_MALFORMED, note="sid is not a short string")
    return sid


def _same(given: object, expected: str) -> bool:
    """Compare in constant time; what is not a string is not the same."""
    if not isinstance(given, str):
        return False
    octets = given.encode("utf-8", "surrogatepass")
    return hmac.compare_digest(octets, expected.encode("utf-8"))
