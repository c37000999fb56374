"""TLS to upstreams: whom it believes, as whom it speaks, and where it ends (F2, K8, M12)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.http1_upstream.client import Http1Upstream
from gateway.edge.upstream_group import Timeouts, UpstreamGroup, UpstreamTls
from gateway.errors import Code, Misconfigured
from gateway.ports import Upstream
from tests.support.certificates import Certificates, make_certificates
from tests.support.raw_upstream import OK, RawUpstream, raw_upstream
from tests.support.upstream_calls import GROUP, answered, failure_of, of, request


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


def presenting(made: Certificates, clients: Path | None = None) -> ssl.SSLContext:
    """A server's side; `clients` is the authority whose certificates it demands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


def trusting(server: RawUpstream, tls: UpstreamTls | None) -> UpstreamGroup:
    return of(server, terms=replace(GROUP, tls=tls))


async def test_a_certificate_of_the_named_authority_is_believed_f2(
    upstream: Upstream, made: Certificates
) -> None:
    async with raw_upstream(tls=presenting(made)) as server:
        group = trusting(server, UpstreamTls(ca_file=str(made.ca_file)))
        for _ in range(3):
            assert (await answered(upstream, request(group)))[2] == b"ok"
        assert server.connections == 1


async def test_an_unknown_authority_is_not_believed_and_nothing_is_sent_f2(
    upstream: Upstream, made: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificates(tmp_path / "other")
    async with raw_upstream(tls=presenting(made)) as server:
        for tls in (None, UpstreamTls(), UpstreamTls(ca_file=str(other.ca_file))):
            code = await failure_of(upstream, request(trusting(server, tls)))
            assert code is Code.UPSTREAM_CONNECT
        assert server.heads == []


async def test_a_certificate_for_another_name_is_not_believed_f2(
    upstream: Upstream, tmp_path: Path
) -> None:
    made = make_certificates(tmp_path, "orders.internal")
    async with raw_upstream(tls=presenting(made)) as server:
        group = trusting(server, UpstreamTls(ca_file=str(made.ca_file)))
        assert await failure_of(upstream, request(group)) is Code.UPSTREAM_CONNECT
        assert server.heads == []


async def test_the_configured_name_is_asked_for_and_checked(
    upstream: Upstream, tmp_path: Path
) -> None:
    made = make_certificates(tmp_path, "orders.internal")
    context, asked = presenting(made), []
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with raw_upstream(tls=context) as server:
        tls = UpstreamTls(ca_file=str(made.ca_file), server_name="orders.internal")
        assert (await answered(upstream, request(trusting(server, tls))))[2] == b"ok"
        assert asked == ["orders.internal"]
        wrong = replace(tls, server_name="bills.internal")
        code = await failure_of(upstream, request(trusting(server, wrong)))
        assert code is Code.UPSTREAM_CONNECT
        assert len(server.heads) == 1


async def test_a_client_certificate_is_shown_where_there_is_one(
    upstream: Upstream, made: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "client").mkdir()
    client = make_certificates(tmp_path / "client", "gateway")
    async with raw_upstream(tls=presenting(made, clients=client.ca_file)) as server:
        tls = UpstreamTls(ca_file=str(made.ca_file))
        code = await failure_of(upstream, request(trusting(server, tls)))
        assert code in {Code.UPSTREAM_CONNECT, Code.UPSTREAM_PROTOCOL}  # TLS 1.2, TLS 1.3
        assert server.heads == []
        tls = replace(tls, certificate=str(client.certificate), key=str(client.key))
        assert (await answered(upstream, request(trusting(server, tls))))[2] == b"ok"


async def test_the_environment_adds_no_authority_k8(
    upstream: Upstream, made: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "session-keys"))
    async with raw_upstream(tls=presenting(made)) as server:
        assert await failure_of(upstream, request(trusting(server, None))) is Code.UPSTREAM_CONNECT
        group = trusting(server, UpstreamTls(ca_file=str(made.ca_file)))
        assert (await answered(upstream, request(group)))[2] == b"ok"
    assert not (tmp_path / "session-keys").exists()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("cut", ["in order", "without a word"])
async def test_a_body_without_length_ends_only_where_tls_says_so_m12(
    upstream: Upstream, made: Certificates, cut: str, version: ssl.TLSVersion
) -> None:
    context = presenting(made)
    context.maximum_version = version

    async def until_the_end(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()
        await asyncio.sleep(0.05)
        if cut == "in order":
            writer.close()
        else:  # whoever sits on the line can end a TCP connection, but not say close_notify
            writer.transport.abort()

    async with raw_upstream(tls=context) as server:
        server.answer = until_the_end
        group = trusting(server, UpstreamTls(ca_file=str(made.ca_file)))
        if cut == "in order":
            assert (await answered(upstream, request(group)))[2] == b"all of it"
        else:
            assert await failure_of(upstream, request(group)) is Code.UPSTREAM_PROTOCOL
        server.answer = OK
        assert (await answered(upstream, request(group)))[2] == b"ok"


async def test_large_bodies_pass_both_ways_over_tls(upstream: Upstream, made: Certificates) -> None:
    async def echo(writer: asyncio.StreamWriter) -> None:
        body = server.bodies[-1]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()

    async def much() -> AsyncIterator[bytes]:
        for number in range(64):
            yield bytes([number]) * 65536

    async with raw_upstream(tls=presenting(made)) as server:
        server.answer = echo
        group = trusting(server, UpstreamTls(ca_file=str(made.ca_file)))
        fields = ((b"content-length", b"%d" % (64 * 65536)),)
        for _ in range(2):
            _, _, body = await answered(
                upstream, request(group, method="POST", fields=fields), much()
            )
            assert body == b"".join([bytes([number]) * 65536 for number in range(64)])
        assert server.connections == 1


def test_files_that_cannot_be_used_are_found_at_the_start(
    made: Certificates, tmp_path: Path
) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_bytes(b"\xff no certificate")
    missing = str(tmp_path / "missing.pem")
    (tmp_path / "other").mkdir()
    other = make_certificates(tmp_path / "other")
    for tls in (
        UpstreamTls(ca_file=missing),
        UpstreamTls(ca_file=str(rubbish)),
        UpstreamTls(certificate=missing),
        UpstreamTls(certificate=str(rubbish), key=str(made.key)),
        UpstreamTls(certificate=str(made.certificate)),  # no key in it
        UpstreamTls(certificate=str(made.certificate), key=str(other.key)),
    ):
        with pytest.raises(Misconfigured):
            Http1Upstream([UpstreamGroup(("https://a:1",), tls=tls)])


async def test_plain_http_where_tls_was_meant_is_no_connection(
    upstream: Upstream, server: RawUpstream
) -> None:
    terms = replace(GROUP, timeouts=Timeouts(0.5, 5, 5))
    group = of(server.origin.replace("http:", "https:"), terms=terms)
    assert await failure_of(upstream, request(group)) is Code.UPSTREAM_CONNECT


async def test_groups_with_different_trust_never_share_a_connection(
    upstream: Upstream, made: Certificates
) -> None:
    async with raw_upstream(tls=presenting(made)) as server:
        good = trusting(server, UpstreamTls(ca_file=str(made.ca_file)))
        assert (await answered(upstream, request(good)))[2] == b"ok"
        assert await failure_of(upstream, request(trusting(server, None))) is Code.UPSTREAM_CONNECT
        assert len(server.heads) == 1
