"""The sample API believes only tokens that are meant for it, and never repeats one (H19, A3)."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from joserfc import jws
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import OctKey

from gateway.dev.sample_api import CHUNKS
from gateway.dev.signing import SigningKeys
from tests.support.asgi import call
from tests.support.sample_api import AUDIENCE, ISSUER, OURS, Api

STRANGERS = SigningKeys()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    one = Api()
    async with one.http:
        yield one


# -- which tokens are believed --------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["other-api", AUDIENCE]},
        {"scope": None},
        {"scope": ""},
        {"unknown": {"claims": "are ignored"}},
    ],
)
async def test_a_token_for_this_api_opens_it(api: Api, changes: dict[str, Any]) -> None:
    answer = await api.get("/hello", api.token(**changes))
    assert answer.status_code == 200
    assert answer.json()["hello"] == "user-1815"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"aud": "other-api"},
        {"aud": ["other-api"]},
        {"aud": "sample-app"},
        {"aud": None},
        {"exp": 0},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"iat": None},
        {"iat": 9_999_999_999},
        {"sub": None},
        {"sub": ""},
        {"sub": 1815},
        {"client_id": None},
        {"jti": None},
        {"scope": ["orders.read"]},
    ],
)
async def test_a_token_with_wrong_claims_opens_nothing(api: Api, changes: dict[str, Any]) -> None:
    refused(await api.get("/hello", api.token(**changes)), 401, "invalid_token")


async def test_a_token_expires(api: Api) -> None:
    token = api.token()
    api.clock.advance(304)
    assert (await api.get("/hello", token)).status_code == 200  # clocks may differ a little
    api.clock.advance(1)
    refused(await api.get("/hello", token), 401, "invalid_token")


@pytest.mark.parametrize("kind", ["JWT", "logout+jwt", "", "at+jwt2"])
async def test_a_token_of_another_kind_opens_nothing_g17(api: Api, kind: str) -> None:
    refused(await api.get("/hello", OURS.sign(kind, api.claims())), 401, "invalid_token")


async def test_the_long_name_of_the_type_is_the_same_type(api: Api) -> None:
    token = OURS.sign("application/AT+JWT", api.claims())
    assert (await api.get("/hello", token)).status_code == 200


async def test_a_strangers_signature_opens_nothing(api: Api) -> None:
    refused(await api.get("/hello", STRANGERS.sign("at+jwt", api.claims())), 401, "invalid_token")


async def test_alg_none_and_a_mac_with_the_public_key_open_nothing(api: Api) -> None:
    body = json.dumps(api.claims()).encode()
    unsigned = encoded({"alg": "none", "typ": "at+jwt"}) + "." + b64(body) + "."
    refused(await api.get("/hello", unsigned), 401, "invalid_token")
    public = json.dumps(OURS.current.as_dict(private=False)).encode()
    header = {"alg": "HS256", "typ": "at+jwt", "kid": str(OURS.current.kid)}
    mac = jws.serialize_compact(header, body, OctKey.import_key(public), ["HS256"])
    refused(await api.get("/hello", mac), 401, "invalid_token")


async def test_a_changed_octet_opens_nothing(api: Api) -> None:
    header, payload, signature = api.token().split(".")
    forged = b64(json.dumps(api.claims(sub="user-1906")).encode())
    refused(await api.get("/hello", f"{header}.{forged}.{signature}"), 401, "invalid_token")
    assert (await api.get("/hello", f"{header}.{payload}.{signature}")).status_code == 200


@pytest.mark.parametrize(
    "garbage",
    [
        "x",
        "..",
        "a.b.c",
        "W10.e30.e30",
        "bnVsbA.e30.e30",
        "e30.e30.e30",
        "\xff.\xff.\xff",
        "1.2.3.4.5",
    ],
)
async def test_garbage_is_an_invalid_token_and_not_an_error(api: Api, garbage: str) -> None:
    headers = [(b"authorization", b"Bearer " + garbage.encode("latin-1"))]
    answer = await call(api.app, "GET", b"/hello", headers)
    assert answer.status == 401
    assert answer.json()["error"] == "invalid_token"


async def test_a_header_with_an_unknown_critical_member_opens_nothing(api: Api) -> None:
    (rs256,) = (model for model in JWS_ALGORITHMS if model.name == "RS256")

    def signed(more: dict[str, Any]) -> str:
        head = encoded({**OURS.header, "typ": "at+jwt", **more})
        signing_input = head + "." + b64(json.dumps(api.claims()).encode())
        return signing_input + "." + b64(rs256.sign(signing_input.encode(), OURS.current))

    assert (await api.get("/hello", signed({}))).status_code == 200
    critical = signed({"crit": ["new"], "new": 1})
    refused(await api.get("/hello", critical), 401, "invalid_token")


# -- challenges and scopes ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/hello", "/orders", "/reports/annual", "/stream", "/echo/x"])
async def test_without_a_token_the_challenge_has_no_error(api: Api, path: str) -> None:
    answer = await api.get(path, None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="sample-api"'


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer ", "token"])
async def test_anything_but_a_bearer_token_is_an_invalid_request(api: Api, value: str) -> None:
    answer = await api.http.get("/hello", headers={"authorization": value})
    refused(answer, 400, "invalid_request")


async def test_two_tokens_are_one_too_many(api: Api) -> None:
    line = (b"authorization", f"Bearer {api.token()}".encode())
    assert (await call(api.app, "GET", b"/hello", [line, line])).status == 400


async def test_a_token_in_the_query_is_not_looked_at_h14(api: Api) -> None:
    assert (await api.get(f"/hello?access_token={api.token()}", None)).status_code == 401


async def test_scopes_open_what_they_name(api: Api) -> None:
    reader = api.token(scope="orders.read")
    writer = api.token(scope="orders.read orders.write")
    assert (await api.get("/orders", reader)).json()["orders"]
    order = {"item": "Café au lait", "quantity": 2}

    async def place(token: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}"}
        return await api.http.post("/orders", json=order, headers=headers)

    refused(await place(reader), 403, "insufficient_scope")
    answer = await place(writer)
    assert answer.status_code == 201
    assert answer.json() == {"created": order, "by": "user-1815"}


@pytest.mark.parametrize(
    ("path", "granted", "wanted"),
    [
        ("/orders", "openid", "orders.read"),
        ("/orders", "orders.readable", "orders.read"),
        ("/orders", "ORDERS.READ", "orders.read"),
        ("/reports/annual", "orders.read orders.write", "reports.read"),
    ],
)
async def test_a_missing_scope_is_named(api: Api, path: str, granted: str, wanted: str) -> None:
    answer = await api.get(path, api.token(scope=granted))
    refused(answer, 403, "insufficient_scope")
    assert f'scope="{wanted}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("body", [b"{", b"", b"\xff"])
async def test_an_order_that_is_no_json_is_refused(api: Api, body: bytes) -> None:
    headers = {"authorization": f"Bearer {api.token(scope='orders.write')}"}
    answer = await api.http.post("/orders", content=body, headers=headers)
    assert answer.status_code == 400


async def test_an_order_has_a_size(api: Api) -> None:
    headers = {"authorization": f"Bearer {api.token(scope='orders.write')}"}
    answer = await api.http.post("/orders", content=b"1" * 70_000, headers=headers)
    assert answer.status_code == 413


async def test_the_time_is_for_everyone(api: Api) -> None:
    answer = await api.get("/public/time", None)
    assert answer.json() == {"time": "2023-11-14T22:13:20+00:00"}


async def test_there_is_nothing_elsewhere_and_no_redirect(api: Api) -> None:
    for path in ("/", "/nothing", "/hello/", "/echoes"):
        assert (await api.get(path, api.token())).status_code == 404


# -- what came in ---------------------------------------------------------------------------------


async def test_echo_shows_the_octets_that_arrived(api: Api) -> None:
    token = api.token()
    lines = [
        (b"host", b"api.internal"),
        (b"x-two", b"first"),
        (b"authorization", b"Bearer " + token.encode()),
        (b"X-Case", b"kept \xe9"),
        (b"x-two", b"second"),
    ]
    target = b"/echo/a%2Fb/%7e//c;d?x=1&&y=%20+&x=2"
    answer = await call(api.app, "GET", target, lines)
    assert answer.status == 200
    seen = answer.json()
    assert seen["method"] == "GET"
    assert seen["path"] == "/echo/a%2Fb/%7e//c;d"
    assert seen["query"] == "x=1&&y=%20+&x=2"
    assert [name for name, _ in seen["headers"]] == [
        "host",
        "x-two",
        "authorization",
        "X-Case",
        "x-two",
    ]
    assert [value for name, value in seen["headers"] if name == "x-two"] == ["first", "second"]
    assert seen["headers"][3][1] == "kept é"


async def test_echo_shows_the_path_before_any_decoding(api: Api) -> None:
    answer = await api.get("/echo/a%2Fb%20c", api.token())
    assert answer.json()["path"] == "/echo/a%2Fb%20c"


async def test_echo_never_shows_the_token(api: Api) -> None:
    token = api.token()
    answer = await api.get("/echo", token)
    digest = hashlib.sha256(token.encode()).hexdigest()[:8]
    masked = f"Bearer <masked, {len(token)} characters, sha256 {digest}>"
    assert ["authorization", masked] in answer.json()["headers"]
    for part in token.split("."):
        assert part not in answer.text
    assert answer.json()["token"] == {
        "iss": ISSUER,
        "sub": "user-1815",
        "client_id": "sample-app",
        "scope": "openid orders.read",
        "aud": AUDIENCE,
        "exp": int(api.clock.now()) + 300,
    }


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"])
async def test_echo_takes_any_method_and_measures_the_body(api: Api, method: str) -> None:
    headers = [(b"authorization", f"Bearer {api.token()}".encode())]
    answer = await call(api.app, method, b"/echo/x", headers, b"0123456789")
    assert answer.json()["method"] == method
    assert answer.json()["body"] == {
        "octets": 10,
        "sha256": hashlib.sha256(b"0123456789").hexdigest()[:8],
    }


async def test_a_stream_comes_in_numbered_pieces(api: Api) -> None:
    headers = [(b"authorization", f"Bearer {api.token()}".encode())]
    answer = await call(api.app, "GET", b"/stream", headers)
    assert len(answer.pieces) == CHUNKS
    assert answer.pieces[0].startswith(b"chunk 1 of 10")
    assert answer.pieces[-1].startswith(b"chunk 10 of 10")


async def test_an_upload_is_counted_piece_by_piece(api: Api) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 1000

    headers = [(b"authorization", f"Bearer {api.token()}".encode())]
    answer = await call(api.app, "POST", b"/upload", headers, body())
    assert answer.json() == {"octets": 50_000, "sha256": hashlib.sha256(b"x" * 50_000).hexdigest()}


def refused(answer: httpx2.Response, status: int, error: str) -> None:
    assert answer.status_code == status
    assert answer.json()["error"] == error
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert f'error="{error}"' in challenge


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def encoded(header: dict[str, Any]) -> str:
    return b64(json.dumps(header).encode())
