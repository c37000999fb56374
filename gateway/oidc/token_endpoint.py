"""The token endpoint: requests to send, answers to judge (RFC 6749, 7523).

Each exchange is a pair of pure functions with the network in between: one builds the request, one
reads the answer. A refusal is only what the provider says in so many words; everything else that
can come back is an outage, and ends nobody's session (H10).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.errors import Code, Effect, Refused, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.oidc.callback import AuthorizationCode
from gateway.oidc.client import Client
from gateway.oidc.client_authentication import authenticated
from gateway.oidc.json_object import NotAnObject, number, read_json_object
from gateway.oidc.metadata import Metadata
from gateway.secret import AccessToken, CodeVerifier, IdToken, RefreshToken

MAX_TOKEN = 16384
MAX_LIFETIME = 30 * 86400.0
"""Seconds an access token is believed to live at most, whatever the provider says (H6)."""

ASSERTION_LIFETIME = 60

_OK = 200
_REFUSALS = frozenset({400, 401})  # RFC 6749 section 5.2
# Some say 403 (Auth0, of a refresh token it does not know) or 404. So do servers in front of a
# token endpoint, in JSON of their own: there only an error of RFC 6749 counts. Left out are those
# that say "later": RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4.
_ODD_REFUSALS = frozenset(range(400, 500)) - _REFUSALS - {408, 425, 429}
# RFC 6585 section 4 and RFC 9110 section 15.6.4: turned away, not half done.
_TURNED_AWAY = frozenset({429, 503})
_VISIBLE = re.compile(r"[!-~]+")  # it must be able to stand in a header field
_SCOPES = re.compile(r"(?:[!#-\[\]-~]+(?: [!#-\[\]-~]+)*)?")  # RFC 6749 section 3.3, or none
_DECIMAL = re.compile(r"[0-9]{1,300}(?:\.[0-9]{1,10})?")
_LONGEST_SCOPE = 8192
# RFC 6749 section 5.2: the only ones that are quoted in a log.
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What the provider granted. Times are epoch seconds by our clock."""

    access_token: AccessToken
    expires_at: float
    scopes: frozenset[str]
    refresh_token: RefreshToken | None
    id_token: IdToken | None
    received_at: float


class GrantRefused(Refused):
    """The provider refused the grant; `error` is the member of that name, as it stood."""

    def __init__(self, error: str) -> None:
        known = error if error in _ERRORS else "an unregistered error"
        super().__init__(Code.TOKEN_GRANT_REFUSED, note=f"the token endpoint answered {known}")
        self.error = error

    @property
    def is_final(self) -> bool:
        """Whether the code or refresh token is dead for good.

        Only `invalid_grant` says so. `invalid_client`, say, is about our registration: the
        operator will mend it, and nobody has to log in again for it.
        """
        return self.error == "invalid_grant"


def code_grant(
    client: Client,
    metadata: Metadata,
    code: AuthorizationCode,
    verifier: CodeVerifier,
    assertion: str | None,
) -> BackChannelRequest:
    """Return the request that spends a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

    Raises `Refused(CALLBACK_ISSUER)` when the code is another issuer's: it would hand the code and
    its verifier to whoever runs this token endpoint (E7).
    """
    if code.issuer != client.issuer:
        raise Refused(Code.CALLBACK_ISSUER, note="the code belongs to another issuer")
    pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.code.reveal()),
        ("redirect_uri", client.redirect_uri),
        ("code_verifier", verifier.reveal()),
    ]
    return authenticated(client, metadata.token_endpoint, pairs, assertion)


def refresh_grant(
    client: Client,
    metadata: Metadata,
    token: RefreshToken,
    scopes: frozenset[str] | None,
    assertion: str | None,
) -> BackChannelRequest:
    """Return the request that spends a refresh token (RFC 6749 section 6).

    Without `scopes` the provider keeps to the scopes it granted before.
    """
    pairs = [("grant_type", "refresh_token"), ("refresh_token", token.reveal())]
    if scopes is not None:
        pairs.append(("scope", " ".join(sorted(scopes))))
    request = authenticated(client, metadata.token_endpoint, pairs, assertion)
    return replace(request, is_for_once=True)


def assertion_claims(client: Client, now: float, jti: str) -> dict[str, str | int]:
    """Return the claims of a client assertion, good for one request (H3, H4, RFC 7523 section 3).

    The audience is the issuer, as one string, at every endpoint (RFC 10070): a token endpoint URL
    or a list lets one provider replay the assertion at another. There is no `nbf`, which would
    only make a provider whose clock lags refuse it.
    """
    issued_at = int(now)
    return {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": client.issuer,
        "iat": issued_at,
        "exp": issued_at + ASSERTION_LIFETIME,
        "jti": jti,
    }


def read_grant(
    answer: BackChannelAnswer, client: Client, *, now: float, asked: frozenset[str]
) -> Grant:
    """Judge a token endpoint's answer (RFC 6749 sections 5.1 and 5.2).

    `asked` is the scopes requested, or granted before a refresh; they hold unless the answer says
    otherwise. Unknown members are ignored (H5).

    Raises `GrantRefused` for a 400 or 401 with an `error`, or another 4xx with one of RFC 6749,
    `Refused(TOKEN_RESPONSE_INVALID)` or `Refused(TOKEN_TYPE_UNSUPPORTED)` for a 200 that breaks
    the rules, and `Unavailable(PROVIDER_UNAVAILABLE)` for everything else.
    """
    if answer.status != _OK:
        raise _not_granted(answer)
    try:
        members = read_json_object(answer.body)
    except NotAnObject:
        raise _invalid("the answer is not a JSON object") from None
    _require_bearer(members.get("token_type"))
    access_token = _token(members, "access_token")
    if access_token is None:
        raise _invalid("there is no access_token")
    refresh_token = _token(members, "refresh_token")
    id_token = _token(members, "id_token")
    return Grant(
        access_token=AccessToken(access_token),
        expires_at=now + _lifetime(members.get("expires_in"), client.default_token_lifetime),
        scopes=_scopes(members.get("scope"), asked),
        refresh_token=None if refresh_token is None else RefreshToken(refresh_token),
        id_token=None if id_token is None else IdToken(id_token),
        received_at=now,
    )


def _not_granted(answer: BackChannelAnswer) -> Refused | Unavailable:
    if answer.status in _REFUSALS | _ODD_REFUSALS:
        try:
            error = read_json_object(answer.body).get("error")
        except NotAnObject:
            error = None
        # The member itself, never a word inside a description or a page (H10).
        if isinstance(error, str) and error and (answer.status in _REFUSALS or error in _ERRORS):
            return GrantRefused(error)
    return Unavailable(
        Code.PROVIDER_UNAVAILABLE,
        note=f"the token endpoint answered {answer.status}",
        retry_after=answer.retry_after or 1,
        effect=Effect.NOTHING if answer.status in _TURNED_AWAY else Effect.UNCLEAR,
    )


def _require_bearer(token_type: object) -> None:
    if not isinstance(token_type, str):
        raise _invalid("there is no token_type")
    if token_type.lower() != "bearer":
        raise Refused(Code.TOKEN_TYPE_UNSUPPORTED, note="the token_type is not Bearer")


def _token(members: Mapping[str, object], name: str) -> str | None:
    value = members.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not _VISIBLE.fullmatch(value):
        raise _invalid(f"{name} is not a token, or too long")
    return value


def _lifetime(expires_in: object, default: float) -> float:
    """Return the access token's lifetime in seconds, always above 0 and at most `MAX_LIFETIME`.

    A number counts, also as a decimal string ("3600"), which some providers send. What says
    nothing usable counts as not said: missing, null, NaN, a boolean, a list, zero, or less. Zero
    is neither 'for ever' nor 'dead on arrival': one would never be refreshed, the other would
    send the person round in a login loop (H6).
    """
    if isinstance(expires_in, str) and _DECIMAL.fullmatch(expires_in):
        seconds: float | None = number(float(expires_in))
    else:
        seconds = number(expires_in)
    if seconds is None or seconds <= 0:
        seconds = default
    return min(seconds, MAX_LIFETIME)


def _scopes(scope: object, asked: frozenset[str]) -> frozenset[str]:
    if scope is None:
        return asked  # RFC 6749 section 5.1: left out when identical to the scopes asked for
    if not isinstance(scope, str) or len(scope) > _LONGEST_SCOPE or not _SCOPES.fullmatch(scope):
        raise _invalid("scope is not a space-separated list")
    return frozenset(scope.split())


def _invalid(note: str) -> Refused:
    return Refused(Code.TOKEN_RESPONSE_INVALID, note=f"token endpoint: {note}")
