"""What a provider publishes about itself (OpenID Connect Discovery 1.0, RFC 8414)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.errors import Code, Refused, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer
from gateway.oidc.json_object import NotAnObject, read_json_object

_OK = 200
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_URL = 2048
_VISIBLE_WITHOUT_BACKSLASH = re.compile(r"[!-\[\]-~]+")


@dataclass(frozen=True, slots=True)
class Metadata:
    """A provider's endpoints and abilities, checked. `None` means: not offered, or not said."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str | None = None
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    end_session_endpoint: str | None = None
    introspection_endpoint: str | None = None
    iss_parameter_supported: bool = False
    supports_s256: bool | None = None
    response_modes: frozenset[str] | None = None


def discovery_url(issuer: str) -> str:
    """Return where the issuer's metadata is (Discovery section 4): after its path, not before."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def read_metadata(answer: BackChannelAnswer, issuer: str) -> Metadata:
    """Return the metadata of exactly this issuer.

    Raises `Unavailable(PROVIDER_UNAVAILABLE)` for any status but 200, and
    `Refused(PROVIDER_METADATA)` when the document is not JSON, belongs to another issuer (F1),
    lacks a required member, names an insecure endpoint (F2), or lists PKCE methods without S256
    (E2, RFC 9700 section 2.1.1: no downgrade).
    """
    if answer.status != _OK:
        raise Unavailable(
            Code.PROVIDER_UNAVAILABLE,
            note=f"discovery answered {answer.status}",
            retry_after=answer.retry_after or 1,
        )
    try:
        members = read_json_object(answer.body)
    except NotAnObject:
        raise _fault("the document is not a JSON object") from None
    if members.get("issuer") != issuer:
        raise _fault("the issuer is not, character for character, the configured one")
    return Metadata(
        issuer=issuer,
        authorization_endpoint=_required(members, "authorization_endpoint", issuer),
        token_endpoint=_required(members, "token_endpoint", issuer),
        jwks_uri=_endpoint(members, "jwks_uri", issuer),
        userinfo_endpoint=_endpoint(members, "userinfo_endpoint", issuer),
        revocation_endpoint=_endpoint(members, "revocation_endpoint", issuer),
        end_session_endpoint=_endpoint(members, "end_session_endpoint", issuer),
        introspection_endpoint=_endpoint(members, "introspection_endpoint", issuer),
        iss_parameter_supported=_iss_parameter_supported(members),
        supports_s256=_supports_s256(members),
        response_modes=_texts(members, "response_modes_supported"),
    )


def endpoint_fault(url: str, issuer: str) -> str | None:
    """Return the rule an endpoint's URL breaks, or None.

    https always (F2); http only between loopback addresses, for development: the issuer must be
    one as well, so that a document from elsewhere cannot point the gateway at local services.
    """
    if len(url) > _LONGEST_URL or not _VISIBLE_WITHOUT_BACKSLASH.fullmatch(url):
        return "is too long or has characters a URL cannot have"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if not host or "@" in parts.netloc or "#" in url:
        return "must have a host, and neither credentials nor a fragment"
    if parts.scheme != "https" and not (_is_loopback_http(url) and _is_loopback_http(issuer)):
        return "must be https"
    return None


def _is_loopback_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def _required(members: Mapping[str, object], name: str, issuer: str) -> str:
    url = _endpoint(members, name, issuer)
    if url is None:
        raise _fault(f"{name} is missing")
    return url


def _endpoint(members: Mapping[str, object], name: str, issuer: str) -> str | None:
    url = members.get(name)
    if url is None:
        return None
    if not isinstance(url, str):
        raise _fault(f"{name} is not a string")
    if fault := endpoint_fault(url, issuer):
        raise _fault(f"{name} {fault}")
    return url


def _texts(members: Mapping[str, object], name: str) -> frozenset[str] | None:
    values = members.get(name)
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _fault(f"{name} is not a list of strings")
    return frozenset(values)


def _iss_parameter_supported(members: Mapping[str, object]) -> bool:
    name = "authorization_response_iss_parameter_supported"
    value = members.get(name)
    if value is not None and not isinstance(value, bool):
        raise _fault(f"{name} is not a boolean")  # "false" is a true string: guess nothing (E8)
    return bool(value)


def _supports_s256(members: Mapping[str, object]) -> bool | None:
    methods = _texts(members, "code_challenge_methods_supported")
    if methods is None:
        return None  # silence is common; S256 is sent all the same, and state and nonce hold
    if "S256" not in methods:
        raise _fault("code_challenge_methods_supported lacks S256")
    return True


def _fault(note: str) -> Refused:
    return Refused(Code.PROVIDER_METADATA, note=f"provider metadata: {note}")
