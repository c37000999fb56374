"""Outgoing TLS always verifies, whatever else is configured."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from gateway.adapters.tls import client_context
from gateway.errors import Misconfigured
from tests.support.certificates import make_certificates


def test_f2_certificate_and_name_are_checked_and_old_versions_refused() -> None:
    context = client_context(None, key="ca_file")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_given_bundle_replaces_the_authorities_of_the_system(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    context = client_context(str(made.ca_file), key="ca_file")
    authority = ssl.PEM_cert_to_DER_cert(made.ca_file.read_text())
    assert context.get_ca_certs(binary_form=True) == [authority]


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\x00"])
def test_a_bundle_without_a_certificate_is_blamed_on_its_key(
    content: bytes | None, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(Misconfigured) as raised:
        client_context(str(bundle), key="providers.main.ca_file")
    assert raised.value.findings[0].startswith("providers.main.ca_file: ")


def test_a_certificate_of_our_own_is_shown_with_its_key(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    client_context(None, key="x", certificate=str(made.certificate), private_key=str(made.key))
    client_context(None, key="x", certificate=str(both))


def test_a_protected_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(Misconfigured) as raised:
        client_context(
            None, key="routes", certificate=str(made.certificate), private_key=str(made.key)
        )
    assert raised.value.findings[0].startswith("routes: ")


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\x00"])
def test_a_certificate_that_is_none_is_blamed_on_its_key(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "client.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Misconfigured) as raised:
        client_context(None, key="routes", certificate=str(file))
    assert raised.value.findings[0].startswith("routes: ")
