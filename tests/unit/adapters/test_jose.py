"""Who signed a token: the attacks on JWS, one table each, against real keys and signatures."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from gateway.adapters.jose import MAX_KEYS, JoserfcJose
from gateway.errors import Code, Misconfigured, Refused
from gateway.oidc.compact_jws import MAX_TOKEN
from gateway.oidc.keys import Algorithm, JwksDocument, KeySet, NoMatchingKey, SignedToken
from gateway.secret import PrivateKeyPem
from tests.unit.oidc.examples import refused

JOSE = JoserfcJose()
RSA = RSAKey.generate_key(2048)
RSA_OTHER = RSAKey.generate_key(2048)
EC256, EC256_OTHER = (ECKey.generate_key("P-256") for _ in range(2))
EC384, EC521 = ECKey.generate_key("P-384"), ECKey.generate_key("P-521")
ED = OKPKey.generate_key("Ed25519")
ED448 = OKPKey.generate_key("Ed448")
SECRET = "s" * 64
CLAIMS = {"iss": "https://id.example", "sub": "ada", "exp": 2_000_000_000}
MODELS = {model.name: model for model in JWS_ALGORITHMS}
RS256 = frozenset({Algorithm.RS256})
ASYMMETRIC = frozenset(algorithm for algorithm in Algorithm if not algorithm.is_mac)
EVERYTHING = frozenset(Algorithm)


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jwk(key: Key, **changes: Any) -> dict[str, Any]:
    members = {**key.as_dict(private=False), "kid": "k1", "use": "sig"} | changes
    return {name: value for name, value in members.items() if value is not ...}


def jwks(*keys: object) -> KeySet:
    return JOSE.read_keys(JwksDocument(json.dumps({"keys": keys}).encode()))


def token(
    key: Key = RSA,
    alg: str = "RS256",
    claims: object = CLAIMS,
    *,
    said: str | None = None,
    raw: bytes | None = None,
    **header: Any,
) -> str:
    """A token really signed by the key with `alg`, whatever its header says instead.

    Header members can be added, changed or left out (...); `raw` takes the place of the claims.
    """
    members = {"alg": alg if said is None else said, "typ": "JWT", "kid": "k1"} | header
    head = json.dumps({name: value for name, value in members.items() if value is not ...}).encode()
    signing_input = f"{b64(head)}.{b64(raw if raw is not None else json.dumps(claims).encode())}"
    return f"{signing_input}.{b64(MODELS[alg].sign(signing_input.encode(), key))}"


def verify(text: str, keys: KeySet, algorithms: frozenset[Algorithm] = RS256) -> SignedToken:
    return JOSE.verify(text, keys, algorithms)


def fails(code: Code, text: str, keys: KeySet, algorithms: frozenset[Algorithm] = RS256) -> Refused:
    with refused(code) as caught:
        verify(text, keys, algorithms)
    return caught.value


KEYS = jwks(jwk(RSA))

PAIRS: list[tuple[str, Key]] = [
    ("RS256", RSA),
    ("RS384", RSA),
    ("RS512", RSA),
    ("PS256", RSA),
    ("PS384", RSA),
    ("PS512", RSA),
    ("ES256", EC256),
    ("ES384", EC384),
    ("ES512", EC521),
    ("EdDSA", ED),
]


# -- good tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("alg", "key"), PAIRS, ids=[alg for alg, _ in PAIRS])
def test_each_configured_algorithm_verifies_with_its_key(alg: str, key: Key) -> None:
    algorithm = Algorithm(alg)
    signed = verify(token(key, alg), jwks(jwk(key)), frozenset({algorithm}))
    assert signed == SignedToken(algorithm, "jwt", CLAIMS)
    assert verify(token(key, alg), jwks(jwk(key, alg=alg)), ASYMMETRIC).algorithm is algorithm


def test_g17_the_type_is_handed_on_for_the_rules_to_judge() -> None:
    for typ, read in ((..., None), ("at+jwt", "at+jwt"), ("application/Logout+JWT", "logout+jwt")):
        assert verify(token(typ=typ), KEYS).type == read


# -- g6: signatures --------------------------------------------------------------------------------


@pytest.mark.parametrize(("alg", "key"), PAIRS, ids=[alg for alg, _ in PAIRS])
@pytest.mark.parametrize("where", [0, 1, 2], ids=["header", "payload", "signature"])
def test_g6_one_changed_byte_anywhere_is_refused(where: int, alg: str, key: Key) -> None:
    keys, algorithms = jwks(jwk(key)), frozenset({Algorithm(alg)})
    good = token(key, alg)
    assert verify(good, keys, algorithms).claims == CLAIMS
    octets = unb64(good.split(".")[where])
    for position in {0, 1, len(octets) // 2, len(octets) - 1}:
        spoilt = bytearray(octets)
        spoilt[position] ^= 1
        parts = good.split(".")
        parts[where] = b64(bytes(spoilt))
        with pytest.raises(Refused) as caught:
            verify(".".join(parts), keys, algorithms)
        assert caught.value.code in {Code.ID_TOKEN_SIGNATURE, Code.ID_TOKEN_MALFORMED}


@pytest.mark.parametrize(("alg", "key"), PAIRS, ids=[alg for alg, _ in PAIRS])
@pytest.mark.parametrize("cut", ["empty", "short", "long", "zeros", "other"])
def test_g6_another_signature_is_refused(cut: str, alg: str, key: Key) -> None:
    signing_input, _, text = token(key, alg).rpartition(".")
    signature = unb64(text)
    changed = {
        "empty": b"",
        "short": signature[:-1],
        "long": signature + b"\0",
        "zeros": bytes(len(signature)),
        "other": unb64(token(key, alg, {"sub": "eve"}).rpartition(".")[2]),
    }[cut]
    spoilt = f"{signing_input}.{b64(changed)}"
    fails(Code.ID_TOKEN_SIGNATURE, spoilt, jwks(jwk(key)), frozenset({Algorithm(alg)}))


def test_g6_another_payload_under_a_good_signature_is_refused() -> None:
    header, _, signature = token().split(".")
    forged = f"{header}.{b64(json.dumps(CLAIMS | {'sub': 'eve'}).encode())}.{signature}"
    fails(Code.ID_TOKEN_SIGNATURE, forged, KEYS)


def test_g6_a_key_of_the_same_kind_is_not_the_key() -> None:
    fails(Code.ID_TOKEN_SIGNATURE, token(RSA_OTHER), KEYS)
    ours = jwks(jwk(EC256))
    fails(Code.ID_TOKEN_SIGNATURE, token(EC256_OTHER, "ES256"), ours, ASYMMETRIC)


def test_es256_signatures_are_raw_and_never_der() -> None:
    signing_input, _, text = token(EC256, "ES256").rpartition(".")
    raw = unb64(text)
    assert len(raw) == 64
    r, s = (int.from_bytes(half) for half in (raw[:32], raw[32:]))
    keys = jwks(jwk(EC256))
    for signature in (encode_dss_signature(r, s), raw[:32], raw + raw, raw[32:] + raw[:32]):
        fails(Code.ID_TOKEN_SIGNATURE, f"{signing_input}.{b64(signature)}", keys, ASYMMETRIC)
    der = EC256.private_key
    assert der is not None
    made = der.sign(signing_input.encode(), ECDSA(hashes.SHA256()))
    fails(Code.ID_TOKEN_SIGNATURE, f"{signing_input}.{b64(made)}", keys, ASYMMETRIC)


# -- g7, f6: algorithms ----------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "null"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_g7_an_unsigned_token_is_refused(alg: str, signature: str) -> None:
    head = b64(json.dumps({"alg": alg, "kid": "k1"}).encode())
    unsigned = f"{head}.{b64(json.dumps(CLAIMS).encode())}.{signature}"
    fails(Code.ID_TOKEN_SIGNATURE, unsigned, KEYS, EVERYTHING)
    with refused(Code.ID_TOKEN_SIGNATURE):
        JOSE.verify_mac(unsigned, SECRET, Algorithm.HS256)


@pytest.mark.parametrize(
    "alg", ["rs256", "Rs256", "RS256 ", " RS256", "RS255", "RS1", "RSA", "HS256", "A" * 99]
)
def test_g7_an_algorithm_is_compared_exactly(alg: str) -> None:
    refusal = fails(Code.ID_TOKEN_SIGNATURE, token(said=alg), KEYS)
    assert not isinstance(refusal, NoMatchingKey)  # newer keys would not help (F4)


def _public_forms() -> Mapping[str, bytes]:
    pem = RSA.as_pem(private=False)
    return {
        "pem": pem,
        "pem stripped": pem.strip(),
        "der": RSA.as_der(private=False),
        "jwk": json.dumps(jwk(RSA)).encode(),
        "modulus": unb64(str(RSA.as_dict(private=False)["n"])),
    }


@pytest.mark.parametrize("form", sorted(_public_forms()))
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_g7_the_public_key_is_no_mac_secret(form: str, alg: str) -> None:
    head = b64(json.dumps({"alg": alg, "typ": "JWT", "kid": "k1"}).encode())
    signing_input = f"{head}.{b64(json.dumps(CLAIMS).encode())}"
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    mac = hmac.digest(_public_forms()[form], signing_input.encode(), digest().name)
    confused = f"{signing_input}.{b64(mac)}"
    for algorithms in (RS256, ASYMMETRIC, EVERYTHING):
        fails(Code.ID_TOKEN_SIGNATURE, confused, KEYS, algorithms)


@pytest.mark.parametrize("algorithms", [frozenset(), frozenset({Algorithm.ES256, Algorithm.PS256})])
def test_f6_only_configured_algorithms_count(algorithms: frozenset[Algorithm]) -> None:
    fails(Code.ID_TOKEN_SIGNATURE, token(), KEYS, algorithms)


def test_f6_a_key_marked_for_another_algorithm_does_not_verify() -> None:
    marked = jwks(jwk(RSA, alg="PS256"))
    with pytest.raises(NoMatchingKey):
        verify(token(), marked, ASYMMETRIC)
    assert verify(token(RSA, "PS256"), marked, ASYMMETRIC).algorithm is Algorithm.PS256
    fails(Code.ID_TOKEN_SIGNATURE, token(RSA, "PS256", said="RS256"), KEYS)


def test_a_curve_belongs_to_one_algorithm() -> None:
    with pytest.raises(NoMatchingKey):
        verify(token(EC256, "ES256"), jwks(jwk(EC384)), ASYMMETRIC)
    with pytest.raises(NoMatchingKey):
        verify(token(EC256, "ES256", said="ES384"), jwks(jwk(EC256)), ASYMMETRIC)


# -- f3: keys come from the JWKS and nowhere else --------------------------------------------------

CARRIED: dict[str, dict[str, Any]] = {
    "jwk": {"jwk": jwk(RSA_OTHER)},
    "jwk without kid": {"jwk": jwk(RSA_OTHER), "kid": ...},
    "jku": {"jku": "https://evil.example/jwks"},
    "x5u": {"x5u": "https://evil.example/cert"},
    "x5c": {"x5c": ["MIIB"]},
    "all": {"jwk": jwk(RSA_OTHER), "jku": "https://evil.example", "x5c": ["MIIB"], "x5t": "x"},
}


@pytest.mark.parametrize("header", CARRIED.values(), ids=CARRIED)
def test_f3_a_key_that_the_token_brings_along_is_not_used(header: dict[str, Any]) -> None:
    fails(Code.ID_TOKEN_SIGNATURE, token(RSA_OTHER, **header), KEYS)


@pytest.mark.parametrize("header", CARRIED.values(), ids=CARRIED)
def test_f3_nor_does_it_harm_a_token_that_our_key_signed(header: dict[str, Any]) -> None:
    assert verify(token(RSA, **header), KEYS).claims == CLAIMS


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": ["x"]},
        {"b64": False},
    ],
)
def test_f3_critical_extensions_are_refused_though_the_signature_holds(header: Any) -> None:
    fails(Code.ID_TOKEN_MALFORMED, token(**header), KEYS)


# -- f4, f5: which key -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kid", ["k2", "", "K1", "k1 ", "../../dev/null", "' OR 1=1 --", "k" * 5000]
)
def test_f4_an_unknown_kid_is_told_apart_so_that_newer_keys_can_be_fetched(kid: str) -> None:
    with pytest.raises(NoMatchingKey) as caught:
        verify(token(kid=kid), KEYS)
    assert caught.value.code is Code.ID_TOKEN_SIGNATURE
    assert caught.value.key_id == kid
    assert "OR 1=1" not in str(caught.value)


def test_f4_a_known_kid_with_a_bad_signature_is_no_reason_to_fetch() -> None:
    refusal = fails(Code.ID_TOKEN_SIGNATURE, token(RSA_OTHER), KEYS)
    assert not isinstance(refusal, NoMatchingKey)


def test_f4_a_token_without_kid_tries_every_fitting_key_and_then_newer_ones() -> None:
    several = jwks(jwk(EC256), jwk(RSA_OTHER, kid="a"), jwk(RSA, kid="b"))
    assert verify(token(kid=...), several).claims == CLAIMS
    with pytest.raises(NoMatchingKey) as caught:
        verify(token(kid=...), jwks(jwk(RSA_OTHER)))
    assert caught.value.key_id is None


def test_f5_of_two_keys_with_one_kid_the_right_one_is_used() -> None:
    for one, other in ((RSA, EC256), (RSA, RSA_OTHER), (EC256, EC256_OTHER)):
        for keys in (jwks(jwk(one), jwk(other)), jwks(jwk(other), jwk(one))):
            for key in (one, other):
                alg = "RS256" if isinstance(key, RSAKey) else "ES256"
                assert verify(token(key, alg), keys, ASYMMETRIC).claims == CLAIMS


UNFIT: dict[str, dict[str, Any]] = {
    "use enc": {"use": "enc"},
    "use of another kind": {"use": "signature"},
    "use as a list": {"use": ["sig"]},
    "key_ops encrypt": {"use": ..., "key_ops": ["encrypt"]},
    "key_ops sign alone": {"use": ..., "key_ops": ["sign"]},
    "key_ops empty": {"use": ..., "key_ops": []},
    "key_ops as text": {"use": ..., "key_ops": "verify"},
    "kty missing": {"kty": ...},
    "kty EC": {"kty": "EC"},
    "kty oct": {"kty": "oct", "k": b64(b"k" * 32)},
    "kty unknown": {"kty": "AKP"},
    "kty a list": {"kty": ["RSA"]},
    "alg of a mac": {"alg": "HS256"},
    "alg none": {"alg": "none"},
    "alg unknown": {"alg": "RSA-OAEP"},
    "alg a number": {"alg": 256},
    "kid a number": {"kid": 1},
    "no modulus": {"n": ...},
    "modulus a number": {"n": 5},
    "modulus not base64url": {"n": "a+b/=="},
    "no exponent": {"e": ...},
    "exponent one": {"e": b64(b"\x01")},
    "exponent even": {"e": b64(b"\x02")},
    "exponent enormous": {"e": b64(b"\x01" + b"\xff" * 8)},
}


@pytest.mark.parametrize("changes", UNFIT.values(), ids=UNFIT)
def test_f5_an_unfit_key_never_verifies_and_never_spoils_the_others(
    changes: dict[str, Any],
) -> None:
    unfit = jwk(RSA, **changes)
    assert jwks(unfit) == KeySet(())
    with pytest.raises(NoMatchingKey):
        verify(token(), jwks(unfit))
    with pytest.raises(NoMatchingKey):
        verify(token(kid=...), jwks(unfit))
    beside = jwks(unfit, jwk(EC256), unfit)
    assert len(beside.keys) == 1
    assert verify(token(EC256, "ES256"), beside, ASYMMETRIC).claims == CLAIMS


@pytest.mark.parametrize(
    "changes",
    [
        {"use": ...},
        {"use": None},
        {"use": ..., "key_ops": ["verify"]},
        {"key_ops": None},
        {"x": [1]},
    ],
)
def test_f5_a_key_that_does_not_say_what_it_is_for_may_verify(changes: dict[str, Any]) -> None:
    assert verify(token(), jwks(jwk(RSA, **changes))).claims == CLAIMS


def _numbered(bits: int) -> dict[str, Any]:
    modulus = (1 << (bits - 1)) + 1
    octets = modulus.to_bytes((bits + 7) // 8)
    return {"kty": "RSA", "n": b64(octets), "e": "AQAB", "kid": "k1"}


@pytest.mark.parametrize(
    ("bits", "kept"), [(512, 0), (1024, 0), (2047, 0), (2048, 1), (8192, 1), (8193, 0)]
)
def test_f8_rsa_keys_are_neither_short_nor_absurdly_long(bits: int, kept: int) -> None:
    assert len(jwks(_numbered(bits)).keys) == kept


def test_an_exponent_up_to_64_bits_is_fine() -> None:
    assert len(jwks(_numbered(2048) | {"e": b64(b"\xff" * 8)}).keys) == 1


def test_f8_leading_zeros_do_not_lengthen_a_short_key() -> None:
    short = _numbered(1024)
    assert len(jwks(short | {"n": b64(bytes(256) + unb64(short["n"]))}).keys) == 0


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "EC", "crv": "secp256k1", "x": b64(b"x" * 32), "y": b64(b"y" * 32)},
        {"kty": "EC", "crv": "P-192", "x": b64(b"x" * 24), "y": b64(b"y" * 24)},
        {"kty": "EC", "crv": "P-256", "x": b64(b"\x01"), "y": b64(b"\x01")},
        {"kty": "EC", "crv": "P-256", "x": b64(b"\x00"), "y": b64(b"\x00")},
        {"kty": "EC", "crv": ["P-256"], "x": "AQ", "y": "AQ"},
        {"kty": "EC", "x": "AQ", "y": "AQ"},
        {"kty": "OKP", "crv": "X25519", "x": b64(b"x" * 32)},
        {"kty": "OKP", "crv": "Ed25519", "x": b64(b"x" * 31)},
        {"kty": "OKP", "crv": "Ed25519"},
        {"kty": "oct", "k": b64(b"k" * 64)},
        {},
        [],
        None,
        "key",
        7,
    ],
)
def test_f8_other_curves_and_broken_points_are_passed_over(key: object) -> None:
    assert jwks(key) == KeySet(())
    assert len(jwks(key, jwk(RSA)).keys) == 1


def test_eddsa_is_ed25519_and_nothing_else() -> None:
    assert jwks(jwk(ED448)) == KeySet(())


def test_f8_a_published_secret_is_never_used() -> None:
    shared = OctKey.import_key(b"k" * 32)
    keys = jwks({"kty": "oct", "k": b64(b"k" * 32), "kid": "k1"})
    fails(Code.ID_TOKEN_SIGNATURE, token(shared, "HS256"), keys, EVERYTHING)


def test_a_private_key_published_by_mistake_is_kept_without_its_private_part() -> None:
    private = {**RSA.as_dict(private=True), "kid": "k1"}
    keys = jwks(private)
    assert verify(token(), keys).claims == CLAIMS
    (kept,) = keys.keys
    imported = getattr(kept, "key")  # noqa: B009  opaque to everybody else
    assert not imported.is_private
    assert "d" not in imported.as_dict()


def test_a_repeated_member_spoils_its_own_key_only() -> None:
    good = json.dumps(jwk(EC256))
    twice = '{"kty":"RSA",' + json.dumps(jwk(RSA))[1:]
    keys = JOSE.read_keys(JwksDocument(f'{{"keys":[{twice},{good}]}}'.encode()))
    assert len(keys.keys) == 1
    assert verify(token(EC256, "ES256"), keys, ASYMMETRIC).claims == CLAIMS


def test_only_so_many_keys_are_looked_at() -> None:
    crowd = [jwk(EC256, kid=str(number)) for number in range(MAX_KEYS)]
    assert len(jwks(*crowd, jwk(RSA)).keys) == MAX_KEYS
    assert len(jwks(*crowd[1:], jwk(RSA)).keys) == MAX_KEYS
    with pytest.raises(NoMatchingKey):
        verify(token(), jwks(*crowd, jwk(RSA)))


def test_the_key_ids_are_known() -> None:
    keys = jwks(
        jwk(RSA, kid="a"), jwk(EC256, kid="b"), jwk(ED, kid=...), jwk(RSA, kid="c", use="enc")
    )
    assert keys.key_ids == {"a", "b"}
    assert "Key" not in repr(keys).replace("KeySet", "")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"<html></html>",
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":"x"}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":[]',
        b'\xff{"keys":[]}',
        b'{"keys":' + b"[" * 100_000,
    ],
)
def test_what_is_not_a_jwks_is_refused(document: bytes) -> None:
    with refused(Code.PROVIDER_METADATA):
        JOSE.read_keys(JwksDocument(document))


def test_an_empty_jwks_verifies_nothing() -> None:
    with pytest.raises(NoMatchingKey):
        verify(token(), jwks())


def test_keys_of_unknown_origin_are_not_used() -> None:
    with pytest.raises(NoMatchingKey):
        verify(token(), KeySet((RSA, "key", None)))


# -- forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b'"ada"',
        b'{"sub":"ada","sub":"eve"}',
        b'{"sub":"ada"',
        b'{"sub":"\\ud800"}',
        b'{"sub":"\xff"}',
        b"[" * 10_000,
    ],
)
def test_a_signed_payload_must_be_one_unambiguous_json_object(raw: bytes) -> None:
    fails(Code.ID_TOKEN_MALFORMED, token(raw=raw), KEYS)


def test_a_token_too_long_is_refused_unread() -> None:
    long = token(claims=CLAIMS | {"x": "x" * MAX_TOKEN})
    fails(Code.ID_TOKEN_MALFORMED, long, KEYS)
    assert verify(token(claims=CLAIMS | {"x": "x" * 10_000}), KEYS).claims["sub"] == "ada"


def test_g2_an_encrypted_token_is_no_signed_one() -> None:
    fails(Code.ID_TOKEN_MALFORMED, token() + ".AAAA.BBBB", KEYS)


@pytest.mark.parametrize("text", ["", "..", "a.b.c", "é.é.é", "null", "{}", "\x00" * 10])
def test_rubbish_is_refused(text: str) -> None:
    fails(Code.ID_TOKEN_MALFORMED, text, KEYS)


# -- macs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_g7_a_mac_under_the_client_secret_holds_where_configured(alg: str) -> None:
    text = token(OctKey.import_key(SECRET.encode()), alg)
    assert JOSE.verify_mac(text, SECRET, Algorithm(alg)) == SignedToken(
        Algorithm(alg), "jwt", CLAIMS
    )
    for wrong in ("t" * 64, SECRET + "s", SECRET[:-1] + "t"):
        with refused(Code.ID_TOKEN_SIGNATURE):
            JOSE.verify_mac(text, wrong, Algorithm(alg))


@pytest.mark.parametrize("configured", [Algorithm.HS384, Algorithm.RS256, Algorithm.ES256])
def test_g7_another_algorithm_than_the_configured_mac_is_refused(configured: Algorithm) -> None:
    text = token(OctKey.import_key(SECRET.encode()), "HS256")
    with refused(Code.ID_TOKEN_SIGNATURE):
        JOSE.verify_mac(text, SECRET, configured)


def test_g7_a_signed_token_is_no_mac() -> None:
    with refused(Code.ID_TOKEN_SIGNATURE):
        JOSE.verify_mac(token(), SECRET, Algorithm.HS256)


@pytest.mark.parametrize(
    ("alg", "length"), [("HS256", 31), ("HS384", 47), ("HS512", 63), ("HS256", 0), ("HS256", 8)]
)
def test_a_secret_shorter_than_the_hash_is_not_used(alg: str, length: int) -> None:
    secret = "s" * length
    head = b64(json.dumps({"alg": alg}).encode()) + "." + b64(b"{}")
    mac = hmac.digest(secret.encode(), head.encode(), f"sha{alg[2:]}")
    with refused(Code.ID_TOKEN_SIGNATURE):
        JOSE.verify_mac(f"{head}.{b64(mac)}", secret, Algorithm(alg))


def test_g7_a_public_key_configured_as_secret_is_not_used() -> None:
    pem = RSA.as_pem(private=False).decode()
    head = b64(json.dumps({"alg": "HS256"}).encode()) + "." + b64(b"{}")
    mac = hmac.digest(pem.encode(), head.encode(), "sha256")
    with refused(Code.ID_TOKEN_SIGNATURE):
        JOSE.verify_mac(f"{head}.{b64(mac)}", pem, Algorithm.HS256)


def test_a_mac_with_extensions_or_a_broken_payload_is_refused() -> None:
    secret = OctKey.import_key(SECRET.encode())
    for text in (token(secret, "HS256", crit=["x"]), token(secret, "HS256", raw=b"[]")):
        with refused(Code.ID_TOKEN_MALFORMED):
            JOSE.verify_mac(text, SECRET, Algorithm.HS256)


# -- signing ---------------------------------------------------------------------------------------

ASSERTION: dict[str, str | int] = {
    "iss": "spa",
    "sub": "spa",
    "aud": "https://id.example",
    "exp": 1,
}


def pem_of(key: RSAKey | ECKey | OKPKey) -> PrivateKeyPem:
    return PrivateKeyPem(key.as_pem(private=True).decode())


@pytest.mark.parametrize(("alg", "key"), PAIRS, ids=[alg for alg, _ in PAIRS])
@pytest.mark.parametrize("key_id", ["k1", None])
def test_h2_what_we_sign_verifies_with_our_public_key(
    alg: str, key: Key, key_id: str | None
) -> None:
    assert not isinstance(key, OctKey)
    text = JOSE.sign(ASSERTION, pem_of(key), Algorithm(alg), key_id)
    header = json.loads(unb64(text.split(".")[0]))
    expected = {"alg": alg, "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    assert header == expected
    signed = verify(text, jwks(jwk(key)), ASYMMETRIC)
    assert signed.claims == ASSERTION


def _weak_pem() -> str:
    weak = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  weak on purpose
    return weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _locked_pem() -> str:
    key = EC256.private_key
    assert key is not None
    lock = BestAvailableEncryption(b"password")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


UNUSABLE: dict[str, tuple[str, Algorithm]] = {
    "empty": ("", Algorithm.RS256),
    "rubbish": ("not a key", Algorithm.RS256),
    "broken": ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", Algorithm.RS256),
    "public": (RSA.as_pem(private=False).decode(), Algorithm.RS256),
    "another kind": (EC256.as_pem(private=True).decode(), Algorithm.RS256),
    "another curve": (EC256.as_pem(private=True).decode(), Algorithm.ES384),
    "short": (_weak_pem(), Algorithm.RS256),
    "locked": (_locked_pem(), Algorithm.ES256),
    "secret": ("s" * 64, Algorithm.HS256),
}


@pytest.mark.parametrize(("pem", "algorithm"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_cannot_sign_is_the_operators_mistake(pem: str, algorithm: Algorithm) -> None:
    with pytest.raises(Misconfigured) as caught:
        JOSE.sign(ASSERTION, PrivateKeyPem(pem), algorithm, None)
    assert "BEGIN" not in str(caught.value)
    assert caught.value.__cause__ is None
