"""WebSocket handshakes: what may be asked, what goes upstream, what may come back (RFC 6455).

The gateway is no endpoint: the browser's own key goes to the upstream, and what proves that the
upstream speaks WebSocket comes back. But every field that makes the handshake is read, checked and
written anew, and Upgrade is passed on for `websocket` alone (P2).
"""

import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha1

from gateway.edge.messages import BrowserRequest, Field, Fields, UpstreamRequest
from gateway.errors import Code, Refused, Unavailable

_VERSION = b"13"
_KEY_OCTETS = 16
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_UPGRADE: Fields = ((b"upgrade", b"websocket"), (b"connection", b"Upgrade"))

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_MOST_PROTOCOLS = 32

# Browsers cannot set Authorization here, so clients hide tokens among the subprotocols: as
# `access_token, eyJ…`, `bearer.…`, or `base64url.bearer.authorization.k8s.io.…` (P5).
_TOKEN_CARRIER = re.compile(
    rb"bearer.*|(?:.*[._-])?(?:bearer|authorization|access[._-]?token|id[._-]?token|jwt)(?:[._-].*)?",
    re.IGNORECASE,
)
_JSON_OBJECT = b"eyJ"  # `{"` in base64url: how every JWT begins


@dataclass(frozen=True, slots=True)
class Handshake:
    """A browser's wish for a WebSocket that keeps to section 4.2.1.

    `key` is as it came; `protocols` are the subprotocols offered, in order and without repeats.
    """

    key: bytes
    protocols: tuple[bytes, ...]

    @property
    def accept(self) -> bytes:
        """What only a server that has read this handshake answers (section 4.2.2, step 5.4)."""
        digest = sha1(self.key + _GUID, usedforsecurity=False).digest()
        return b64encode(digest)


def asks_for_websocket(request: BrowserRequest) -> bool:
    """Whether the request names `websocket` in Upgrade; any other protocol is not spoken (P2)."""
    return b"websocket" in _members(request.values(b"upgrade"))


def check_handshake(request: BrowserRequest) -> Handshake:
    """Return what a WebSocket request asks for.

    Raises Refused: WEBSOCKET_MALFORMED, WEBSOCKET_VERSION with the version we speak, and
    TOKEN_IN_REQUEST for a token among the subprotocols.
    """
    if request.method != "GET":
        raise _malformed("The method of a WebSocket handshake is GET.")
    if b"upgrade" not in _members(request.values(b"connection")):
        raise _malformed("Connection does not say Upgrade.")
    if any(name in (b"content-length", b"transfer-encoding") for name, _ in request.fields):
        raise _malformed("A WebSocket handshake has no body.")
    if request.only(b"sec-websocket-version") != _VERSION:
        spoken = (b"sec-websocket-version", _VERSION)  # section 4.4
        raise Refused(
            Code.WEBSOCKET_VERSION, "The version is 13 (RFC 6455).", fields=(spoken, *_UPGRADE)
        )
    key = request.only(b"sec-websocket-key")
    if key is None or not _is_key(key):
        raise _malformed("Sec-WebSocket-Key is not 16 octets in base64.")
    return Handshake(key, _protocols(request))


def for_upstream(outgoing: UpstreamRequest, handshake: Handshake) -> UpstreamRequest:
    """Add the handshake to a request that has been through `outgoing.outgoing`.

    No extension is offered: the gateway follows frames, and one that changes what a frame means
    (RFC 7692, compression) would have to be understood first.
    """
    fields: list[Field] = [
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", _VERSION),
        (b"sec-websocket-key", handshake.key),
    ]
    if handshake.protocols:
        fields.append((b"sec-websocket-protocol", b", ".join(handshake.protocols)))
    return replace(outgoing, fields=(*outgoing.fields, *fields), lines=None)


def switching_fields(handshake: Handshake, fields: Fields) -> Fields:
    """Return what makes the 101 for the browser, from the fields of the upstream's own.

    Raises Unavailable(UPSTREAM_PROTOCOL) for a 101 that a browser would not accept (section 4.1).
    """
    said = _Said(fields)
    if said.members(b"upgrade") != [b"websocket"] or b"upgrade" not in said.members(b"connection"):
        raise _no_websocket("not an upgrade to websocket")
    if said.values(b"sec-websocket-accept") != [handshake.accept]:
        raise _no_websocket("Sec-WebSocket-Accept does not fit the key")
    if said.values(b"sec-websocket-extensions"):  # an empty one is malformed (section 9.1)
        raise _no_websocket("an extension that was not offered")
    chosen = said.values(b"sec-websocket-protocol")
    if len(chosen) > 1 or not set(chosen) <= set(handshake.protocols):
        raise _no_websocket("a subprotocol that was not offered")
    ours = (*_UPGRADE, (b"sec-websocket-accept", handshake.accept))
    return (*ours, *((b"sec-websocket-protocol", one) for one in chosen))


@dataclass(frozen=True, slots=True)
class _Said:
    """An upstream's fields, by name."""

    fields: Fields

    def values(self, name: bytes) -> list[bytes]:
        return [value.strip(b" \t") for key, value in self.fields if key.lower() == name]

    def members(self, name: bytes) -> list[bytes]:
        return _members(self.values(name))


def _members(values: Iterable[bytes]) -> list[bytes]:
    """Members of a list field, in lower case (RFC 9110 section 5.6.1)."""
    members = [part.strip(b" \t").lower() for value in values for part in value.split(b",")]
    return [member for member in members if member]


def _is_key(key: bytes) -> bool:
    try:
        return len(b64decode(key, validate=True)) == _KEY_OCTETS
    except Error:
        return False


def _protocols(request: BrowserRequest) -> tuple[bytes, ...]:
    offered: list[bytes] = []
    for value in request.values(b"sec-websocket-protocol"):
        for part in value.split(b","):
            protocol = part.strip(b" \t")
            if not _TOKEN.fullmatch(protocol) or protocol in offered:
                raise _malformed("Sec-WebSocket-Protocol is not a list of different tokens.")
            if _carries_token(protocol):
                raise Refused(
                    Code.TOKEN_IN_REQUEST, "Tokens are not accepted among the subprotocols."
                )
            offered.append(protocol)
            if len(offered) > _MOST_PROTOCOLS:
                raise _malformed("Sec-WebSocket-Protocol offers too many.")
    return tuple(offered)


def _carries_token(protocol: bytes) -> bool:
    if _TOKEN_CARRIER.fullmatch(protocol):
        return True
    return any(_JSON_OBJECT in segment for segment in protocol.split(b".")[:-1])


def _malformed(detail: str) -> Refused:
    return Refused(Code.WEBSOCKET_MALFORMED, detail)


def _no_websocket(note: str) -> Unavailable:
    return Unavailable(
        Code.UPSTREAM_PROTOCOL, "The service behind answered badly.", note=f"101 with {note}"
    )
