"""Whom outgoing TLS trusts, and as whom it speaks: one rule for store, providers and upstreams.

The environment has no say (K8): SSL_CERT_FILE and SSL_CERT_DIR would let it add a certificate
authority, SSLKEYLOGFILE would write session keys to a file, and `ssl.create_default_context` obeys
all three.
"""

import ssl
from pathlib import Path

from gateway.errors import Misconfigured

# Where distributions keep their bundle when OpenSSL was compiled for somewhere else.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)


def client_context(
    ca_file: str | None, *, key: str, certificate: str | None = None, private_key: str | None = None
) -> ssl.SSLContext:
    """Return a context that verifies certificate and host name (F2), TLS 1.2 or newer.

    `ca_file` is a PEM bundle that replaces the system's authorities; `certificate` and
    `private_key` are PEM files to show to a server that asks (the key may be in the first). `key`
    is the settings path to blame: raises `Misconfigured` when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        _show(context, certificate, private_key, key)
    if ca_file is None:
        _trust_the_system(context)
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ValueError) as fault:
        raise Misconfigured(
            [f"{key}: cannot read certificates from {ca_file!r} ({type(fault).__name__})"]
        ) from fault
    return context


def _show(context: ssl.SSLContext, certificate: str, private_key: str | None, key: str) -> None:
    try:
        # The password: OpenSSL would ask the terminal for that of a protected key.
        context.load_cert_chain(certificate, private_key, password="")
    except (OSError, ValueError) as fault:
        raise Misconfigured(
            [f"{key}: cannot use the certificate {certificate!r} ({type(fault).__name__})"]
        ) from fault


def _trust_the_system(context: ssl.SSLContext) -> None:
    compiled = ssl.get_default_verify_paths()
    candidates = (compiled.openssl_cafile, *_BUNDLES)
    bundle = next((path for path in candidates if Path(path).is_file()), None)
    folder = compiled.openssl_capath if Path(compiled.openssl_capath).is_dir() else None
    if bundle or folder:
        context.load_verify_locations(cafile=bundle, capath=folder)
