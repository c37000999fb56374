"""The contract of the `BackChannel` port: any complete answer comes back, nothing else happens.

The provider is a raw server on loopback that may say anything, at any pace.
"""

import asyncio
import gzip
import random
import zlib
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path

import pytest

from gateway.adapters.provider_http import BackChannelSettings, ProviderHttp
from gateway.errors import Code, Effect, Misconfigured, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.ports import BackChannel
from tests.support.backchannel_server import BackChannelServer, Seen, answer
from tests.support.certificates import Certificates, make_certificates
from tests.support.redis_servers import free_port

GUARD = 20.0  # seconds; what is bounded at all ends well within
JSON = "Content-Type: application/json"


@pytest.fixture
async def channel() -> AsyncIterator[ProviderHttp]:
    opened = ProviderHttp(BackChannelSettings())
    yield opened
    await opened.aclose()


@pytest.fixture
async def hasty() -> AsyncIterator[ProviderHttp]:
    """With a deadline short enough to wait for."""
    opened = ProviderHttp(BackChannelSettings(total_timeout=0.4, connect_timeout=0.4))
    yield opened
    await opened.aclose()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


async def get(channel: BackChannel, url: str) -> BackChannelAnswer:
    async with asyncio.timeout(GUARD):
        return await channel.send(BackChannelRequest("GET", url))


async def failure(channel: BackChannel, url: str) -> Unavailable:
    with pytest.raises(Unavailable) as raised:
        await get(channel, url)
    assert raised.value.code is Code.PROVIDER_UNAVAILABLE
    assert raised.value.detail == ""
    return raised.value


async def test_a_request_arrives_as_it_was_built(channel: ProviderHttp) -> None:
    async with BackChannelServer(answer(b"{}", JSON)) as provider:
        request = BackChannelRequest(
            "POST",
            f"{provider.url}/token?a=1&b=%2F",
            fields=(
                (b"authorization", b"Basic aWQ6c2VjcmV0"),
                (b"content-type", b"application/x-www-form-urlencoded"),
                (b"accept", b"application/json"),
            ),
            body=b"grant_type=authorization_code&code=a%20b",
        )
        found = await channel.send(request)
    assert found == BackChannelAnswer(200, "application/json", b"{}")
    (seen,) = provider.requests
    assert seen.method_and_target == "POST /token?a=1&b=%2F"
    assert seen.body == request.body
    assert seen.values("authorization") == ["Basic aWQ6c2VjcmV0"]
    assert seen.values("content-type") == ["application/x-www-form-urlencoded"]
    assert seen.values("accept") == ["application/json"]
    assert seen.values("accept-encoding") == ["identity"]
    assert seen.values("host") == [f"localhost:{provider.port}"]
    assert seen.values("cookie") == []


@pytest.mark.parametrize(
    "status", ["200 OK", "201 Created", "400 Bad Request", "401 X", "404 X", "500 X", "503 X"]
)
async def test_any_status_is_an_answer(status: str, channel: ProviderHttp) -> None:
    async with BackChannelServer(answer(b"body", JSON, status=status)) as provider:
        found = await get(channel, provider.url)
    assert (found.status, found.body) == (int(status[:3]), b"body")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://169.254.169.254/", "/elsewhere", "https://[bad"])
async def test_f2_a_redirect_is_an_answer_and_nothing_is_followed(
    status: int, location: str, channel: ProviderHttp
) -> None:
    reply = answer(b"", f"Location: {location}", status=f"{status} Elsewhere")
    async with BackChannelServer(reply) as provider:
        assert (await get(channel, provider.url)).status == status
    assert len(provider.requests) == 1


async def test_no_cookie_is_kept(channel: ProviderHttp) -> None:
    """One user's provider cookies must not travel with another user's token request."""
    cookies = ("Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Domain=localhost", "Set-Cookie: c=3")
    async with BackChannelServer(answer(b"{}", *cookies)) as provider:
        for _ in range(3):
            await get(channel, provider.url)
    assert [seen.values("cookie") for seen in provider.requests] == [[], [], []]


async def test_k8_the_environment_neither_routes_nor_authenticates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_bytes(netrc.read_bytes())
    async with (
        BackChannelServer(answer(b"from the proxy")) as proxy,
        BackChannelServer(answer(b"from the provider")) as provider,
    ):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        channel = ProviderHttp(BackChannelSettings())
        assert (await get(channel, provider.url)).body == b"from the provider"
        await channel.aclose()
    assert proxy.connections == 0
    assert provider.requests[0].values("authorization") == []


async def test_k8_the_environment_adds_no_certificate_authority(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates, tmp_path: Path
) -> None:
    keys = tmp_path / "tls-keys"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", str(certificates.ca_file.parent))
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    channel = ProviderHttp(BackChannelSettings())
    async with BackChannelServer(answer(b"{}"), certificates) as provider:
        await failure(channel, provider.url)
    await channel.aclose()
    assert provider.requests == []
    assert not keys.exists()


async def test_f2_an_unknown_certificate_authority_is_refused(
    channel: ProviderHttp, certificates: Certificates
) -> None:
    async with BackChannelServer(answer(b"{}"), certificates) as provider:
        await failure(channel, provider.url)
    assert provider.requests == []


async def test_a_given_certificate_authority_is_trusted_for_the_name_it_certified(
    certificates: Certificates, tmp_path: Path
) -> None:
    channel = ProviderHttp(BackChannelSettings(ca_file=str(certificates.ca_file)))
    async with BackChannelServer(answer(b"{}"), certificates) as provider:
        assert (await get(channel, provider.url)).status == 200
    await channel.aclose()
    stranger = make_certificates(tmp_path, "id.example.com")
    channel = ProviderHttp(BackChannelSettings(ca_file=str(stranger.ca_file)))
    async with BackChannelServer(answer(b"{}"), stranger) as provider:
        await failure(channel, provider.url)
    await channel.aclose()
    assert provider.requests == []


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_certificate_file_that_cannot_be_read_is_a_misconfiguration(
    content: str | None, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(Misconfigured) as raised:
        ProviderHttp(BackChannelSettings(ca_file=str(bundle)))
    assert str(bundle) in raised.value.findings[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.com/token",
        "http://localhost.example.com/token",
        "http://127.0.0.1.example.com/token",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/token",
        "http://localhost\\@id.example.com/token",
        "ftp://localhost/token",
        "file:///etc/passwd",
        "//localhost/token",
        "/token",
        "",
        "https://",
        "https://localhost/\x00",
        "https://[::1/token",
    ],
)
async def test_only_https_is_spoken_except_on_loopback(url: str, channel: ProviderHttp) -> None:
    await failure(channel, url)


async def test_a_url_with_credentials_in_it_is_refused_unsent(channel: ProviderHttp) -> None:
    async with BackChannelServer(answer(b"{}")) as provider:
        url = provider.url.replace("localhost", "user:password@localhost")
        assert "password" not in (await failure(channel, url)).note
    assert provider.requests == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST"])
async def test_plain_http_is_spoken_on_loopback(host: str, channel: ProviderHttp) -> None:
    async with BackChannelServer(answer(b"{}")) as provider:
        found = await get(channel, f"http://{host}:{provider.port}/")
    assert found.status == 200


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], ""),
        (["Content-Type: application/json"], "application/json"),
        (["Content-Type: Application/JSON ; charset=UTF-8"], "application/json"),
        (["Content-Type: text/html", "Content-Type: application/json"], ""),
    ],
)
async def test_the_content_type_is_given_without_case_and_parameters(
    fields: list[str], expected: str, channel: ProviderHttp
) -> None:
    async with BackChannelServer(answer(b"{}", *fields)) as provider:
        assert (await get(channel, provider.url)).content_type == expected


def _date(seconds: int) -> str:
    return formatdate(1_790_000_000 + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], None),
        (["Retry-After: 0"], 0),
        (["Retry-After: 120"], 120),
        (["Retry-After: 999999"], 3600),
        (["Retry-After: 99999999999999999999999"], None),
        (["Retry-After: -1"], None),
        (["Retry-After: 1.5"], None),
        (["Retry-After: 1e3"], None),
        (["Retry-After: \xb2"], None),
        (["Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"], None),  # as counted from when?
        ([f"Retry-After: {_date(150)}", f"Date: {_date(30)}"], 120),
        ([f"Retry-After: {_date(30)}", f"Date: {_date(150)}"], 0),
        ([f"Retry-After: {_date(999999)}", f"Date: {_date(0)}"], 3600),
        ([f"Retry-After: {_date(150)}", "Date: soon GMT"], None),
        ([f"Retry-After: {_date(150).replace('GMT', '-0100')}", f"Date: {_date(30)}"], None),
        ([f"Retry-After: {_date(150)}", f"Date: {_date(30)}", f"Date: {_date(30)}"], None),
        (["Retry-After: 1", "Retry-After: 2"], None),
    ],
)
async def test_retry_after_is_taken_when_it_is_plain_and_bounded_h10(
    fields: list[str], expected: int | None, channel: ProviderHttp
) -> None:
    reply = answer(b"", *fields, status="429 Too Many Requests")
    async with BackChannelServer(reply) as provider:
        assert (await get(channel, provider.url)).retry_after == expected


async def chunked_hello(_: Seen) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for letter in b"hello":
        yield b"1\r\n%c\r\n" % letter
        await asyncio.sleep(0.005)
    yield b"0\r\n\r\n"


async def hello_until_close(_: Seen) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhel"
    await asyncio.sleep(0.02)
    yield b"lo"


@pytest.mark.parametrize("script", [chunked_hello, hello_until_close])
async def test_an_answer_in_pieces_is_put_together(script: object, channel: ProviderHttp) -> None:
    async with BackChannelServer(script) as provider:  # type: ignore[arg-type]  # a table of scripts
        assert (await get(channel, provider.url)).body == b"hello"


HUGE = 100 * 1024 * 1024


async def huge_declared(_: Seen) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE
    for _piece in range(HUGE // 65536):
        yield bytes(65536)


async def huge_chunked(_: Seen) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _piece in range(HUGE // 65536):
        yield b"10000\r\n" + bytes(65536) + b"\r\n"


async def huge_head(_: Seen) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for i in range(100_000):
        yield b"X-%d: %b\r\n" % (i, b"x" * 1000)


@pytest.mark.parametrize("script", [huge_declared, huge_chunked, huge_head])
async def test_h20_a_huge_answer_is_cut_at_the_cap_and_hung_up_on(
    script: object, channel: ProviderHttp
) -> None:
    sent = 0

    async def counted(seen: Seen) -> AsyncIterator[bytes]:
        nonlocal sent
        async for piece in script(seen):  # type: ignore[operator]  # a table of scripts
            sent += len(piece)
            yield piece

    async with BackChannelServer(counted) as provider:
        await failure(channel, provider.url)
        async with asyncio.timeout(GUARD):
            while provider.open:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
    assert sent < HUGE / 4  # the cap, and what the sockets hold


async def test_a_body_of_exactly_the_cap_is_complete() -> None:
    channel = ProviderHttp(BackChannelSettings(max_body=1000))
    async with BackChannelServer(answer(bytes(1000))) as provider:
        assert (await get(channel, provider.url)).body == bytes(1000)
        provider.reply = answer(bytes(1001))
        await failure(channel, provider.url)
    await channel.aclose()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "identity, gzip", "x"])
async def test_h20_a_packed_body_is_refused_unopened(coding: str, channel: ProviderHttp) -> None:
    bomb = gzip.compress(bytes(10_000_000)) if coding != "deflate" else zlib.compress(bytes(10**7))
    reply = answer(bomb, f"Content-Encoding: {coding}", JSON)
    async with BackChannelServer(reply) as provider:
        await failure(channel, provider.url)


async def test_an_identity_coding_is_no_coding(channel: ProviderHttp) -> None:
    async with BackChannelServer(answer(b"{}", "Content-Encoding: identity")) as provider:
        assert (await get(channel, provider.url)).body == b"{}"


async def trickled_body(_: Seen) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    for _octet in range(1000):
        yield b"x"
        await asyncio.sleep(0.05)


async def trickled_head(_: Seen) -> AsyncIterator[bytes]:
    for octet in b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 1000:
        yield bytes((octet,))
        await asyncio.sleep(0.05)


async def silence(_: Seen) -> AsyncIterator[bytes]:
    await asyncio.sleep(GUARD)
    yield b""


async def silent_body(_: Seen) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    await asyncio.sleep(GUARD)


@pytest.mark.parametrize("script", [trickled_body, trickled_head, silence, silent_body])
async def test_h20_one_deadline_ends_an_answer_that_never_does(
    script: object, hasty: ProviderHttp
) -> None:
    async with BackChannelServer(script) as provider:  # type: ignore[arg-type]  # a table of scripts
        await failure(hasty, provider.url)
        provider.reply = answer(b"{}")
        assert (await get(hasty, provider.url)).status == 200


NOT_HTTP = (
    b"",
    b"\r\n\r\n",
    b"garbage\r\n\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 99999 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x16\x03\x01\x00\x05hello",
    b"\x00" * 100,
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html",
)


@pytest.mark.parametrize("octets", NOT_HTTP, ids=repr)
async def test_what_is_not_a_complete_answer_is_unavailable(
    octets: bytes, channel: ProviderHttp
) -> None:
    async def script(_: Seen) -> AsyncIterator[bytes]:
        yield octets

    async with BackChannelServer(script) as provider:
        await failure(channel, provider.url)
        assert len(provider.requests) == 1  # H13: a code is good for one use


async def test_f12_a_provider_that_is_not_there_is_unavailable(channel: ProviderHttp) -> None:
    await failure(channel, f"http://127.0.0.1:{free_port()}/")
    await failure(channel, "https://no-such-provider.invalid/")


async def test_d14_a_failure_names_neither_query_nor_credentials(channel: ProviderHttp) -> None:
    request = BackChannelRequest(
        "POST",
        f"http://127.0.0.1:{free_port()}/token?code=seeded-code",
        fields=((b"authorization", b"Basic seeded-credential"),),
        body=b"client_secret=seeded-secret",
    )
    with pytest.raises(Unavailable) as raised:
        await channel.send(request)
    assert "seeded" not in str(raised.value)
    assert "token" not in raised.value.note


async def test_f17_callers_who_leave_take_no_connection_with_them() -> None:
    """Stock httpx loses a slot of its pool for each; after twenty of them nobody can log in."""
    dice = random.Random(17)  # noqa: S311 - repeatable, not secret

    async def slow(_: Seen) -> AsyncIterator[bytes]:
        await asyncio.sleep(dice.uniform(0, 0.01))
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"
        await asyncio.sleep(dice.uniform(0, 0.01))
        yield b"llo"

    channel = ProviderHttp(BackChannelSettings(max_connections=5))
    left = 0

    async def leave_early(url: str) -> None:
        nonlocal left
        sending = asyncio.create_task(get(channel, url))
        await asyncio.sleep(dice.uniform(0, 0.02))
        left += sending.cancel()
        await asyncio.wait((sending,))

    async with BackChannelServer(slow) as provider:
        for _ in range(10):
            await asyncio.gather(*(leave_early(provider.url) for _ in range(20)))
        found = await asyncio.gather(*(get(channel, provider.url) for _ in range(5)))
    await channel.aclose()
    assert left > 100
    assert [one.body for one in found] == [b"hello"] * 5


async def test_connections_are_kept_and_one_closed_while_idle_costs_no_request(
    channel: ProviderHttp,
) -> None:
    async with BackChannelServer(answer(b"{}")) as provider:
        for _ in range(3):
            await get(channel, provider.url)
        assert provider.connections == 1
        provider.close_idle()
        await asyncio.sleep(0.02)
        assert (await get(channel, provider.url)).status == 200
        assert provider.connections == 2


async def test_a_server_that_hangs_takes_no_other_servers_connections_along_h20() -> None:
    async def silence(_: Seen) -> AsyncIterator[bytes]:
        await asyncio.sleep(GUARD)
        yield b""

    channel = ProviderHttp(BackChannelSettings(total_timeout=1.0, max_connections=2))
    async with (
        BackChannelServer(silence) as hangs,
        BackChannelServer(answer(b"{}", JSON)) as works,
    ):
        refreshes = [
            asyncio.create_task(
                channel.send(BackChannelRequest("POST", hangs.url, is_for_once=True))
            )
            for _ in range(2)
        ]
        async with asyncio.timeout(GUARD):
            while len(hangs.requests) < 2:  # noqa: ASYNC110  it is another's list
                await asyncio.sleep(0.01)
        assert (await get(channel, works.url)).status == 200
        refused = await failure(channel, hangs.url)
        assert refused.effect is Effect.NOTHING  # it has heard nothing, and spent nothing
        assert len(hangs.requests) == 2
        for refresh in refreshes:
            refresh.cancel()
        await asyncio.gather(*refreshes, return_exceptions=True)
        hangs.reply = answer(b"{}", JSON)
        for _ in range(5):
            assert (await get(channel, hangs.url)).status == 200
    await channel.aclose()
