"""The parsers of `gateway/oidc`, and of the adapter for JOSE: what providers and logins write."""

import math

from gateway.adapters.jose import JoserfcJose
from gateway.errors import Code
from gateway.oidc import attempt as attempts
from gateway.oidc.authorization import read_wish
from gateway.oidc.back_channel import BackChannelAnswer
from gateway.oidc.callback import read_answer
from gateway.oidc.claims import MAX_USER_CLAIMS, read_userinfo, signed_userinfo, user_claims
from gateway.oidc.compact_jws import (
    NotBase64Url,
    base64url_decode,
    base64url_encode,
    read_compact,
)
from gateway.oidc.id_token import check_id_token
from gateway.oidc.json_object import NotAnObject, read_json_object
from gateway.oidc.keys import Algorithm, JwksDocument, KeySet, SignedToken
from gateway.oidc.logout_token import (
    LONGEST_LIFE,
    check_logout_token,
    check_unverified,
    read_form,
)
from gateway.oidc.metadata import read_metadata
from gateway.oidc.parameters import UnreadableParameter, form, read_parameters
from gateway.oidc.token_endpoint import MAX_LIFETIME, read_grant
from gateway.secret import AccessToken, Nonce
from tests.support.parsers import Parser
from tests.unit.oidc.examples import ATTEMPT, CLIENT, ISSUER, NOW

JOSE = JoserfcJose()
KNOWN = frozenset({"code", "state", "iss", "error", "a"})


def _answered(octets: bytes) -> BackChannelAnswer:
    """A status in three digits or none, a blank, the body."""
    status, _, body = octets.partition(b" ")
    if len(status) == 3 and status.isdigit() and status >= b"100":
        return BackChannelAnswer(int(status), "application/json", body)
    return BackChannelAnswer(200, "application/json", octets)


def _json_object(octets: bytes) -> None:
    members = read_json_object(octets)
    for value in members.values():
        assert not isinstance(value, float) or math.isfinite(value)
    read_json_object(octets, inner_faults_as_null=True)


def _base64url(octets: bytes) -> None:
    text = octets.decode("latin-1")
    assert base64url_encode(base64url_decode(text)).decode() == text


def _compact_jws(octets: bytes) -> None:
    text = octets.decode("latin-1")
    parts = read_compact(text)
    assert text == f"{parts.signing_input.decode()}.{base64url_encode(parts.signature).decode()}"


def _signed_token(octets: bytes) -> None:
    JOSE.verify(octets.decode("latin-1"), KeySet(()), frozenset(Algorithm))
    raise AssertionError("verified without a key")


def _jwks(octets: bytes) -> None:
    keys = JOSE.read_keys(JwksDocument(octets))
    assert len(keys.key_ids) <= len(keys.keys) <= 100


def _parameters(octets: bytes) -> None:
    found = read_parameters(octets, KNOWN)
    assert found.keys() <= KNOWN
    assert read_parameters(form(found.items()).encode("ascii"), KNOWN) == found


def _callback(octets: bytes) -> None:
    answer = read_answer(octets)
    assert answer.state
    assert (answer.code is None) != (answer.error is None)


def _wish(octets: bytes) -> None:
    read_wish(octets)


def _attempt(octets: bytes) -> None:
    read = attempts.decode(octets)
    assert attempts.decode(attempts.encode(read)) == read
    attempts.is_expired(read, NOW, 600.0)


def _metadata(octets: bytes) -> None:
    metadata = read_metadata(_answered(octets), ISSUER)
    assert metadata.issuer == ISSUER
    assert metadata.token_endpoint.startswith(("https://", "http://"))


def _grant(octets: bytes) -> None:
    grant = read_grant(_answered(octets), CLIENT, now=NOW, asked=frozenset({"openid"}))
    assert NOW <= grant.expires_at <= NOW + MAX_LIFETIME
    assert grant.access_token.credentials is not None


def _userinfo(octets: bytes) -> None:
    answer = _answered(octets)
    assert signed_userinfo(answer) is None
    members = read_userinfo(answer, subject="ada", client=CLIENT)
    assert members["sub"] == "ada"
    shown = user_claims({"sub": "ada"}, members)
    assert len(str(shown)) <= MAX_USER_CLAIMS * 6


def _id_token(octets: bytes) -> None:
    """The claims of a token whose signature was right."""
    identity = check_id_token(
        SignedToken(Algorithm.RS256, None, read_json_object(octets)),
        CLIENT,
        nonce=Nonce("n0nce"),
        access_token=AccessToken("at"),
        now=NOW,
        attempt=ATTEMPT,
    )
    assert identity.issuer == ISSUER
    assert identity.subject


def _logout_token(octets: bytes) -> None:
    """The claims of a token whose signature was right."""
    order = check_logout_token(
        SignedToken(Algorithm.RS256, "logout+jwt", read_json_object(octets)), CLIENT, now=NOW
    )
    assert order.issuer == ISSUER
    assert order.subject or order.sid
    assert NOW - CLIENT.leeway < order.expires_at <= NOW + CLIENT.leeway + LONGEST_LIFE


def _logout_form(octets: bytes) -> None:
    check_unverified(read_form(octets), CLIENT, now=NOW)


_CLAIMS = frozenset(code for code in Code if code.value.startswith("id_token."))
_GRANT = frozenset(
    {
        *(Code.TOKEN_RESPONSE_INVALID, Code.TOKEN_TYPE_UNSUPPORTED),
        *(Code.TOKEN_GRANT_REFUSED, Code.PROVIDER_UNAVAILABLE),
    }
)

PARSERS = (
    Parser("json_object", "oidc/json_object.py", _json_object, errors=(NotAnObject,)),
    Parser("base64url", "oidc/compact_jws.py", _base64url, errors=(NotBase64Url,)),
    Parser(
        "compact_jws", "oidc/compact_jws.py", _compact_jws, frozenset({Code.ID_TOKEN_MALFORMED})
    ),
    Parser(
        "signed_token",
        "adapters/jose.py",
        _signed_token,
        frozenset({Code.ID_TOKEN_MALFORMED, Code.ID_TOKEN_SIGNATURE}),
    ),
    Parser("jwks", "adapters/jose.py", _jwks, frozenset({Code.PROVIDER_METADATA})),
    Parser("parameters", "oidc/parameters.py", _parameters, errors=(UnreadableParameter,)),
    Parser(
        "callback",
        "oidc/callback.py",
        _callback,
        frozenset({Code.CALLBACK_MALFORMED, Code.STATE_UNKNOWN}),
    ),
    Parser("login_wish", "oidc/authorization.py", _wish, frozenset({Code.LOGIN_PARAMETER})),
    Parser("login_attempt", "oidc/attempt.py", _attempt, frozenset({Code.STATE_UNKNOWN})),
    Parser(
        "metadata",
        "oidc/metadata.py",
        _metadata,
        frozenset({Code.PROVIDER_METADATA, Code.PROVIDER_UNAVAILABLE}),
    ),
    Parser("token_answer", "oidc/token_endpoint.py", _grant, _GRANT),
    Parser(
        "userinfo",
        "oidc/claims.py",
        _userinfo,
        frozenset({Code.USERINFO_INVALID, Code.PROVIDER_UNAVAILABLE}),
    ),
    Parser("id_token_claims", "oidc/id_token.py", _id_token, _CLAIMS, (NotAnObject,)),
    Parser(
        "logout_token_claims",
        "oidc/logout_token.py",
        _logout_token,
        frozenset({Code.LOGOUT_TOKEN_CLAIMS}),
        (NotAnObject,),
    ),
    Parser(
        "logout_form",
        "oidc/logout_token.py",
        _logout_form,
        frozenset(
            {
                *(Code.LOGOUT_TOKEN_MISSING, Code.LOGOUT_TOKEN_MALFORMED),
                *(Code.LOGOUT_TOKEN_SIGNATURE, Code.LOGOUT_TOKEN_CLAIMS),
            }
        ),
    ),
)
