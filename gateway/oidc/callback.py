"""The authorization response: what came through the browser, and whether it is the answer to us.

`AuthorizationCode` is made here only, by `match_callback`: a code that has not been matched with
its attempt and its issuer cannot be spent (RFC 9700 section 4.4, mix-up).
"""

import re
from dataclasses import dataclass, field

from gateway.errors import Code, Refused
from gateway.oidc.attempt import MAX_STATE, LoginAttempt
from gateway.oidc.client import Client
from gateway.oidc.metadata import Metadata
from gateway.oidc.parameters import UnreadableParameter, read_parameters
from gateway.secret import AuthorizationCodeValue

MAX_ANSWER = 16384
MAX_CODE = 4096
_LONGEST_ISS = 2048
_LONGEST_ERROR = 256

# `error_description` is not among them: it is a stranger's text, and nobody reads it (E11).
_KNOWN = frozenset({"code", "state", "iss", "error", "response", "id_token", "access_token"})
_IMPLICIT = frozenset({"id_token", "access_token"})
_VISIBLE = re.compile(r"[ -~]+")  # RFC 6749 appendix A: VSCHAR

_ERRORS = frozenset(
    {
        # RFC 6749 section 4.1.2.1
        "invalid_request",
        "unauthorized_client",
        "access_denied",
        "unsupported_response_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        # OpenID Connect Core section 3.1.2.6
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
        "invalid_request_uri",
        "invalid_request_object",
        "request_not_supported",
        "request_uri_not_supported",
        "registration_not_supported",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A well-formed authorization response: a code or an error, nobody knows yet to what."""

    state: str = field(repr=False)
    code: AuthorizationCodeValue | None = None
    error: str | None = field(default=None, repr=False)
    iss: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A code this issuer gave for this login; only `match_callback` makes one."""

    code: AuthorizationCodeValue
    issuer: str


class ProviderRefused(Refused):
    """The provider answered with an error; `error` is one of a fixed set."""

    def __init__(self, error: str) -> None:
        super().__init__(Code.PROVIDER_ERROR, note=f"the provider answered {error}")
        self.error = error


def read_answer(pairs: bytes) -> Answer:
    """Read a callback's query or form body; both are encoded alike.

    Raises `Refused(CALLBACK_MALFORMED)` for a repeated parameter (E10), for tokens in the front
    channel (A2), and unless there is exactly one of code and error; `Refused(STATE_UNKNOWN)` when
    there is no state, so that an unsolicited error consumes nothing (E9).
    """
    if len(pairs) > MAX_ANSWER:
        raise _malformed("the answer is too long")
    try:
        found = read_parameters(pairs, _KNOWN)
    except UnreadableParameter as unreadable:
        raise _malformed(str(unreadable)) from None
    if _IMPLICIT.intersection(found):
        raise _malformed("tokens in the front channel: the implicit flow is not ours")
    state = _bounded(found, "state", MAX_STATE)
    if state is None:
        raise Refused(Code.STATE_UNKNOWN, note="the answer has no state")
    code = _bounded(found, "code", MAX_CODE)
    error = _bounded(found, "error", _LONGEST_ERROR)
    if (code is None) == (error is None):
        raise _malformed("not exactly one of code and error")
    return Answer(
        state=state,
        code=None if code is None else AuthorizationCodeValue(code),
        error=error,
        iss=_bounded(found, "iss", _LONGEST_ISS),
    )


def match_callback(
    answer: Answer, attempt: LoginAttempt, client: Client, metadata: Metadata
) -> AuthorizationCode:
    """Return the code, now known to be this issuer's answer to this attempt.

    Raises `Refused(CALLBACK_ISSUER)` when it is another provider's (E7), or when the provider
    always names itself and this answer does not, be it a success or an error (E8, RFC 9207
    section 2.4); `ProviderRefused` for an error answer.
    """
    if attempt.provider != client.provider:
        raise _wrong_issuer("the attempt belongs to another provider")
    # Compared as strings: no trailing slash is forgiven (RFC 9207 section 2.4, RFC 3986 6.2.1).
    if answer.iss is not None and answer.iss != client.issuer:
        raise _wrong_issuer("iss names another issuer")
    if answer.iss is None and metadata.iss_parameter_supported:
        raise _wrong_issuer("iss is missing, which this provider always sends")
    if answer.error is not None:
        raise ProviderRefused(known_error(answer.error))
    if answer.code is None:
        raise _malformed("neither code nor error")
    return AuthorizationCode(answer.code, client.issuer)


def known_error(error: str) -> str:
    """Return the error code if a specification knows it, else `server_error` (E11)."""
    return error if error in _ERRORS else "server_error"


def _bounded(found: dict[str, str], name: str, longest: int) -> str | None:
    value = found.get(name)
    if value is not None and (len(value) > longest or not _VISIBLE.fullmatch(value)):
        raise _malformed(f"{name} is too long or has characters it cannot have")
    return value


def _malformed(note: str) -> Refused:
    return Refused(Code.CALLBACK_MALFORMED, note=note)


def _wrong_issuer(note: str) -> Refused:
    return Refused(Code.CALLBACK_ISSUER, note=note)
