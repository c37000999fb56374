"""Identity providers: confidential clients or none."""

from typing import Any

import pytest

from gateway.edge.cookies import SameSite
from gateway.oidc.client import ClientAuth, Kind, ResponseMode
from gateway.oidc.keys import Algorithm
from tests.support.provider import KEY as PROVIDER_KEY
from tests.unit.config.documents import ABSENT, check, errors, message, settings

MAIN = "providers.main."
PEM = PROVIDER_KEY.as_pem(private=True).decode()
PLAIN: dict[str, Any] = {
    "kind": "oauth2",
    "client_id": "spa",
    "client_secret": {"env": "CLIENT_SECRET"},
    "endpoints": {
        "authorization_endpoint": "https://plain.example/authorize",
        "token_endpoint": "https://plain.example/token",
        "userinfo_endpoint": "https://api.plain.example/user",
    },
}


def main_error(key: str, value: object) -> bool:
    """Whether this value is refused at this key, or inside it, and nothing else is."""
    found = errors({MAIN + key: value})
    return bool(found) and all(path.startswith(MAIN + key) for path in found)


def test_a_provider_needs_an_issuer_an_id_and_a_secret() -> None:
    client = settings().clients[0]
    assert (client.provider, client.kind, client.issuer) == (
        "main",
        Kind.OIDC,
        "https://id.example.com",
    )
    assert (client.client_id, client.auth) == ("spa", ClientAuth.CLIENT_SECRET_BASIC)
    assert client.scopes == ("openid",)
    assert client.id_token_algorithms == {Algorithm.RS256}
    for key in ("issuer", "client_id", "client_secret"):
        assert errors({MAIN + key: ABSENT}) == [MAIN + key]


def test_everything_missing_is_reported_at_once() -> None:
    missing = {MAIN + key: ABSENT for key in ("issuer", "client_id", "client_secret")}
    assert sorted(errors(missing)) == sorted(missing)


def test_the_first_provider_of_the_file_is_the_default() -> None:
    second = {"providers.a-second": {**settings_of("https://second.example")}}
    assert [client.provider for client in settings(second).clients] == ["main", "a-second"]


def settings_of(issuer: str) -> dict[str, Any]:
    return {"issuer": issuer, "client_id": "x", "client_secret": {"env": "CLIENT_SECRET"}}


@pytest.mark.parametrize("name", ["Main", "a_b", "a.b", "x" * 33, "ä", "", "a b", "../x"])
def test_a_providers_name_fits_into_the_callback_url(name: str) -> None:
    text = {"providers": {name: settings_of("https://id.example.com")}}
    assert len(errors(text)) == 1


def test_a_name_that_is_no_text_is_an_error() -> None:
    assert errors({"providers": {1: settings_of("https://id.example.com")}}) == ["providers"]


@pytest.mark.parametrize("providers", [None, {}, [], "main", [{"main": {}}]])
def test_there_is_no_gateway_without_a_provider(providers: object) -> None:
    assert errors({"providers": providers}) == ["providers"]


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example.com/realms/main",
        "https://example.eu.auth0.com/",
        "http://localhost:9400",
        "http://127.0.0.1:9400",
    ],
)
def test_an_issuer_is_kept_to_the_last_slash(issuer: str) -> None:
    assert settings({MAIN + "issuer": issuer}).clients[0].issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.example.com",
        "id.example.com",
        "https://",
        "https://user:pw@id.example.com",
        "https://id.example.com/#x",
        "https://id.example.com/?tenant=x",
        "https://id.example.com/.well-known/openid-configuration",
        "https://id.example.com/a b",
        "",
        1,
    ],
)
def test_an_issuer_that_cannot_be_asked_safely_is_refused(issuer: object) -> None:
    assert main_error("issuer", issuer)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_method_with_a_secret_needs_one(method: str) -> None:
    made = settings({MAIN + "client_auth": method})
    assert made.clients[0].auth.value == method
    assert errors({MAIN + "client_auth": method, MAIN + "client_secret": ABSENT}) == [
        MAIN + "client_secret"
    ]


def test_private_key_jwt_needs_a_key() -> None:
    changes = {MAIN + "client_auth": "private_key_jwt", MAIN + "client_secret": ABSENT}
    assert errors(changes) == [MAIN + "private_key"]
    with_key = {**changes, MAIN + "private_key": {"env": "KEY"}}
    made = settings(with_key, environ={"KEY": PEM})
    assert made.clients[0].private_key is not None
    assert made.clients[0].private_key.reveal() == PEM.strip()
    assert PEM.splitlines()[1] not in repr(made)
    mac = {**with_key, MAIN + "assertion_algorithm": "HS256"}
    assert errors(mac, environ={"KEY": PEM}) == [MAIN + "assertion_algorithm"]


@pytest.mark.parametrize(
    "key",
    [
        "hunter2",
        PEM.replace("PRIVATE", "PUBLIC"),
        PEM.replace(PEM[40:60], ""),
        PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    ],
)
def test_a_key_that_cannot_sign_is_refused(key: str) -> None:
    changes = {MAIN + "client_auth": "private_key_jwt", MAIN + "private_key": {"env": "KEY"}}
    assert errors(changes, environ={"KEY": key}) == [MAIN + "private_key"]


def test_a_public_client_is_refused() -> None:
    """A1, RFC 10017 section 6.1.3.1."""
    assert main_error("client_auth", "none")
    assert "confidential" in message({MAIN + "client_auth": "none"})


@pytest.mark.parametrize(
    "method", ["tls_client_auth", "self_signed_tls_client_auth", "client_secret_jwt"]
)
def test_a_method_of_later_versions_is_told_from_a_misspelt_one(method: str) -> None:
    assert main_error("client_auth", method)
    assert "not available in this version" in message({MAIN + "client_auth": method})


@pytest.mark.parametrize("method", ["basic", "Client_Secret_Basic", "", 1, ["none"]])
def test_an_unknown_method_is_refused(method: object) -> None:
    assert main_error("client_auth", method)


@pytest.mark.parametrize("secret", ["two\nlines", "a\x00b"])
def test_a_secret_with_control_characters_is_refused(secret: str) -> None:
    changes = {MAIN + "client_secret": {"env": "MINE"}}
    assert errors(changes, environ={"MINE": secret}) == [MAIN + "client_secret"]


def test_openid_is_asked_for_or_it_is_not_openid_connect() -> None:
    assert main_error("scopes", ["profile"])
    assert main_error("scopes", [])


def test_offline_access_is_asked_for_only_when_configured() -> None:
    """E20."""
    assert "offline_access" not in settings().clients[0].scopes
    made = settings({MAIN + "scopes": ["openid", "offline_access"]})
    assert made.clients[0].scopes == ("openid", "offline_access")


@pytest.mark.parametrize("scopes", ["openid", ["openid", "a b"], ["openid", 'a"b'], ["openid", 1]])
def test_scopes_are_a_list_of_single_words(scopes: object) -> None:
    assert main_error("scopes", scopes)


def test_a_scope_named_twice_is_sent_once() -> None:
    assert settings({MAIN + "scopes": ["openid", "x", "openid"]}).clients[0].scopes == (
        "openid",
        "x",
    )


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_signature_algorithms_come_from_here_alone(algorithm: str) -> None:
    made = settings({MAIN + "id_token_algorithms": [algorithm]})
    assert made.clients[0].id_token_algorithms == {Algorithm(algorithm)}


@pytest.mark.parametrize(
    "algorithms", [[], ["none"], ["rs256"], ["RS256", "HS256"], ["HS256", "HS512"], "RS256", [None]]
)
def test_no_signature_and_mixtures_of_keys_and_secrets_are_refused(algorithms: object) -> None:
    """F6, G7, RFC 8725 section 3.1."""
    assert main_error("id_token_algorithms", algorithms)


@pytest.mark.parametrize(("algorithm", "octets"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_an_hs_algorithm_needs_a_secret_as_long_as_its_hash(algorithm: str, octets: int) -> None:
    """RFC 7518 section 3.2."""
    changes = {
        MAIN + "id_token_algorithms": [algorithm],
        MAIN + "client_secret": {"env": "MINE"},
    }
    short, enough = {"MINE": "x" * (octets - 1)}, {"MINE": "x" * octets}
    assert errors(changes, environ=short) == [MAIN + "client_secret"]
    assert settings(changes, environ=enough).clients[0].id_token_algorithms == {
        Algorithm(algorithm)
    }


def test_an_hs_algorithm_needs_a_secret_at_all() -> None:
    changes = {
        MAIN + "client_auth": "private_key_jwt",
        MAIN + "client_secret": ABSENT,
        MAIN + "private_key": {"env": "KEY"},
        MAIN + "id_token_algorithms": ["HS256"],
    }
    assert errors(changes, environ={"KEY": PEM}) == [MAIN + "id_token_algorithms"]


def test_form_post_makes_the_login_cookie_survive_the_way_back() -> None:
    """B4."""
    assert settings().cookies.login_same_site is SameSite.LAX
    made = settings({MAIN + "response_mode": "form_post"})
    assert made.clients[0].response_mode is ResponseMode.FORM_POST
    assert made.cookies.login_same_site is SameSite.NONE
    assert made.cookies.session_same_site is SameSite.STRICT
    assert main_error("response_mode", "fragment")


@pytest.mark.parametrize("leeway", [-1, "2m", 61, "a while", True])
def test_clocks_may_not_differ_by_much(leeway: object) -> None:
    assert main_error("leeway", leeway)


@pytest.mark.parametrize(
    "name",
    [
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "request",
        "max_age",
    ],
)
def test_extra_parameters_cannot_replace_ours(name: str) -> None:
    """E14."""
    assert main_error("extra_parameters", {name: "x"})


def test_extra_parameters_are_passed_on() -> None:
    extra = {"audience": "https://api.example.com", "prompt": "consent"}
    made = settings({MAIN + "extra_parameters": extra})
    assert dict(made.clients[0].extra_parameters) == extra


@pytest.mark.parametrize("extra", [{"a b": "x"}, {"a": 1}, {"a": "x\ny"}, ["a"], {"": "x"}])
def test_extra_parameters_are_names_and_texts(extra: object) -> None:
    assert main_error("extra_parameters", extra)


@pytest.mark.parametrize(
    ("written", "uri"),
    [
        ("/", "https://app.example.com/"),
        ("/goodbye?x=1", "https://app.example.com/goodbye?x=1"),
        ("/bff/logged-out", "https://app.example.com/bff/logged-out"),
        ("https://app.example.com/goodbye", "https://app.example.com/goodbye"),
        ("https://app.example.com/bff/logged-out", "https://app.example.com/bff/logged-out"),
    ],
)
def test_a_logout_comes_back_to_our_own_origin(written: str, uri: str) -> None:
    made = settings({MAIN + "post_logout_redirect_uri": written})
    assert made.clients[0].post_logout_redirect_uri == uri


@pytest.mark.parametrize(
    "written",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "https://app.example.com.evil.example/",
        "http://app.example.com/",
        "goodbye",
        "/bff/login",
        "/a#b",
        "javascript:alert(1)",
        "",
    ],
)
def test_a_logout_never_ends_elsewhere(written: str) -> None:
    assert main_error("post_logout_redirect_uri", written)


@pytest.mark.parametrize(
    "key", ["redirect_uri", "pkce", "response_type", "verify", "discovery_url", "audience"]
)
def test_keys_of_other_products_are_explained(key: str) -> None:
    assert errors({MAIN + key: "x"}) == [MAIN + key]
    assert message({MAIN + key: "x"}) != "unknown key"


# -- plain OAuth 2.0 --------------------------------------------------------------------------


def plain(**changes: object) -> dict[str, object]:
    return {"providers": {"plain": {**PLAIN, **changes}}}


def test_a_plain_provider_has_its_endpoints_configured() -> None:
    client = settings(plain()).clients[0]
    assert (client.kind, client.issuer) == (Kind.OAUTH2, "https://plain.example")
    assert client.endpoints is not None
    assert client.endpoints.token_endpoint == "https://plain.example/token"
    assert client.endpoints.userinfo_endpoint == "https://api.plain.example/user"
    assert client.endpoints.revocation_endpoint is None
    assert (client.scopes, client.subject_claim) == ((), "id")


def test_a_plain_provider_can_be_told_apart_and_read_differently() -> None:
    made = settings(plain(issuer="https://other.example", subject_claim="login", scopes=["user"]))
    client = made.clients[0]
    assert (client.issuer, client.subject_claim) == ("https://other.example", "login")


def test_a_plain_provider_without_endpoints_is_refused() -> None:
    without = {key: value for key, value in PLAIN.items() if key != "endpoints"}
    assert errors({"providers": {"plain": without}}) == ["providers.plain.endpoints"]


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "userinfo_endpoint"])
def test_three_endpoints_are_required(name: str) -> None:
    fewer = {key: value for key, value in PLAIN["endpoints"].items() if key != name}
    assert errors(plain(endpoints=fewer)) == [f"providers.plain.endpoints.{name}"]


@pytest.mark.parametrize(
    "url", ["http://plain.example/token", "plain.example", "https://u:p@plain.example/", 1]
)
def test_every_endpoint_is_https(url: object) -> None:
    """F2."""
    wrong = {**PLAIN["endpoints"], "revocation_endpoint": url}
    found = errors(plain(endpoints=wrong))
    assert found == ["providers.plain.endpoints.revocation_endpoint"]


def test_a_misspelt_endpoint_is_named_once_and_hides_no_other() -> None:
    wrong = {
        "authorization_endpiont": "https://plain.example/authorize",
        "token_endpoint": "http://plain.example/token",
        "userinfo_endpoint": 5,
    }
    assert sorted(errors(plain(endpoints=wrong))) == [
        "providers.plain.endpoints.authorization_endpiont",
        "providers.plain.endpoints.token_endpoint",
        "providers.plain.endpoints.userinfo_endpoint",
    ]


@pytest.mark.parametrize(
    "key",
    [
        *("id_token_algorithms", "trusted_audiences", "leeway", "fetch_userinfo"),
        *("require_logout_typ", "frontchannel_logout"),
    ],
)
def test_what_only_openid_providers_have_is_refused_for_plain_ones(key: str) -> None:
    values = {"id_token_algorithms": ["RS256"], "trusted_audiences": ["x"], "leeway": 5}
    assert errors(plain(**{key: values.get(key, True)})) == [f"providers.plain.{key}"]


def test_a_providers_frames_end_nothing_unless_somebody_says_so_j18() -> None:
    made, _ = check()
    assert made is not None
    assert not made.clients[0].frontchannel_logout
    assert not made.clients[0].require_logout_typ
    made, _ = check(
        {"providers.main.frontchannel_logout": True, "providers.main.require_logout_typ": True}
    )
    assert made is not None
    assert made.clients[0].frontchannel_logout
    assert made.clients[0].require_logout_typ


def test_what_only_plain_providers_have_is_refused_for_openid_ones() -> None:
    assert main_error("endpoints", PLAIN["endpoints"])
    assert main_error("subject_claim", "email")


def test_a_plain_provider_is_not_asked_for_openid() -> None:
    assert errors(plain(scopes=["openid"])) == ["providers.plain.scopes"]


def test_no_client_shows_its_secret() -> None:
    made, _ = check(environ={"CLIENT_SECRET": "hunter2-hunter2"})
    assert made is not None
    assert made.clients[0].secret is not None
    assert "hunter2" not in repr(made)
