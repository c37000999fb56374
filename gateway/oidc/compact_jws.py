"""The compact form of a JWS, taken apart strictly (RFC 7515 sections 3.1 and 5.2).

One token has one spelling here: base64url without padding and without stray bits, one JSON object
per part, no repeated member. Nothing is verified yet, and the header is believed in nothing but
its own description: members that carry or point to keys are not read (F3, RFC 8725 section 3.5).
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import Code, Refused
from gateway.oidc.json_object import NotAnObject, read_json_object

MAX_TOKEN = 16384

_PARTS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class NotBase64Url(ValueError):
    """The text is not what base64url without padding makes of any octets."""


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A token's parts. `type` is `typ` in lower case, without `application/` (RFC 7515 4.1.9)."""

    algorithm: str
    type: str | None
    key_id: str | None
    signing_input: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def read_compact(token: str) -> CompactJws:
    """Return the parts; raises `Refused(ID_TOKEN_MALFORMED)`."""
    if len(token) > MAX_TOKEN or not _PARTS.fullmatch(token):
        raise _malformed("the token is too long, or not a compact JWS")
    header_part, payload_part, signature_part = token.split(".")
    try:
        header = read_json_object(base64url_decode(header_part))
        payload, signature = base64url_decode(payload_part), base64url_decode(signature_part)
    except NotAnObject:
        raise _malformed("the header is not a JSON object") from None
    except NotBase64Url:
        raise _malformed("a part is not base64url") from None
    # We understand no extension, so none that is critical can be honoured (RFC 7515 4.1.11); and
    # b64 changes what was signed (RFC 7797).
    if "crit" in header or header.get("b64", True) is not True:
        raise _malformed("the header has critical extensions")
    algorithm, typ = _text(header, "alg"), _text(header, "typ")
    if algorithm is None:
        raise _malformed("the header has no alg")
    return CompactJws(
        algorithm=algorithm,
        type=None if typ is None else typ.lower().removeprefix("application/"),
        key_id=_text(header, "kid"),
        signing_input=f"{header_part}.{payload_part}".encode("ascii"),
        payload=payload,
        signature=signature,
    )


def base64url_decode(text: str) -> bytes:
    """Undo base64url without padding; `NotBase64Url` for any other spelling of the same octets."""
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise NotBase64Url from None
    if base64url_encode(octets) != text.encode("ascii"):
        raise NotBase64Url
    return octets


def base64url_encode(octets: bytes) -> bytes:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def _text(header: Mapping[str, object], name: str) -> str | None:
    if name not in header:
        return None
    value = header[name]
    if not isinstance(value, str):
        raise _malformed(f"{name} in the header is not a string")
    return value


def _malformed(note: str) -> Refused:
    return Refused(Code.ID_TOKEN_MALFORMED, note=note)
