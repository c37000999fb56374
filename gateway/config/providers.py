"""Identity providers: from their sections to `Client`s, which are confidential ones only (A1)."""

import re
from dataclasses import replace

from gateway.adapters.jose import can_sign
from gateway.config.findings import Path, Report
from gateway.config.provider_section import EndpointsSection, ProviderSection
from gateway.config.references import References
from gateway.edge.host import PublicOrigin
from gateway.edge.return_to import check_return_to
from gateway.errors import Misconfigured, Refused
from gateway.oidc.client import Client, ClientAuth, Kind, ResponseMode, origin_of
from gateway.oidc.keys import Algorithm
from gateway.oidc.metadata import Metadata, endpoint_fault
from gateway.secret import ClientSecret, PrivateKeyPem
from gateway.web.site import BASE

LOGGED_OUT = f"{BASE}/logged-out"
"""The one endpoint of ours a provider may send the browser to after a logout."""

_NAME = re.compile(r"[a-z0-9-]{1,32}")
_SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749 section 3.3
_PARAMETER = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_MAC_OCTETS = {Algorithm.HS256: 32, Algorithm.HS384: 48, Algorithm.HS512: 64}

_OIDC_ONLY = (
    "id_token_algorithms",
    "trusted_audiences",
    "leeway",
    "fetch_userinfo",
    "send_id_token_hint",
    "require_logout_typ",
    "frontchannel_logout",
)
_OAUTH2_ONLY = ("endpoints", "subject_claim")


def build_clients(
    providers: tuple[tuple[str, ProviderSection], ...],
    origin: PublicOrigin,
    references: References,
    report: Report,
) -> tuple[Client, ...]:
    """Return one client per provider, in the order of the file."""
    clients = []
    for name, section in providers:
        path: Path = ("providers", name)
        if not _NAME.fullmatch(name):
            report.error(path, "a provider's name is 1 to 32 of a to z, 0 to 9 and hyphens")
            continue
        client = _client(name, section, origin, references, report)
        if client is not None:
            clients.append(client)
    kinds: dict[str, Kind] = {}
    for client in clients:
        if kinds.setdefault(client.issuer, client.kind) is not client.kind:
            report.error(
                ("providers", client.provider, "issuer"),
                "names an issuer of another kind: a person is issuer and subject, and the two "
                "would mix up their users (D9)",
            )
    return tuple(clients)


def asked_scopes(section: ProviderSection) -> tuple[str, ...]:
    """Return what is asked for at login; only OpenID providers get a default (E20)."""
    if section.kind == Kind.OAUTH2.value and "scopes" not in section.model_fields_set:
        return ()
    return tuple(dict.fromkeys(section.scopes))


def _fits(private_key: str, name: str) -> bool:
    """Try it here: the first login would be a bad moment to find out."""
    algorithm = Algorithm(name)
    # An HS algorithm is another finding's business.
    return algorithm.is_mac or can_sign(PrivateKeyPem(private_key), algorithm)


def _client(
    name: str,
    section: ProviderSection,
    origin: PublicOrigin,
    references: References,
    report: Report,
) -> Client | None:
    path: Path = ("providers", name)
    kind = Kind(section.kind)
    _check_kind(section, kind, path, report)
    _check_scopes(section, kind, path, report)
    _check_parameters(section, path, report)
    secret = references.text(section.client_secret, (*path, "client_secret"))
    private_key = references.text(section.private_key, (*path, "private_key"))
    _check_credentials(section, secret, private_key, path, report)
    endpoints = _endpoints(section.endpoints, kind, path, report)
    issuer = _issuer(section, kind, endpoints, path, report)
    try:
        return Client(
            provider=name,
            kind=kind,
            issuer=issuer,
            client_id=section.client_id,
            auth=ClientAuth(section.client_auth),
            secret=ClientSecret(secret) if secret else None,
            private_key=PrivateKeyPem(private_key) if private_key else None,
            assertion_algorithm=Algorithm(section.assertion_algorithm),
            assertion_key_id=section.assertion_key_id,
            scopes=asked_scopes(section),
            redirect_uri=f"{origin}{BASE}/callback/{name}",
            response_mode=ResponseMode(section.response_mode),
            id_token_algorithms=frozenset(map(Algorithm, section.id_token_algorithms)),
            trusted_audiences=frozenset(section.trusted_audiences),
            leeway=section.leeway,
            subject_claim=section.subject_claim or ("sub" if kind is Kind.OIDC else "id"),
            endpoints=_pinned(endpoints, kind, issuer),
            fetch_userinfo=section.fetch_userinfo,
            extra_parameters=tuple(section.extra_parameters.items()),
            acr_values=tuple(section.acr_values),
            post_logout_redirect_uri=_after_logout(section, origin, path, report),
            send_id_token_hint=section.send_id_token_hint,
            default_token_lifetime=section.default_token_lifetime,
            require_logout_typ=section.require_logout_typ,
            frontchannel_logout=section.frontchannel_logout,
        )
    except Misconfigured as wrong:
        # The client's own rules, which hold for every way of making one.
        for finding in wrong.findings:
            where, _, message = finding.partition(": ")
            report.error_if_unknown((*path, *where.split(".")[2:]), message)
        return None


def _check_kind(section: ProviderSection, kind: Kind, path: Path, report: Report) -> None:
    foreign = _OIDC_ONLY if kind is Kind.OAUTH2 else _OAUTH2_ONLY
    other = Kind.OIDC if kind is Kind.OAUTH2 else Kind.OAUTH2
    for key in foreign:
        if key in section.model_fields_set:
            report.error((*path, key), f"is only for kind: {other.value}; remove it")


def _check_scopes(section: ProviderSection, kind: Kind, path: Path, report: Report) -> None:
    place = (*path, "scopes")
    for number, scope in enumerate(section.scopes):
        if not _SCOPE.fullmatch(scope):
            report.error((*place, number), "must be one scope, without spaces or quotes")
    if kind is Kind.OAUTH2 and "openid" in asked_scopes(section):
        report.error(place, "openid makes the provider an OpenID provider: use kind: oidc")


def _check_parameters(section: ProviderSection, path: Path, report: Report) -> None:
    for name in section.extra_parameters:
        if not _PARAMETER.fullmatch(name):
            report.error((*path, "extra_parameters", name), "is not the name of a parameter")
    for number, value in enumerate(section.acr_values):
        if not _SCOPE.fullmatch(value):
            report.error((*path, "acr_values", number), "must be one value, without spaces")


def _check_credentials(
    section: ProviderSection,
    secret: str | None,
    private_key: str | None,
    path: Path,
    report: Report,
) -> None:
    if secret is not None and not secret.isprintable():
        report.error((*path, "client_secret"), "holds a line break or another control character")
    place = (*path, "private_key")
    if private_key is not None and "PRIVATE KEY-----" not in private_key:
        report.error(place, "is not a private key in PEM form")
    elif private_key is not None and "ENCRYPTED" in private_key:
        report.error(place, "is encrypted; give the gateway the plain key, readable only to it")
    elif private_key is not None and not _fits(private_key, section.assertion_algorithm):
        report.error(place, f"cannot sign with {section.assertion_algorithm}; see the algorithm")
    by_key = section.client_auth == ClientAuth.PRIVATE_KEY_JWT.value
    if by_key and section.private_key is None:
        report.error(place, "is required: private_key_jwt signs with it")
    if not by_key and section.client_secret is None:
        report.error(
            (*path, "client_secret"),
            f"is required: {section.client_auth} sends it (A1); name its place, "
            "{env: NAME} or {file: PATH}",
        )
    _check_mac(section, secret, path, report)


def _check_mac(section: ProviderSection, secret: str | None, path: Path, report: Report) -> None:
    """An HS algorithm's key is the client secret, and has to be one (G7, RFC 7518 section 3.2)."""
    macs = [one for one in map(Algorithm, section.id_token_algorithms) if one.is_mac]
    if not macs or secret is None:
        return
    needed = max(_MAC_OCTETS[one] for one in macs)
    if len(secret.encode()) < needed:
        report.error(
            (*path, "client_secret"),
            f"must have at least {needed} bytes: id_token_algorithms makes it a signing key",
        )


def _issuer(
    section: ProviderSection, kind: Kind, endpoints: Metadata | None, path: Path, report: Report
) -> str:
    place = (*path, "issuer")
    if section.issuer is None:
        if kind is Kind.OIDC:
            report.error(place, "is required: the provider's identifier, as its metadata spells it")
        return endpoints.issuer if endpoints else ""
    # RFC 8414 section 2: no query, no fragment. The spelling itself is compared as it is (F1).
    if fault := endpoint_fault(section.issuer, section.issuer):
        report.error(place, f"{fault}; http is for loopback addresses only")
    elif "?" in section.issuer:
        report.error(place, "has no query")
    elif section.issuer.endswith("/.well-known/openid-configuration"):
        report.error(place, "is the address before /.well-known/, not the document's own")
    return section.issuer


def _endpoints(
    section: EndpointsSection | None, kind: Kind, path: Path, report: Report
) -> Metadata | None:
    if section is None:
        if kind is Kind.OAUTH2:
            report.error((*path, "endpoints"), "is required: kind oauth2 has no discovery")
        return None
    for name in EndpointsSection.model_fields:
        url = getattr(section, name)
        if url is not None and (fault := endpoint_fault(url, url)):
            report.error((*path, "endpoints", name), f"{fault}; http is for loopback only")
    return Metadata(
        issuer=origin_of(section.authorization_endpoint),
        authorization_endpoint=section.authorization_endpoint,
        token_endpoint=section.token_endpoint,
        userinfo_endpoint=section.userinfo_endpoint,
        revocation_endpoint=section.revocation_endpoint,
    )


def _pinned(endpoints: Metadata | None, kind: Kind, issuer: str) -> Metadata | None:
    if endpoints is None or kind is not Kind.OAUTH2:
        return None
    return replace(endpoints, issuer=issuer)


def _after_logout(
    section: ProviderSection, origin: PublicOrigin, path: Path, report: Report
) -> str:
    wanted = section.post_logout_redirect_uri.removeprefix(str(origin))
    if wanted == LOGGED_OUT:
        return f"{origin}{LOGGED_OUT}"
    try:
        checked = check_return_to(section.post_logout_redirect_uri, origin, base=BASE)
    except Refused as refused:
        report.error(
            (*path, "post_logout_redirect_uri"),
            f"must be a path of the public origin, like / or {LOGGED_OUT} ({refused.note})",
        )
        return f"{origin}/"
    return f"{origin}{checked}"
