"""Discovery: exactly the configured issuer, nothing insecure, nothing guessed."""

import json
from typing import Any

import pytest

from gateway.errors import Code, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer
from gateway.oidc.metadata import Metadata, discovery_url, endpoint_fault, read_metadata
from tests.unit.oidc.examples import ISSUER, json_answer, refused

DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://id.example/authorize",
    "token_endpoint": "https://id.example/token",
    "jwks_uri": "https://keys.example/jwks?v=1",
    "userinfo_endpoint": "https://id.example/userinfo",
    "revocation_endpoint": "https://id.example/revoke",
    "end_session_endpoint": "https://id.example/logout",
    "introspection_endpoint": "https://id.example/introspect",
    "authorization_response_iss_parameter_supported": True,
    "code_challenge_methods_supported": ["plain", "S256"],
    "response_modes_supported": ["query", "form_post"],
    "an_unknown_member": {"is": ["ignored"]},
}
ENDPOINTS = [name for name in DOCUMENT if name.endswith(("_endpoint", "_uri"))]


def read(**changes: Any) -> Metadata:
    members = {name: value for name, value in (DOCUMENT | changes).items() if value is not ...}
    return read_metadata(json_answer(members), ISSUER)


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://id.example", "https://id.example/.well-known/openid-configuration"),
        ("https://id.example/", "https://id.example/.well-known/openid-configuration"),
        ("https://id.example/a/b", "https://id.example/a/b/.well-known/openid-configuration"),
        ("https://id.example/a/b/", "https://id.example/a/b/.well-known/openid-configuration"),
        ("http://localhost:9000", "http://localhost:9000/.well-known/openid-configuration"),
    ],
)
def test_the_document_is_after_the_issuers_path(issuer: str, url: str) -> None:
    assert discovery_url(issuer) == url


def test_a_whole_document_is_read() -> None:
    assert read() == Metadata(
        issuer=ISSUER,
        authorization_endpoint="https://id.example/authorize",
        token_endpoint="https://id.example/token",
        jwks_uri="https://keys.example/jwks?v=1",
        userinfo_endpoint="https://id.example/userinfo",
        revocation_endpoint="https://id.example/revoke",
        end_session_endpoint="https://id.example/logout",
        introspection_endpoint="https://id.example/introspect",
        iss_parameter_supported=True,
        supports_s256=True,
        response_modes=frozenset({"query", "form_post"}),
    )


def test_a_small_document_is_enough() -> None:
    small = {name: DOCUMENT[name] for name in list(DOCUMENT)[:3]}
    assert read_metadata(json_answer(small), ISSUER) == Metadata(
        ISSUER, "https://id.example/authorize", "https://id.example/token"
    )


def test_null_is_the_same_as_absent() -> None:
    assert read(revocation_endpoint=None).revocation_endpoint is None
    assert read(code_challenge_methods_supported=None).supports_s256 is None


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        ISSUER.replace("id.example", "id.example:443"),
        ISSUER + "?x",
        "https://evil.example",
        " " + ISSUER,
        "",
        None,
        [ISSUER],
        ...,
    ],
)
def test_f1_another_issuer_is_refused_however_alike(issuer: object) -> None:
    with refused(Code.PROVIDER_METADATA):
        read(issuer=issuer)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
def test_what_a_login_needs_is_required(name: str) -> None:
    for value in (None, ...):
        with refused(Code.PROVIDER_METADATA):
            read(**{name: value})


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(
    "url",
    [
        "http://id.example/x",
        "http://localhost/x",  # the issuer is not on this machine, so this points at us
        "http://127.0.0.1:6379/",
        "ftp://id.example/x",
        "file:///etc/passwd",
        "//id.example/x",
        "/x",
        "https://",
        "https:///x",
        "https://id.example/x#f",
        "https://user:pw@id.example/x",
        "https://id.example\\@evil.example/x",
        "https://id.example/\r\nx",
        "https://id.example/ x",
        "https://id.example:port/x",
        "https://[::1/x",
        "https://id.example/" + "x" * 2048,
        "",
        7,
        ["https://id.example/x"],
        {"url": "https://id.example/x"},
    ],
)
def test_f2_an_insecure_or_broken_endpoint_is_refused(name: str, url: object) -> None:
    with refused(Code.PROVIDER_METADATA):
        read(**{name: url})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_f2_a_provider_on_this_machine_may_speak_http(host: str) -> None:
    issuer = f"http://{host}:9000"
    document = {"issuer": issuer, "authorization_endpoint": f"{issuer}/a"}
    answer = json_answer(document | {"token_endpoint": f"{issuer}/t"})
    assert read_metadata(answer, issuer).token_endpoint == f"{issuer}/t"
    with refused(Code.PROVIDER_METADATA):
        read_metadata(json_answer(document | {"token_endpoint": "http://id.example/t"}), issuer)


def test_e2_a_provider_that_lists_pkce_without_s256_is_refused() -> None:
    for methods in (["plain"], [], ["s256"]):
        with refused(Code.PROVIDER_METADATA):
            read(code_challenge_methods_supported=methods)


def test_e2_a_provider_that_does_not_say_is_not_known_to_lack_s256() -> None:
    assert read(code_challenge_methods_supported=...).supports_s256 is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code_challenge_methods_supported", "S256"),
        ("code_challenge_methods_supported", ["S256", 1]),
        ("code_challenge_methods_supported", [["S256"]]),
        ("response_modes_supported", {"query": True}),
        ("authorization_response_iss_parameter_supported", "false"),
        ("authorization_response_iss_parameter_supported", 1),
    ],
)
def test_a_member_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    with refused(Code.PROVIDER_METADATA):
        read(**{name: value})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b"null",
        b'"x"',
        json.dumps(DOCUMENT).encode()[:-1],
        json.dumps(DOCUMENT).encode("utf-16"),
        b'{"issuer":"%s","issuer":"%s"}' % (b"https://evil", ISSUER.encode()),
        b"\xff" + json.dumps(DOCUMENT).encode(),
        b"[" * 100_000,
    ],
)
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    with refused(Code.PROVIDER_METADATA):
        read_metadata(BackChannelAnswer(200, "application/json", body), ISSUER)


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 404, 429, 500, 503])
def test_f2_any_other_status_is_an_outage_and_a_redirect_is_not_followed(status: int) -> None:
    with pytest.raises(Unavailable) as caught:
        read_metadata(json_answer(DOCUMENT, status, retry_after=17), ISSUER)
    assert caught.value.code is Code.PROVIDER_UNAVAILABLE
    assert caught.value.retry_after == 17


def test_a_refusal_does_not_repeat_what_the_provider_sent() -> None:
    with refused(Code.PROVIDER_METADATA) as caught:
        read(token_endpoint="http://evil-name.example/x")
    assert "evil-name" not in str(caught.value)


def test_the_longest_url_is_accepted() -> None:
    url = "https://id.example/"
    assert endpoint_fault(url + "x" * (2048 - len(url)), ISSUER) is None
    assert endpoint_fault(url + "x" * (2049 - len(url)), ISSUER) is not None


def test_an_endpoint_may_have_a_query() -> None:
    assert endpoint_fault("https://id.example/a?p=policy", ISSUER) is None
