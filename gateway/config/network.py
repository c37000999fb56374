"""Where the gateway is: its origin, its listeners, the proxies before it, and what is itself."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import gethostname

from gateway.config.document import Basics
from gateway.config.findings import Path, Report
from gateway.config.references import References
from gateway.config.sections import AdminSection, ListenSection
from gateway.edge.forwarded import ForwardedPolicy
from gateway.edge.host import PublicOrigin, is_loopback, parse_public_origin
from gateway.secret import AdminToken
from gateway.settings import AdminListen, Listen

# The largest networks a proxy may stand in: 10.0.0.0/8, and fc00::/7 for unique local addresses.
_WIDEST = {4: 8, 6: 7}

# As many as nobody guesses; it is sent as it stands, in a field (RFC 9110 section 5.5).
_SHORTEST_TOKEN = 32
_TOKEN = re.compile(rf"[!-~]{{{_SHORTEST_TOKEN},}}")
_ADMIN_TOKEN: Path = ("admin", "token")

STAND_IN = PublicOrigin("https", "app.invalid", 443)
"""The origin to go on with when the configured one is unusable (RFC 6761 section 6.4)."""


def build_origin(basics: Basics, report: Report) -> PublicOrigin:
    """Return the public origin (C6, E12)."""
    try:
        return parse_public_origin(basics.public_origin)
    except ValueError as wrong:
        report.unreadable(("public_origin",), str(wrong))
        return STAND_IN


def build_listen(section: ListenSection, report: Report) -> Listen:
    """Return the public listener."""
    _check_address(section.host, ("listen", "host"), report)
    accepted = []
    for number, text in enumerate(section.accepted_hosts):
        try:
            parse_public_origin(f"https://{text}")
        except ValueError as wrong:
            report.error(("listen", "accepted_hosts", number), f"as host[:port]: {wrong}")
        else:
            accepted.append(text.lower())
    return Listen(
        section.host,
        section.port,
        section.workers,
        frozenset(accepted),
        section.drain_delay,
        section.worker_silence,
    )


def build_admin(
    section: AdminSection, listen: Listen, references: References, report: Report
) -> AdminListen:
    """Return the operators' listener."""
    path: Path = ("admin", "host")
    _check_address(section.host, path, report)
    if section.port == listen.port:
        report.error(("admin", "port"), "must differ from listen.port")
    if not is_loopback(section.host):
        report.warn(
            path,
            "is not a loopback address, and health and metrics ask nobody for a password; make "
            "sure that only operators can reach it",
        )
    token = references.text(section.token, _ADMIN_TOKEN)
    if token is not None and not _TOKEN.fullmatch(token):
        report.error(
            _ADMIN_TOKEN,
            f"has to be at least {_SHORTEST_TOKEN} visible ASCII characters without a space, such "
            "as those of `openssl rand -hex 32`",
        )
    return AdminListen(section.host, section.port, AdminToken(token) if token is not None else None)


def build_forwarded(basics: Basics, report: Report) -> ForwardedPolicy:
    """Return the proxies that are believed (N1); everybody is not an answer."""
    networks: list[IPv4Network | IPv6Network] = []
    for number, text in enumerate(basics.trusted_proxies):
        path: Path = ("trusted_proxies", number)
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            report.error(path, "must be an address or a network, like 10.0.0.0/8 or fd00::/8")
            continue
        networks.append(network)
        _check_network(network, text, path, basics, report)
    return ForwardedPolicy(tuple(networks))


def _is_too_wide(network: IPv4Network | IPv6Network) -> bool:
    if network.prefixlen < _WIDEST[network.version]:
        return True
    local = IPv6Network(
        "fc00::/7"
    )  # unique local addresses (RFC 4193); elsewhere /32 is a provider
    return network.version == 6 and network.prefixlen < 32 and not network.subnet_of(local)  # noqa: PLR2004


def _check_network(
    network: IPv4Network | IPv6Network, text: str, path: Path, basics: Basics, report: Report
) -> None:
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        report.error(path, "is an IPv4 network in IPv6 form; write it as IPv4")
    elif _is_too_wide(network):
        if not basics.dangerously_trust_all_proxies:
            report.error(
                path,
                "holds so much of the internet that anybody could claim any address; name your "
                "proxies, or set dangerously_trust_all_proxies: true",
            )
    elif ip_address(text.partition("/")[0]) != network.network_address:
        report.error(path, f"has bits set behind its prefix; did you mean {network}?")


def _check_address(host: str, path: Path, report: Report) -> None:
    if host == "*":
        report.error(path, "write 0.0.0.0 for every IPv4 address, or :: for every IPv6 address")
        return
    try:
        parse_public_origin(f"https://[{host}]" if ":" in host else f"https://{host}")
    except ValueError:
        report.error(path, "must be an IP address (IPv6 without brackets) or a name, no port")


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port somebody listens at."""

    host: str
    port: int

    def is_same(self, other: "Place") -> bool:
        """Whether both lead to one listener, as far as one can tell without asking DNS."""
        if self.port != other.port:
            return False
        return _spelled(self.host) == _spelled(other.host) or (
            _is_here(self.host) and _is_here(other.host)
        )


def own_places(origin: PublicOrigin, listen: Listen, admin: AdminListen) -> tuple[Place, ...]:
    """Return every place at which the gateway itself answers (K9)."""
    further = [parse_public_origin(f"https://{host}") for host in listen.accepted_hosts]
    ports = {origin.port, 80, 443}  # http to our own name comes back to us as a redirect
    here = [Place(gethostname(), listen.port)] if _is_here(listen.host) else []
    return (
        *(Place(origin.host, port) for port in sorted(ports)),
        *here,
        Place(listen.host, listen.port),
        Place(admin.host, admin.port),
        *(Place(one.host, one.port) for one in further),
    )


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _spelled(host: str) -> str:
    address = _address(host)
    return host.lower() if address is None else address.compressed


def _is_here(host: str) -> bool:
    # A listener on 0.0.0.0 answers at every address of this machine, loopback included.
    return is_loopback(host) or _spelled(host) in ("0.0.0.0", "::")  # noqa: S104  compared, not bound
