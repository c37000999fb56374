"""Whatever a browser or a provider sends, the rules answer with a value or a refusal of theirs."""

import base64
import json
import math
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlsplit

from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from gateway.adapters.jose import JoserfcJose
from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.oidc.attempt import LoginAttempt, decode, encode, is_expired
from gateway.oidc.authorization import LoginWish, authorization_url, read_wish
from gateway.oidc.back_channel import BackChannelAnswer
from gateway.oidc.callback import Answer, read_answer
from gateway.oidc.claims import MAX_USER_CLAIMS, read_userinfo, user_claims
from gateway.oidc.compact_jws import (
    NotBase64Url,
    base64url_decode,
    base64url_encode,
    read_compact,
)
from gateway.oidc.id_token import Identity, check_id_token, check_refreshed_id_token
from gateway.oidc.json_object import NotAnObject, number, read_json_object
from gateway.oidc.keys import Algorithm, JwksDocument, KeySet, SignedToken
from gateway.oidc.metadata import Metadata, discovery_url, read_metadata
from gateway.oidc.parameters import UnreadableParameter, read_parameters, with_parameters
from gateway.oidc.token_endpoint import MAX_LIFETIME, MAX_TOKEN, Grant, read_grant, refresh_grant
from gateway.secret import AccessToken, ClientSecret, Nonce, RefreshToken
from tests.support.examples import examples
from tests.unit.oidc.examples import (
    ATTEMPT,
    CLIENT,
    ISSUER,
    METADATA,
    NOW,
    client,
    fields_of,
    query_of,
)

# The same examples each time, and no opinion on how fast the machine is.
EXAMPLES = examples(
    100,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

Value = TypeVar("Value")

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8
)
JOSE = JoserfcJose()


def attempted(action: Callable[[], Value], *codes: Code) -> Value | None:
    """The value, or None for a refusal with one of these codes; anything else is a bug."""
    try:
        return action()
    except GatewayError as failure:
        if failure.code not in codes:
            raise
        return None


def objects(likely: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects with some likely members, each of them sometimes anything at all."""
    members = {name: values | JSON for name, values in likely.items()}
    return st.fixed_dictionaries({}, optional=members)


# -- JSON, parameters, base64url -------------------------------------------------------------------


@EXAMPLES
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"a":"\\ud800"}')
@example(b'{"a":1e999}')
def test_a_json_object_is_read_or_refused_and_can_be_written_again(octets: bytes) -> None:
    try:
        members = read_json_object(octets)
    except NotAnObject:
        return
    text = json.dumps(members, ensure_ascii=False, allow_nan=False)
    assert read_json_object(text.encode("utf-8")) == members


@EXAMPLES
@given(JSON)
def test_a_number_is_finite_or_none(value: object) -> None:
    seconds = number(value)
    assert seconds is None or math.isfinite(seconds + NOW)


@EXAMPLES
@given(st.binary(), st.frozensets(TEXT))
def test_parameters_are_read_or_refused(octets: bytes, known: frozenset[str]) -> None:
    try:
        found = read_parameters(octets, known)
    except UnreadableParameter:
        return
    assert found.keys() <= known
    assert all(found.values())


@EXAMPLES
@given(st.dictionaries(TEXT.filter(bool), TEXT.filter(bool)))
def test_what_is_written_as_parameters_reads_back(pairs: dict[str, str]) -> None:
    url = with_parameters("https://id.example/a", pairs.items())
    assert url.isascii()
    query = url.partition("?")[2]
    assert "#" not in query
    assert read_parameters(query.encode("ascii"), frozenset(pairs)) == pairs


@EXAMPLES
@given(st.lists(st.tuples(TEXT, TEXT)), st.dictionaries(TEXT.filter(bool), TEXT))
def test_no_parameter_of_ours_is_ever_doubled(
    theirs: list[tuple[str, str]], ours: dict[str, str]
) -> None:
    before = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in theirs)
    url = with_parameters(f"https://id.example/a?{before}", ours.items())
    names = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    assert all(names.count(name) == 1 for name in ours)


@EXAMPLES
@given(st.binary())
def test_base64url_goes_there_and_back(octets: bytes) -> None:
    assert base64url_decode(base64url_encode(octets).decode()) == octets


@EXAMPLES
@given(st.text("ABab01-_=+/. \n\xe9"))
def test_base64url_has_one_spelling(text: str) -> None:
    try:
        octets = base64url_decode(text)
    except NotBase64Url:
        return
    assert base64url_encode(octets).decode() == text


# -- the login -------------------------------------------------------------------------------------

ATTEMPTS = st.builds(
    LoginAttempt,
    attempt_id=TEXT,
    provider=TEXT,
    return_to=TEXT,
    issued_at=st.floats(0, 1e12),
    restarts=st.integers(0, 9),
    prompt=st.none() | TEXT,
    max_age=st.none() | st.integers(0, 10**9),
    acr_values=st.lists(TEXT).map(tuple),
)


@EXAMPLES
@given(ATTEMPTS)
def test_an_attempt_comes_back_as_it_was(attempt: LoginAttempt) -> None:
    assert decode(encode(attempt)) == attempt


@EXAMPLES
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_other_octets_break_the_reader_of_attempts(octets: bytes) -> None:
    attempt = attempted(lambda: decode(octets), Code.STATE_UNKNOWN)
    if attempt is not None:
        assert is_expired(attempt, NOW, 600.0) in {True, False}


WISHES = st.lists(
    st.tuples(
        st.sampled_from(
            ["prompt", "max_age", "login_hint", "acr_values", "ui_locales", "scope", "x"]
        ),
        st.sampled_from(["none", "login", "0", "60", "a&scope=b", "de", "urn:x y"]) | TEXT,
    )
).map(lambda pairs: "&".join(f"{quote_plus(n)}={quote_plus(v)}" for n, v in pairs).encode())
SENT = {
    *("response_type", "client_id", "redirect_uri", "scope", "state", "nonce"),
    *("code_challenge", "code_challenge_method"),
    *("prompt", "max_age", "acr_values", "login_hint", "ui_locales"),
}


@EXAMPLES
@given(WISHES | st.binary())
def test_e14_no_query_adds_to_or_changes_what_is_ours(query: bytes) -> None:
    wish = attempted(lambda: read_wish(query), Code.LOGIN_PARAMETER)
    if wish is None:
        return
    attempt = LoginAttempt("a", "main", "/", NOW, 0, wish.prompt, wish.max_age, wish.acr_values)
    sent = query_of(_url(attempt, wish))
    assert sent.keys() <= SENT
    assert sent["scope"] == "openid profile"
    assert sent["redirect_uri"] == CLIENT.redirect_uri
    assert sent["response_type"] == "code"
    assert sent.get("login_hint") == wish.login_hint


def _url(attempt: LoginAttempt, wish: LoginWish) -> str:
    return authorization_url(
        METADATA, CLIENT, attempt, wish, state="st", nonce=Nonce("n"), challenge="c"
    )


CALLBACKS = st.lists(
    st.tuples(st.sampled_from(["code", "state", "iss", "error", "id_token", "x"]), TEXT)
).map(lambda pairs: "&".join(f"{n}={quote_plus(v)}" for n, v in pairs).encode())


@EXAMPLES
@given(CALLBACKS | st.binary())
def test_a_callback_is_one_code_or_one_error_with_a_state_or_nothing(pairs: bytes) -> None:
    answer: Answer | None = attempted(
        lambda: read_answer(pairs), Code.CALLBACK_MALFORMED, Code.STATE_UNKNOWN
    )
    if answer is not None:
        assert answer.state
        assert (answer.code is None) != (answer.error is None)


# -- the provider's answers ------------------------------------------------------------------------

URLS = st.sampled_from(["https://id.example/x", "http://id.example/x", "https://", "x", ""])


@EXAMPLES
@given(
    objects(
        {
            "issuer": st.just(ISSUER),
            "authorization_endpoint": URLS,
            "token_endpoint": URLS,
            "jwks_uri": URLS,
            "code_challenge_methods_supported": st.lists(st.sampled_from(["S256", "plain"])),
            "authorization_response_iss_parameter_supported": st.booleans(),
        }
    )
)
def test_metadata_is_sound_or_refused(document: dict[str, Any]) -> None:
    answer = BackChannelAnswer(200, "application/json", json.dumps(document).encode())
    metadata: Metadata | None = attempted(
        lambda: read_metadata(answer, ISSUER), Code.PROVIDER_METADATA
    )
    if metadata is not None:
        assert metadata.issuer == document["issuer"] == ISSUER
        assert metadata.token_endpoint.startswith("https://id.example/")
        assert metadata.supports_s256 is not False


@EXAMPLES
@given(
    st.sampled_from(["https://id.example", "http://localhost:1"]),
    st.lists(st.text("ab-", min_size=1)),
)
def test_discovery_never_doubles_or_loses_a_slash(origin: str, segments: list[str]) -> None:
    issuer = "/".join([origin, *segments])
    assert discovery_url(issuer) == discovery_url(issuer + "/")
    assert discovery_url(issuer) == issuer + "/.well-known/openid-configuration"


@EXAMPLES
@given(
    objects(
        {
            "access_token": st.sampled_from(["at", "a b", "x" * (MAX_TOKEN + 1), ""]),
            "token_type": st.sampled_from(["Bearer", "bearer", "mac"]),
            "expires_in": st.integers() | st.floats() | st.just("3600"),
            "refresh_token": TEXT,
            "id_token": TEXT,
            "scope": st.sampled_from(["openid", "a b", ""]),
            "error": st.just("invalid_grant"),
        }
    ),
    st.sampled_from([200, 400, 401, 500]) | st.integers(100, 599),
)
def test_h6_a_grant_is_sound_bounded_in_time_or_refused(
    document: dict[str, Any], status: int
) -> None:
    answer = BackChannelAnswer(status, "application/json", json.dumps(document).encode())
    grant: Grant | None = attempted(
        lambda: read_grant(answer, CLIENT, now=NOW, asked=frozenset({"openid"})),
        Code.TOKEN_RESPONSE_INVALID,
        Code.TOKEN_TYPE_UNSUPPORTED,
        Code.TOKEN_GRANT_REFUSED,
        Code.PROVIDER_UNAVAILABLE,
    )
    if grant is None:
        return
    assert status == 200
    assert NOW <= grant.expires_at <= NOW + MAX_LIFETIME
    for token in (grant.access_token, grant.refresh_token, grant.id_token):
        if token is not None:
            assert 0 < len(token.reveal()) <= MAX_TOKEN
            assert token.reveal().isascii()
            assert not any(letter.isspace() for letter in token.reveal())


@EXAMPLES
@given(st.integers(100, 599), st.binary() | st.just(b'{"error":"invalid_grant"}'))
def test_h10_only_a_parsed_refusal_is_a_verdict(status: int, body: bytes) -> None:
    try:
        read_grant(BackChannelAnswer(status, "", body), CLIENT, now=NOW, asked=frozenset())
    except Unavailable:
        assert status != 200
    except Refused as refusal:
        if refusal.code is Code.TOKEN_GRANT_REFUSED:
            assert status in {400, 401} or json.loads(body)["error"] == "invalid_grant"
            assert 400 <= status < 500
            assert isinstance(json.loads(body)["error"], str)
        else:
            assert status == 200


@EXAMPLES
@given(TEXT.filter(bool), TEXT.filter(bool))
def test_h1_any_id_and_secret_arrive_as_they_are(client_id: str, secret: str) -> None:
    one = client(client_id=client_id, secret=ClientSecret(secret))
    request = refresh_grant(one, METADATA, RefreshToken("rt"), None, None)
    value = fields_of(request)[b"authorization"].removeprefix(b"Basic ")
    name, _, word = base64.b64decode(value, validate=True).decode("ascii").partition(":")
    assert (unquote_plus(name), unquote_plus(word)) == (client_id, secret)


@EXAMPLES
@given(objects({"sub": st.just("ada"), "name": TEXT}))
def test_g15_userinfo_is_this_subjects_or_refused(document: dict[str, Any]) -> None:
    answer = BackChannelAnswer(200, "application/json", json.dumps(document).encode())
    info = attempted(
        lambda: read_userinfo(answer, subject="ada", client=CLIENT), Code.USERINFO_INVALID
    )
    assert info is None or info["sub"] == "ada"


@EXAMPLES
@given(st.dictionaries(TEXT, JSON), st.dictionaries(TEXT, JSON), st.integers(0, 30_000))
def test_user_claims_are_bounded_and_without_protocol_claims(
    id_claims: dict[str, Any], userinfo: dict[str, Any], padding: int
) -> None:
    shown = user_claims(
        {**id_claims, "sub": "ada", "nonce": "n", "exp": 1, "pad": "\n" * padding}, userinfo
    )
    assert shown["sub"] == "ada"
    assert not {"nonce", "exp", "access_token"} & shown.keys()
    assert len(json.dumps(shown)) <= MAX_USER_CLAIMS


# -- tokens ----------------------------------------------------------------------------------------

TIMES = st.sampled_from([NOW - 1e6, NOW - 10, NOW, NOW + 10, NOW + 1e6])
CLAIMS = objects(
    {
        "iss": st.sampled_from([ISSUER, ISSUER + "/"]),
        "aud": st.sampled_from(["spa-gateway", "other", ["spa-gateway"], ["spa-gateway", "other"]]),
        "azp": st.sampled_from(["spa-gateway", "other"]),
        "sub": st.sampled_from(["ada", ""]),
        "nonce": st.sampled_from(["n0nce", "other"]),
        "exp": TIMES,
        "iat": TIMES,
        "nbf": TIMES,
        "auth_time": TIMES,
        "acr": st.just("gold"),
        "sid": TEXT,
        "at_hash": TEXT,
        "events": st.just({}),
    }
)
HONEST = {
    "iss": ISSUER,
    "aud": "spa-gateway",
    "sub": "ada",
    "nonce": "n0nce",
    "exp": NOW + 60,
    "iat": NOW,
}
ID_TOKEN_CODES = tuple(code for code in Code if code.value.startswith("id_token."))


@EXAMPLES
@given(
    CLAIMS,
    st.sampled_from([None, "jwt", "at+jwt"]),
    st.sampled_from(list(Algorithm)),
    st.booleans(),
)
def test_whoever_is_let_in_has_a_token_for_this_login_at_this_client(
    claims: dict[str, Any], typ: str | None, algorithm: Algorithm, honest: bool
) -> None:
    if honest:  # so that many examples pass, each with something odd beside what is needed
        claims = claims | HONEST
    signed = SignedToken(algorithm, typ, claims)
    identity: Identity | None = attempted(
        lambda: check_id_token(
            signed,
            CLIENT,
            nonce=Nonce("n0nce"),
            access_token=AccessToken("at"),
            now=NOW,
            attempt=ATTEMPT,
        ),
        *ID_TOKEN_CODES,
    )
    if identity is None:
        return
    assert (identity.issuer, identity.subject) == (ISSUER, claims["sub"])
    assert claims["iss"] == ISSUER
    assert claims["aud"] in ("spa-gateway", ["spa-gateway"])
    assert claims.get("azp", "spa-gateway") == "spa-gateway"
    assert claims["nonce"] == "n0nce"
    assert claims["exp"] > NOW - CLIENT.leeway
    assert claims["iat"] <= NOW + CLIENT.leeway
    assert (algorithm, typ in {None, "jwt"}, "events" in claims) == (Algorithm.RS256, True, False)


@EXAMPLES
@given(CLAIMS, st.booleans())
def test_g18_a_refresh_never_changes_who_it_is(claims: dict[str, Any], honest: bool) -> None:
    signed = SignedToken(Algorithm.RS256, "jwt", claims | HONEST if honest else claims)
    identity: Identity | None = attempted(
        lambda: check_refreshed_id_token(
            signed,
            CLIENT,
            issuer=ISSUER,
            subject="ada",
            nonce=Nonce("n0nce"),
            auth_time=NOW - 10,
            access_token=AccessToken("at"),
            now=NOW,
        ),
        *ID_TOKEN_CODES,
    )
    if identity is not None:
        assert (identity.issuer, identity.subject) == (ISSUER, "ada")
        assert identity.auth_time == NOW - 10


PARTS = st.binary().map(lambda octets: base64url_encode(octets).decode())
HEADERS = objects(
    {"alg": st.sampled_from(["RS256", "none", "HS256"]), "kid": st.just("k"), "typ": TEXT}
)
TOKENS = st.tuples(
    HEADERS.map(lambda header: base64url_encode(json.dumps(header).encode()).decode()), PARTS, PARTS
).map(".".join)


@EXAMPLES
@given(TOKENS | TEXT)
def test_no_text_without_a_key_is_a_signed_token(text: str) -> None:
    refusals = (Code.ID_TOKEN_MALFORMED, Code.ID_TOKEN_SIGNATURE)
    everything = frozenset(Algorithm)
    assert attempted(lambda: JOSE.verify(text, KeySet(()), everything), *refusals) is None
    assert attempted(lambda: JOSE.verify_mac(text, "s" * 64, Algorithm.HS256), *refusals) is None
    parts = attempted(lambda: read_compact(text), Code.ID_TOKEN_MALFORMED)
    assert parts is None or text.startswith(parts.signing_input.decode() + ".")


KEY = objects(
    {
        "kty": st.sampled_from(["RSA", "EC", "OKP", "oct"]),
        "crv": st.sampled_from(["P-256", "Ed25519", "X25519"]),
        "n": PARTS,
        "e": st.just("AQAB"),
        "x": PARTS,
        "y": PARTS,
        "use": st.sampled_from(["sig", "enc"]),
        "kid": TEXT,
        "alg": st.sampled_from(["RS256", "ES256"]),
    }
)


@EXAMPLES
@given(st.binary() | st.lists(KEY).map(lambda keys: json.dumps({"keys": keys}).encode()))
def test_no_jwks_breaks_the_reader_of_keys(document: bytes) -> None:
    keys = attempted(lambda: JOSE.read_keys(JwksDocument(document)), Code.PROVIDER_METADATA)
    assert keys is None or len(keys.key_ids) <= len(keys.keys)
