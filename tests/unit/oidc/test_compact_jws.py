"""One token has one spelling."""

import base64
import json

import pytest

from gateway.errors import Code
from gateway.oidc.compact_jws import (
    MAX_TOKEN,
    NotBase64Url,
    base64url_decode,
    base64url_encode,
    read_compact,
)
from tests.unit.oidc.examples import refused


def part(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def token(header: object, payload: bytes = b'{"a":1}', signature: bytes = b"sig") -> str:
    octets = header if isinstance(header, bytes) else json.dumps(header).encode()
    return f"{part(octets)}.{part(payload)}.{part(signature)}"


def test_the_parts_are_taken_apart() -> None:
    text = token({"alg": "RS256", "kid": "k1", "typ": "JWT", "x-unknown": 1})
    jws = read_compact(text)
    assert (jws.algorithm, jws.type, jws.key_id) == ("RS256", "jwt", "k1")
    assert jws.signing_input == text.rpartition(".")[0].encode()
    assert (jws.payload, jws.signature) == (b'{"a":1}', b"sig")
    assert b"sig" not in repr(jws).encode()


@pytest.mark.parametrize(
    ("typ", "read"),
    [
        ("JWT", "jwt"),
        ("at+jwt", "at+jwt"),
        ("application/at+jwt", "at+jwt"),
        ("Application/Logout+JWT", "logout+jwt"),
        ("", ""),
    ],
)
def test_g17_a_type_is_compared_in_one_spelling(typ: str, read: str) -> None:
    assert read_compact(token({"alg": "RS256", "typ": typ})).type == read


def test_what_the_header_leaves_out_is_none() -> None:
    jws = read_compact(token({"alg": "RS256"}, signature=b""))
    assert (jws.type, jws.key_id, jws.signature) == (None, None, b"")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b'"alg"',
        b'{"alg":"RS256","alg":"none"}',
        b'{"alg":"none","\\u0061lg":"RS256"}',
        b'{"alg":"RS256","jwk":{"kty":"oct","kty":"RSA"}}',
        b'{"alg":"RS256"}{}',
        b"\xff",
        {},
        {"kid": "k1"},
        {"alg": None},
        {"alg": 1},
        {"alg": ["RS256"]},
        {"alg": "RS256", "kid": 1},
        {"alg": "RS256", "kid": None},
        {"alg": "RS256", "typ": ["JWT"]},
        {"alg": "RS256", "crit": ["b64"], "b64": False},
        {"alg": "RS256", "crit": ["exp"], "exp": 1},
        {"alg": "RS256", "crit": []},
        {"alg": "RS256", "crit": None},
        {"alg": "RS256", "crit": "alg"},
        {"alg": "RS256", "b64": False},
        {"alg": "RS256", "b64": 0},
        {"alg": "RS256", "b64": None},
    ],
)
def test_f3_a_header_with_repeats_extensions_or_wrong_types_is_refused(header: object) -> None:
    with refused(Code.ID_TOKEN_MALFORMED):
        read_compact(token(header))


GOOD = token({"alg": "RS256"})
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")


def test_the_unspoilt_text_of_the_next_test_is_read() -> None:
    assert read_compact(GOOD).algorithm == "RS256"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        HEADER,
        f"{HEADER}.{PAYLOAD}",
        f"{HEADER}..{SIGNATURE}",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{GOOD}.",
        f"{GOOD}.x.y",  # the five parts of an encrypted token
        f" {GOOD}",
        f"{GOOD}\n",
        f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}=",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}+",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}A",  # a length that no octets have
        f"{HEADER}.{PAYLOAD}.sib",  # stray bits: another spelling of other octets
        f"{HEADER}.{PAYLOAD}.é",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}\x00",
        json.dumps({"protected": HEADER, "payload": PAYLOAD, "signature": SIGNATURE}),
        f"{HEADER}.{part(b'x' * MAX_TOKEN)}.{SIGNATURE}",
        "A" * 1_000_000,
    ],
)
def test_another_form_or_another_spelling_is_refused(text: str) -> None:
    with refused(Code.ID_TOKEN_MALFORMED):
        read_compact(text)


def test_the_longest_token_is_read_and_one_longer_is_not() -> None:
    room = MAX_TOKEN - len(f"{HEADER}..{SIGNATURE}")
    longest = f"{HEADER}.{'A' * room}.{SIGNATURE}"
    assert len(read_compact(longest).signing_input) == MAX_TOKEN - len(f".{SIGNATURE}")
    with refused(Code.ID_TOKEN_MALFORMED):
        read_compact(f"{HEADER}.{'A' * room}.{SIGNATURE}AAAA")


@pytest.mark.parametrize("octets", [b"", b"\x00", b"\xff\xfe", b"abc", bytes(range(256))])
def test_base64url_goes_there_and_back(octets: bytes) -> None:
    text = base64url_encode(octets).decode()
    assert "=" not in text
    assert base64url_decode(text) == octets


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A A", "AA\n", "+/", "é"])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(NotBase64Url):
        base64url_decode(text)
