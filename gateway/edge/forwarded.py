"""Who the client is, and what upstreams are told about it (section N, RFC 7239).

Nothing that a client can write decides anything here: forwarded fields count only when the
socket's peer is a listed proxy, and then they are read from the right, up to the first address
that is not itself a listed proxy. A trusted proxy must overwrite or extend the field it manages
(X-Forwarded-For, or Forwarded where the former is absent) and remove the other one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.edge.host import PublicOrigin
from gateway.edge.messages import BrowserRequest, Fields

UNKNOWN = "unknown"
"""The address of a peer on a unix socket (RFC 7239 section 6.2)."""

MAX_HOPS = 32
"""Listed proxies believed in one chain; a longer chain is a loop or a forgery."""

_LONGEST_LIST = 4096  # octets of either field; thirty-two addresses take less than two thousand

# An address as proxies write it: bare, with a port, or an IPv6 address in brackets. Bounded, since
# addresses are remembered below.
_NODE = re.compile(
    r"\[(?P<bracketed>[0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?"
    r"|(?P<four>[0-9.]{7,15})(?::[0-9]{1,5})?"
    r"|(?P<bare>[0-9A-Fa-f:.]{2,45})"
)
_TCHAR = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TOKEN = re.compile(_TCHAR)
_FORWARDED_PAIR = re.compile(
    rf"[ \t]*(?P<name>{_TCHAR})=(?:(?P<token>{_TCHAR})|\"(?P<quoted>[^\"\\]*)\")[ \t]*"
)


@dataclass(frozen=True, slots=True)
class ForwardedPolicy:
    """The networks whose forwarded fields are believed; none by default (N1)."""

    trusted: tuple[IPv4Network | IPv6Network, ...] = ()

    def trusts(self, peer: str) -> bool:
        """Whether the socket's peer is a listed proxy, whose fields about others are believed."""
        return bool(self.trusted) and _trusted_peer(peer, self)


@dataclass(frozen=True, slots=True)
class _Hop:
    text: str  # as the standard library writes the address
    address: IPv4Address | IPv6Address


def client_address(request: BrowserRequest, policy: ForwardedPolicy) -> str:
    """Return the address of the client in its usual text form, or `UNKNOWN`.

    A malformed entry ends the walk at the last address that a trusted proxy vouched for (N2).
    """
    return _hops(request.peer, policy, *_said(request, policy))[0]


def forwarded_fields(
    address: str, request: BrowserRequest, policy: ForwardedPolicy, origin: PublicOrigin
) -> Fields:
    """Return what upstreams learn: the client's address, and our own public origin (N1, N3, N4).

    `address` is what `client_address` said. The chain begins there: what stands to its left was
    written by the client and is not repeated. Scheme and host come from configuration.
    """
    hops = _hops(request.peer, policy, *_said(request, policy))
    return _lines((address, *hops[1:]), origin.scheme, origin.authority)


@lru_cache(maxsize=4096)
def _lines(chain: tuple[str, ...], scheme: str, authority: str) -> Fields:
    address = chain[0]
    node = f'"[{address}]"' if ":" in address else address  # RFC 7239 section 6
    # RFC 7239 section 4: a colon or a bracket is not allowed in a token.
    quoted = authority if _TOKEN.fullmatch(authority) else f'"{authority}"'
    return (
        (b"x-forwarded-for", ", ".join(chain).encode("ascii")),
        (b"x-forwarded-proto", scheme.encode("ascii")),
        (b"x-forwarded-host", authority.encode("ascii")),
        (b"forwarded", f"for={node};host={quoted};proto={scheme}".encode("ascii")),
    )


def _said(request: BrowserRequest, policy: ForwardedPolicy) -> tuple[bytes, bytes]:
    """Return X-Forwarded-For and Forwarded as far as the peer is believed.

    Repeated lines are one list (RFC 9110 section 5.3); each proxy adds on the right.
    """
    if not policy.trusts(request.peer):
        return b"", b""
    listed = request.values(b"x-forwarded-for")
    if listed:
        return _newest(listed) or b",", b""
    return b"", _newest(request.values(b"forwarded"))


def _newest(lines: list[bytes]) -> bytes:
    # Only the newest hops are ever looked at; strangers do not decide how much is remembered.
    whole = b",".join(lines)
    return whole if len(whole) <= _LONGEST_LIST else whole[-_LONGEST_LIST:].partition(b",")[2]


@lru_cache(maxsize=4096)
def _trusted_peer(peer: str, policy: ForwardedPolicy) -> bool:
    hop = _read(peer.partition("%")[0])
    return hop is not None and _is_trusted(hop, policy)


@lru_cache(maxsize=4096)
def _hops(peer: str, policy: ForwardedPolicy, listed: bytes, elements: bytes) -> tuple[str, ...]:
    """Every address from the client to the socket's peer."""
    nearest = _read(peer.partition("%")[0])
    if nearest is None:
        return (UNKNOWN,)
    hops = [nearest.text]
    if _is_trusted(nearest, policy):
        for entry in _newest_first(listed, elements):
            hop = _node(entry)
            if hop is None or len(hops) == MAX_HOPS:
                break
            hops.append(hop.text)
            if not _is_trusted(hop, policy):
                break
    return tuple(reversed(hops))


def _newest_first(listed: bytes, elements: bytes) -> Iterator[str]:
    if listed:
        yield from reversed(listed.decode("latin-1").split(","))
        return
    # A comma inside a quoted string only breaks elements of the client's making: the address a
    # trusted proxy wrote holds none.
    for element in reversed(elements.decode("latin-1").split(",")):
        yield _for_parameter(element)


def _for_parameter(element: str) -> str:
    """Return the `for` parameter of one forwarded-element, or an empty text."""
    found = []
    for text in element.split(";"):
        pair = _FORWARDED_PAIR.fullmatch(text)
        if pair is None:
            return ""
        if pair["name"].lower() == "for":
            found.append(pair["token"] if pair["quoted"] is None else pair["quoted"])
    return found[0] if len(found) == 1 else ""


def _node(text: str) -> _Hop | None:
    node = _NODE.fullmatch(text.strip(" \t"))
    if node is None:
        return None
    return _read(node["bracketed"] or node["four"] or node["bare"])


@lru_cache(maxsize=4096)
def _read(text: str) -> _Hop | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 peers as ::ffff:10.0.0.1, and networks are written as IPv4.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return _Hop(str(address), address)


def _is_trusted(hop: _Hop, policy: ForwardedPolicy) -> bool:
    return any(hop.address in network for network in policy.trusted)
