"""The one origin browsers use, and the check that a request is meant for it (K2, K3, C6).

The public origin comes from configuration, never from a field a stranger can write.
"""

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from gateway.edge.messages import BrowserRequest
from gateway.errors import Code, Refused

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535
_LONGEST_NAME = 253

_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_READ_AS_A_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HOST_FIELD = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?")

# What does not belong into an origin (RFC 6454 section 6.2), and what to call it.
_FOREIGN = (("@", "user information"), ("/", "a path"), ("?", "a query"), ("#", "a fragment"))


@dataclass(frozen=True, slots=True)
class PublicOrigin:
    """Scheme, host and port, all lower case; `port` is set even when it is the default.

    An IPv6 host keeps its brackets.
    """

    scheme: str
    host: str
    port: int
    # Host and port as a browser writes them, the default port left out; and the whole origin.
    authority: str = field(init=False, repr=False, compare=False)
    wire_authority: bytes = field(init=False, repr=False, compare=False)
    wire: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        default = self.port == _DEFAULT_PORTS[self.scheme]
        authority = self.host if default else f"{self.host}:{self.port}"
        object.__setattr__(self, "authority", authority)
        object.__setattr__(self, "wire_authority", authority.encode("ascii"))
        object.__setattr__(self, "wire", f"{self.scheme}://{authority}".encode("ascii"))

    @property
    def is_secure(self) -> bool:
        """Whether browsers come over https."""
        return self.scheme == "https"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_public_origin(text: str) -> PublicOrigin:
    """Read `https://host[:port]`, or `http://localhost[:port]`.

    Raises ValueError with a message for the operator.
    """
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _DEFAULT_PORTS:
        raise ValueError("must begin with https:// (http:// is accepted for localhost only)")
    for character, meaning in _FOREIGN:
        if character in rest:
            raise ValueError(
                f"an origin has no {meaning}: write only scheme, host and port, "
                "like https://app.example.com"
            )
    authority = _AUTHORITY.fullmatch(rest)
    if authority is None:
        raise ValueError("must be scheme://host or scheme://host:port, with a port in digits")
    host = _checked_host(authority["host"].lower())
    if scheme == "http" and host != "localhost":
        # Browsers keep Secure cookies over plain http on localhost and nowhere else.
        raise ValueError("must use https: plain http is accepted for the host localhost only")
    port = int(authority["port"]) if authority["port"] else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= _HIGHEST_PORT:
        raise ValueError("the port must lie between 1 and 65535")
    return PublicOrigin(scheme, host, port)


def _checked_host(host: str) -> str:
    # The host must be spelled as browsers serialize it, or no Origin field would ever equal it.
    if host.startswith("["):
        try:
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        except AddressValueError:
            raise ValueError("the IPv6 address in brackets is not valid") from None
    if not host.isascii():
        raise ValueError("write an internationalized host name in its xn-- form")
    labels = host.split(".")
    if len(host) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the host is not a valid name (letters, digits, hyphens and dots)")
    if _READ_AS_A_NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise ValueError("a host that ends in a number must be an IPv4 address") from None
    return host


def is_loopback(host: str) -> bool:
    """Whether a listener's host is reached from this machine only, as far as one can tell.

    Of names only `localhost` and those below it are known not to lead elsewhere (RFC 6761 6.3).
    """
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def require_our_host(
    request: BrowserRequest, origin: PublicOrigin, accepted: frozenset[str]
) -> None:
    """Refuse a request that is not addressed to us (RFC 9112 section 3.2, RFC 9110 section 7.4).

    `accepted` holds further authorities, lower case, that may stand in the Host field: how a
    load balancer or a health check calls this server. It changes nothing else (N3).

    Raises Refused: HOST_MALFORMED for no Host, several, or a malformed one; else HOST_MISDIRECTED.
    """
    value = request.only(b"host")
    if value == origin.wire_authority:
        return
    if value is None or not _HOST_FIELD.fullmatch(value):
        raise Refused(Code.HOST_MALFORMED, "Exactly one valid Host field is required.")
    host = value.decode("ascii").lower()
    if host in (origin.authority, f"{origin.host}:{origin.port}") or host in accepted:
        return
    raise Refused(Code.HOST_MISDIRECTED, "This server does not answer for that host.")
