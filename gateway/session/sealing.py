"""Every key the gateway uses, and what is sealed or signed under it.

One master key per ring entry; each purpose gets its own key by HKDF (RFC 5869) with its own label,
so that nothing made for one purpose opens for another (B14). Sealing is AES-256-GCM (RFC 5116).

    blob = version ‖ length of key id ‖ key id ‖ 96-bit nonce ‖ ciphertext and tag
    AAD  = purpose ‖ version ‖ key id ‖ context (for a session: lookup id and generation)

A session's keys depend on its lookup id (and for tokens on the cookie's share), so the number of
messages under one key stays far below the GCM limit for random nonces.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadSignature, Signer

from gateway.ports import Entropy, IndexName, LookupId
from gateway.secret import KeyMaterial, LoginBinding, SessionHandle

VERSION = 1
_NONCE_OCTETS = 12
_HANDLE_OCTETS = 32
_BINDING = re.compile(r"[A-Za-z0-9_-]{43}\Z")
# 32 octets in base64url, twice: handle and signature. itsdangerous decodes kindly, and a cookie of
# ours has one spelling.
_COOKIE = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


class CannotOpen(Exception):
    """The blob is not ours, was changed, was moved, is from a newer version or its key is gone."""


@dataclass(frozen=True, slots=True)
class RingKey:
    """One entry of the key ring; `key_id` is written into everything the key seals."""

    key_id: str
    material: KeyMaterial


def _join(*parts: bytes) -> bytes:
    """Join parts so that no two different lists give the same octets."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _hkdf(material: bytes, label: str, *context: bytes) -> bytes:
    info = _join(b"bff-session-gateway", label.encode(), *context)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(material)


def b64(octets: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Undo `b64`; raises `CannotOpen` for anything that `b64` would not have written."""
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise CannotOpen from None
    if b64(octets) != text:
        raise CannotOpen
    return octets


class KeyRing:
    """The gateway's keys: the first seals and signs, every one opens and verifies (D16)."""

    def __init__(self, keys: Sequence[RingKey], entropy: Entropy) -> None:
        self._keys = {key.key_id: key.material.reveal() for key in keys}
        self._current = keys[0].key_id
        self._entropy = entropy
        signing = [_hkdf(key.material.reveal(), "handle-signature") for key in keys]
        # itsdangerous wants the newest key last: the last signs, all verify.
        self._signer = Signer(
            list(reversed(signing)),
            salt=b"session-handle",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )
        self.audit_key = _hkdf(self._keys[self._current], "audit-pseudonyms")

    # -- the session handle and what follows from it -------------------------------------------

    def new_handle(self) -> SessionHandle:
        """Return a fresh handle: 256 bits, nothing inside (B12)."""
        return SessionHandle(self._entropy.octets(_HANDLE_OCTETS))

    def cookie_value(self, handle: SessionHandle) -> str:
        """Return what the browser keeps: the handle, signed so that a forgery costs no read."""
        return self._signer.sign(b64(handle.reveal())).decode()

    def read_handle(self, cookie: str) -> SessionHandle | None:
        """Return the handle of a cookie one of our keys signed, else None (D2)."""
        if not _COOKIE.fullmatch(cookie):
            return None
        try:
            return SessionHandle(unb64(self._signer.unsign(cookie.encode("ascii")).decode()))
        except BadSignature:
            return None

    @staticmethod
    def lookup(handle: SessionHandle) -> LookupId:
        """Return where the session lies; a dump of the store leads to no handle (D10)."""
        return LookupId(_hkdf(handle.reveal(), "lookup").hex())

    # -- sessions ------------------------------------------------------------------------------

    def seal_facts(self, lookup: LookupId, generation: int, plain: bytes) -> bytes:
        """Seal the part that administration and back-channel logout must read without a cookie."""
        return self._seal("facts", plain, _record(lookup, generation), lookup.encode())

    def open_facts(self, lookup: LookupId, generation: int, blob: bytes) -> bytes:
        """Undo `seal_facts`; raises `CannotOpen`."""
        return self._open("facts", blob, _record(lookup, generation), lookup.encode())[1]

    def seal_tokens(
        self, handle: SessionHandle, lookup: LookupId, generation: int, plain: bytes
    ) -> bytes:
        """Seal the tokens under ring key and cookie together: neither alone opens them.

        `lookup` is the handle's own; who asks has derived it already.
        """
        context = _record(lookup, generation)
        return self._seal("tokens", plain, context, _hkdf(handle.reveal(), "share"))

    def open_tokens(
        self, handle: SessionHandle, lookup: LookupId, generation: int, blob: bytes
    ) -> bytes:
        """Undo `seal_tokens`; raises `CannotOpen`."""
        context = _record(lookup, generation)
        return self._open("tokens", blob, context, _hkdf(handle.reveal(), "share"))[1]

    def index_names(self, kind: str, *values: str) -> tuple[IndexName, ...]:
        """Return the index's name under every key, the current one first.

        Names are keyed hashes: a subject is often an e-mail address, and a plain hash of one is
        guessed in seconds. After a rotation older sessions still stand under the older name.
        """
        octets = _join(kind.encode(), *(value.encode("utf-8", "surrogatepass") for value in values))
        return tuple(
            IndexName(hmac.digest(_hkdf(material, "index"), octets, "sha256").hex())
            for material in self._keys.values()
        )

    # -- logins --------------------------------------------------------------------------------

    def new_binding(self) -> LoginBinding:
        """Return a fresh value for the login cookie."""
        return LoginBinding(b64(self._entropy.octets(32)))

    @staticmethod
    def read_binding(cookie: str | None) -> LoginBinding | None:
        """Return the binding when the cookie has the one shape we hand out."""
        return LoginBinding(cookie) if cookie and _BINDING.match(cookie) else None

    @staticmethod
    def browser_tag(binding: LoginBinding) -> str:
        """Return a name for the browser; the binding is random, so a plain hash tells nothing."""
        return hashlib.sha256(b"browser:" + binding.reveal().encode()).hexdigest()

    def seal_envelope(self, purpose: str, plain: bytes) -> str:
        """Seal something that travels through the browser and comes back (`state`)."""
        return b64(self._seal(purpose, plain, b"", b""))

    def open_envelope(self, purpose: str, text: str) -> tuple[str, bytes]:
        """Undo `seal_envelope`; returns the key id that sealed it; raises `CannotOpen`."""
        return self._open(purpose, unb64(text), b"", b"")

    def current_key_id(self) -> str:
        """Return the id of the key that seals today."""
        return self._current

    def derive(self, key_id: str, label: str, binding: LoginBinding, attempt_id: str) -> bytes:
        """Return 32 octets for one login attempt in one browser; they are stored nowhere."""
        material = self._keys[key_id]
        return _hkdf(material, label, binding.reveal().encode(), attempt_id.encode())

    # -- the cipher ----------------------------------------------------------------------------

    def _seal(self, purpose: str, plain: bytes, context: bytes, share: bytes) -> bytes:
        key_id = self._current.encode()
        head = bytes((VERSION, len(key_id))) + key_id
        nonce = self._entropy.octets(_NONCE_OCTETS)
        key = _hkdf(self._keys[self._current] + share, f"seal-{purpose}")
        aad = _join(purpose.encode(), head, context)
        return head + nonce + AESGCM(key).encrypt(nonce, plain, aad)

    def _open(self, purpose: str, blob: bytes, context: bytes, share: bytes) -> tuple[str, bytes]:
        if len(blob) < 2 or blob[0] != VERSION:  # noqa: PLR2004  version and length octets
            raise CannotOpen
        start = 2 + blob[1]
        key_id = blob[2:start].decode("ascii", "replace")
        material = self._keys.get(key_id)
        if material is None:
            raise CannotOpen
        nonce, sealed = blob[start : start + _NONCE_OCTETS], blob[start + _NONCE_OCTETS :]
        if len(nonce) != _NONCE_OCTETS:
            raise CannotOpen
        key = _hkdf(material + share, f"seal-{purpose}")
        try:
            plain = AESGCM(key).decrypt(
                nonce, sealed, _join(purpose.encode(), blob[:start], context)
            )
        except InvalidTag:
            raise CannotOpen from None
        return key_id, plain


def _record(lookup: LookupId, generation: int) -> bytes:
    return _join(lookup.encode(), generation.to_bytes(8, "big"))
