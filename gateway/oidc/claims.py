"""Claims about the person: the UserInfo answer, and what of all claims the application may see."""

import json
from collections.abc import Mapping

from gateway.errors import Code, Refused, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.oidc.client import Client
from gateway.oidc.json_object import NotAnObject, read_json_object
from gateway.oidc.keys import SignedToken
from gateway.oidc.metadata import Metadata
from gateway.secret import AccessToken, UserInfoToken

MAX_SUBJECT = 255
MAX_USER_CLAIMS = 16384
"""Octets of JSON that a session keeps about its user."""

OMITTED = "_omitted"
"""The member of the user claims that names those left out for their size."""

_OK = 200
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_NAMED_OMISSIONS = 20
_LONGEST_NAME = 64
_ROOM_FOR_NAMES = 4096

# About one token, not about a person. Tokens themselves never reach a browser (A3).
_PROTOCOL_CLAIMS = frozenset(
    {
        "nonce",
        "at_hash",
        "c_hash",
        "s_hash",
        "aud",
        "azp",
        "exp",
        "iat",
        "nbf",
        "jti",
        "auth_time",
        "sid",
        "access_token",
        "refresh_token",
        "id_token",
        "code",
    }
)
# What the ID token signs, UserInfo does not restate.
_SIGNED_ALONE = frozenset({"iss", "sub", "acr", "amr"})


def userinfo_request(metadata: Metadata, token: AccessToken) -> BackChannelRequest:
    """Return the UserInfo request (Core section 5.3.1); the token travels in the header (H14).

    Raises `Refused(PROVIDER_METADATA)` when the provider has no such endpoint.
    """
    if metadata.userinfo_endpoint is None:
        raise Refused(Code.PROVIDER_METADATA, note="the provider has no userinfo_endpoint")
    bearer = b"Bearer " + token.reveal().encode("ascii")
    fields = ((b"authorization", bearer), (b"accept", b"application/json, application/jwt"))
    return BackChannelRequest("GET", metadata.userinfo_endpoint, fields)


def read_userinfo(
    answer: BackChannelAnswer, *, subject: str | None, client: Client
) -> Mapping[str, object]:
    """Return the members of a UserInfo answer about this very subject (G15, G16).

    `subject` is the ID token's `sub`. Without one (plain OAuth 2.0) the person is whoever
    `client.subject_claim` names, and that becomes the answer's `sub`.

    Raises `Unavailable(PROVIDER_UNAVAILABLE)` for 429 and 5xx, `Refused(USERINFO_INVALID)`
    otherwise.
    """
    _require_success(answer)
    if _media_type(answer) != "application/json":
        raise _invalid("the answer is not application/json")
    try:
        members = read_json_object(answer.body)
    except NotAnObject:
        raise _invalid("the answer is not a JSON object") from None
    if subject is None:
        return {**members, "sub": plain_subject(members, client)}
    return _about(members, subject)


def signed_userinfo(answer: BackChannelAnswer) -> UserInfoToken | None:
    """Return the JWT of a signed answer, whose signature is to be checked; None for a plain one.

    Raises as `read_userinfo` does, for the status and for octets that are no text.
    """
    _require_success(answer)
    if _media_type(answer) != "application/jwt":
        return None
    try:
        return UserInfoToken(answer.body.decode("ascii").strip())
    except UnicodeDecodeError:
        raise _invalid("the answer is no JWT") from None


def check_signed_userinfo(
    token: SignedToken, *, subject: str, client: Client
) -> Mapping[str, object]:
    """Return the claims of a signed answer of this provider, for us, about this subject (G16).

    Core section 5.3.2 wants `iss` and `aud` there; a token of another kind, such as an ID token
    for somebody's login, is no answer (G17).
    """
    claims = token.claims
    if token.type not in (None, "jwt") or "nonce" in claims or "events" in claims:
        raise _invalid("the answer is a token of another kind")
    if claims.get("iss") != client.issuer:
        raise _invalid("iss is not the provider")
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not set(named) <= {client.client_id, *client.trusted_audiences}:
        raise _invalid("aud names a party that is not trusted")
    if client.client_id not in named:
        raise _invalid("aud does not contain our client_id")
    return _about(claims, subject)


def _require_success(answer: BackChannelAnswer) -> None:
    if answer.status == _TOO_MANY_REQUESTS or answer.status >= _SERVER_ERRORS:
        raise Unavailable(
            Code.PROVIDER_UNAVAILABLE,
            note=f"UserInfo answered {answer.status}",
            retry_after=answer.retry_after or 1,
        )
    if answer.status != _OK:
        raise _invalid(f"the answer's status is {answer.status}")


def _media_type(answer: BackChannelAnswer) -> str:
    return answer.content_type.partition(";")[0].strip().lower()


def _about(members: Mapping[str, object], subject: str) -> Mapping[str, object]:
    # Token substitution: an access token of somebody else would bring their claims (Core 5.3.2).
    if members.get("sub") != subject:
        raise _invalid("sub is not the ID token's")
    return members


def plain_subject(members: Mapping[str, object], client: Client) -> str:
    """Return who a plain provider's user document is about; `Refused(USERINFO_INVALID)` if unsaid.

    Many such providers number their users, so an integer will do.
    """
    value = members.get(client.subject_claim)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT or not value.isprintable():
        raise _invalid("the subject claim is missing or unusable")
    return value


def user_claims(
    id_claims: Mapping[str, object], userinfo: Mapping[str, object]
) -> dict[str, object]:
    """Return what the application may see of its user: UserInfo over ID token, signed claims first.

    At most `MAX_USER_CLAIMS` octets as JSON: the largest members give way, and `_omitted` names
    them, for a person with too many groups should get in and somebody should be able to see why a
    group is missing.
    """
    merged = {
        name: value
        for name, value in {**id_claims, **userinfo}.items()
        if name not in _PROTOCOL_CLAIMS
    }
    merged |= {name: id_claims[name] for name in _SIGNED_ALONE.intersection(id_claims)}
    sizes = {name: _size(name, value) for name, value in merged.items()}
    if sum(sizes.values()) <= MAX_USER_CLAIMS - 2:
        return merged
    room = MAX_USER_CLAIMS - _ROOM_FOR_NAMES
    omitted = set()
    for name in sorted(sizes, key=lambda name: (name != "sub", sizes[name], name)):
        room -= sizes[name]
        if room < 0:  # the rest is at least as large
            omitted.add(name)
    kept = {name: value for name, value in merged.items() if name not in omitted}
    return kept | {OMITTED: _names(omitted)}


def _names(omitted: set[str]) -> list[str]:
    plain = [name for name in omitted if len(name) <= _LONGEST_NAME and _is_plain(name)]
    return sorted(plain)[:_NAMED_OMISSIONS]


def _is_plain(name: str) -> bool:
    return name.isascii() and name.isprintable()


def _size(name: str, value: object) -> int:
    """Return the octets of one member as JSON, in the costliest spelling, with its punctuation."""
    return len(json.dumps({name: value})) + 2


def _invalid(note: str) -> Refused:
    return Refused(Code.USERINFO_INVALID, note=f"UserInfo: {note}")
