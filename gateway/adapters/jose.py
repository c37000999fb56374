"""Signatures, with joserfc: who signed a token, and signing our own client assertions.

joserfc does the arithmetic; what is trusted is decided here. The compact form and its JSON are
read strictly (RFC 7515), keys come from the provider's JWKS and nowhere else: header members that
carry or point to keys (`jwk`, `jku`, `x5u`, `x5c`) are not looked at (F3, RFC 8725 section 3.5).
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwa import JWS_ALGORITHMS, JWSAlgModel
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from gateway.errors import Code, Misconfigured, Refused
from gateway.oidc.compact_jws import (
    CompactJws,
    base64url_decode,
    base64url_encode,
    read_compact,
)
from gateway.oidc.json_object import NotAnObject, read_json_object
from gateway.oidc.keys import Algorithm, JwksDocument, KeySet, NoMatchingKey, SignedToken
from gateway.secret import PrivateKeyPem

MAX_KEYS = 100
RSA_BITS = range(2048, 8193)
"""Shorter ones are weak (F8); longer ones cost more time than any provider needs."""

_EXPONENT_BITS = 64
_MODELS: dict[str, JWSAlgModel] = {model.name: model for model in JWS_ALGORITHMS}
_RSA = frozenset(a for a in Algorithm if a.value.startswith(("RS", "PS")))
_CURVES = {
    ("EC", "P-256"): Algorithm.ES256,
    ("EC", "P-384"): Algorithm.ES384,
    ("EC", "P-521"): Algorithm.ES512,
    ("OKP", "Ed25519"): Algorithm.EDDSA,
}
_MAC_OCTETS = {Algorithm.HS256: 32, Algorithm.HS384: 48, Algorithm.HS512: 64}


@dataclass(frozen=True, slots=True)
class _PublicKey:
    """A key that may verify, the algorithms it may be used with, and nothing private."""

    key_id: str | None
    algorithms: frozenset[Algorithm]
    key: Key


class JoserfcJose:
    """The `Jose` port. Holds no state."""

    def read_keys(self, document: JwksDocument) -> KeySet:
        """Keep the fit ones of the first 100 keys; an unfit or broken one is passed over (F5, F8).

        Raises `Refused(PROVIDER_METADATA)` when the document is not a JWKS (RFC 7517 section 5).
        """
        try:
            listed = read_json_object(document, inner_faults_as_null=True).get("keys")
        except NotAnObject:
            listed = None
        if not isinstance(listed, list):
            raise Refused(Code.PROVIDER_METADATA, note="the JWKS is not a JSON object with keys")
        keys = tuple(key for jwk in listed[:MAX_KEYS] if (key := _read_key(jwk)) is not None)
        return KeySet(keys, frozenset(key.key_id for key in keys if key.key_id is not None))

    def verify(self, token: str, keys: KeySet, algorithms: frozenset[Algorithm]) -> SignedToken:
        """Check a compact JWS against public keys; a MAC never passes here (G7)."""
        jws = read_compact(token)
        algorithm = _allowed(jws, frozenset(a for a in algorithms if not a.is_mac))
        candidates = [
            key
            for key in keys.keys
            if isinstance(key, _PublicKey)
            and algorithm in key.algorithms
            and jws.key_id in (None, key.key_id)
        ]
        if any(_verifies(jws, algorithm, candidate.key) for candidate in candidates):
            return _signed(jws, algorithm)
        if not candidates or jws.key_id is None:
            raise NoMatchingKey(jws.key_id)  # without a kid, only newer keys can tell
        raise _bad_signature("the signature does not hold")

    def verify_mac(self, token: str, secret: str, algorithm: Algorithm) -> SignedToken:
        """Check an HMAC under the client secret's octets (Core section 10.1).

        A secret shorter than the hash would be the weak point (RFC 7518 section 3.2); a public key
        is not a secret, however it came into the configuration (RFC 8725 section 2.1).
        """
        jws = read_compact(token)
        octets = secret.encode("utf-8")
        if not algorithm.is_mac or len(octets) < _MAC_OCTETS[algorithm]:
            raise _bad_signature("not an HMAC algorithm, or the client secret is too short for it")
        _allowed(jws, frozenset({algorithm}))
        try:
            key = OctKey.import_key(octets)
        except ValueError:
            raise _bad_signature("the client secret is a public key") from None
        if not _verifies(jws, algorithm, key):
            raise _bad_signature("the MAC does not hold")
        return _signed(jws, algorithm)

    def sign(
        self,
        claims: Mapping[str, str | int],
        key: PrivateKeyPem,
        algorithm: Algorithm,
        key_id: str | None,
    ) -> str:
        """Return a compact JWS; raises `Misconfigured` when the key cannot sign that way."""
        header = {"alg": algorithm.value, "typ": "JWT"}
        if key_id is not None:
            header["kid"] = key_id
        signing_input = b".".join(
            base64url_encode(_compact_json(part)) for part in (header, claims)
        )
        model = _MODELS[algorithm.value]
        signing_key = _private_key(key, algorithm)
        try:
            model.check_key(signing_key)
            signature = model.sign(signing_input, signing_key)
        except (JoseError, ValueError):
            raise _unusable(algorithm) from None
        return b".".join((signing_input, base64url_encode(signature))).decode("ascii")


def can_sign(key: PrivateKeyPem, algorithm: Algorithm) -> bool:
    """Whether this key makes signatures of this algorithm; tried out, for `gateway check`."""
    try:
        JoserfcJose().sign({}, key, algorithm, None)
    except Misconfigured:
        return False
    return True


# -- tokens --------------------------------------------------------------------------------------


def _allowed(jws: CompactJws, algorithms: frozenset[Algorithm]) -> Algorithm:
    for algorithm in algorithms:
        if jws.algorithm == algorithm.value:  # exactly: `none`, `None` and `rs256` are nothing
            return algorithm
    raise _bad_signature("alg is not one that is configured")


def _verifies(jws: CompactJws, algorithm: Algorithm, key: Key) -> bool:
    try:
        return _MODELS[algorithm.value].verify(jws.signing_input, jws.signature, key)
    except (JoseError, ValueError):
        return False


def _signed(jws: CompactJws, algorithm: Algorithm) -> SignedToken:
    try:
        return SignedToken(algorithm, jws.type, read_json_object(jws.payload))
    except NotAnObject:
        raise _malformed("the payload is not a JSON object") from None


def _malformed(note: str) -> Refused:
    return Refused(Code.ID_TOKEN_MALFORMED, note=note)


def _bad_signature(note: str) -> Refused:
    return Refused(Code.ID_TOKEN_SIGNATURE, note=note)


# -- keys ----------------------------------------------------------------------------------------


def _read_key(jwk: object) -> _PublicKey | None:
    """Return the key if it may verify signatures (RFC 7517 section 4), else None."""
    if not isinstance(jwk, dict) or not _is_for_verifying(jwk):
        return None
    key_id, kty, alg = jwk.get("kid"), jwk.get("kty"), jwk.get("alg")
    if not isinstance(key_id, str | None) or not isinstance(alg, str | None):
        return None
    fitting = _RSA if kty == "RSA" else _of_curve(kty, jwk.get("crv"))
    if alg is not None:
        fitting = frozenset(a for a in fitting if a.value == alg)
    if not fitting:
        return None
    try:
        return _PublicKey(key_id, fitting, _public_key(jwk))
    except (JoseError, ValueError):
        return None


def _is_for_verifying(jwk: Mapping[str, object]) -> bool:
    """Whether neither `use` nor `key_ops` forbids it: an encryption key never verifies (F5)."""
    use, operations = jwk.get("use"), jwk.get("key_ops")
    if use is not None and use != "sig":
        return False
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _of_curve(kty: object, crv: object) -> frozenset[Algorithm]:
    if not isinstance(kty, str) or not isinstance(crv, str) or (kty, crv) not in _CURVES:
        return frozenset()  # `oct` ends here: a published secret is none
    return frozenset({_CURVES[kty, crv]})


def _public_key(jwk: Mapping[str, object]) -> Key:
    """Import the public members alone: a private key in a JWKS becomes what it should have been."""
    match jwk["kty"]:
        case "RSA":
            numbers = _members(jwk, "kty", "n", "e")
            if _bits(numbers["n"]) not in RSA_BITS or _bits(numbers["e"]) > _EXPONENT_BITS:
                raise ValueError
            return RSAKey.import_key({**numbers})
        case "EC":
            return ECKey.import_key({**_members(jwk, "kty", "crv", "x", "y")})
        case _:
            return OKPKey.import_key({**_members(jwk, "kty", "crv", "x")})


def _members(jwk: Mapping[str, object], *names: str) -> dict[str, str]:
    members = {name: value for name in names if isinstance(value := jwk.get(name), str)}
    if len(members) != len(names):
        raise ValueError
    return members


def _bits(text: str) -> int:
    return int.from_bytes(base64url_decode(text)).bit_length()


def _private_key(key: PrivateKeyPem, algorithm: Algorithm) -> Key:
    kinds: dict[str, type[RSAKey | ECKey | OKPKey]] = {
        "RS": RSAKey,
        "PS": RSAKey,
        "ES": ECKey,
        "Ed": OKPKey,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SecurityWarning)  # of RSA keys that are short (F8)
            return kinds[algorithm.value[:2]].import_key(key.reveal())
    except Exception:  # noqa: BLE001  whatever it is that the library cannot read, it is the key
        raise _unusable(algorithm) from None


def _unusable(algorithm: Algorithm) -> Misconfigured:
    return Misconfigured([f"private_key: not a key that signs with {algorithm.value}"])


def _compact_json(members: Mapping[str, str | int]) -> bytes:
    return json.dumps(dict(members), separators=(",", ":")).encode("ascii")
