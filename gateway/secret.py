"""Secrets as types: a value that cannot be printed, logged, pickled or compared in variable time.

Everything that must not reach a log, an exception text or a browser is wrapped in a subclass of
`Secret`. Its `repr` is empty on purpose: a length or a prefix is already a leak. The one way to
the value is `reveal()`, so every use of a secret can be found by searching for that word.
"""

import hmac
from functools import cached_property
from typing import Generic, NoReturn, TypeVar, final

_VISIBLE = bytes(range(0x21, 0x7F))

Raw = TypeVar("Raw", str, bytes)


class Secret(Generic[Raw]):
    """A value that is shown to nobody by accident; `reveal()` is the only way in."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Raw) -> None:
        self._raw: Raw = raw

    def reveal(self) -> Raw:
        """Return the value itself. Each call is a place to review."""
        return self._raw

    def __bool__(self) -> bool:
        return bool(self._raw)

    def __eq__(self, other: object) -> bool:
        # Constant time (CWE-208), and only between secrets of one purpose.
        if not isinstance(other, Secret) or type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(_octets(self._raw), _octets(other.reveal()))

    def __hash__(self) -> int:
        return hash((type(self), self._raw))

    def __repr__(self) -> str:
        return ""

    def __str__(self) -> str:
        return ""

    def __format__(self, format_spec: str) -> str:
        return ""

    def __reduce__(self) -> NoReturn:
        message = f"{type(self).__name__} is not to be pickled or copied out of the process"
        raise TypeError(message)


def _octets(raw: str | bytes) -> bytes:
    return raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw


@final
class AccessToken(Secret[str]):
    """RFC 6749 section 1.4; opaque to us, never parsed (H15)."""

    @cached_property
    def credentials(self) -> bytes | None:
        """The Authorization value (RFC 6750 section 2.1); None if the token fits into no field.

        It has to be visible ASCII without a space. Made once: one token serves many requests.
        """
        octets = self._raw.encode("utf-8", "surrogatepass")
        return None if not octets or octets.translate(None, _VISIBLE) else b"Bearer " + octets


@final
class RefreshToken(Secret[str]):
    """RFC 6749 section 1.5."""


@final
class IdToken(Secret[str]):
    """The raw ID token, kept only as `id_token_hint` (OpenID Connect RP-Initiated Logout 2)."""


@final
class UserInfoToken(Secret[str]):
    """A signed UserInfo answer (OpenID Connect Core section 5.3.2)."""


@final
class LogoutToken(Secret[str]):
    """A provider's order to end sessions (OpenID Connect Back-Channel Logout section 2.4)."""


@final
class AuthorizationCodeValue(Secret[str]):
    """The `code` of an authorization response (RFC 6749 section 4.1.2)."""


@final
class CodeVerifier(Secret[str]):
    """PKCE `code_verifier`, 43 characters (RFC 7636 section 4.1)."""


@final
class Nonce(Secret[str]):
    """OpenID Connect `nonce`, bound to one login attempt (Core section 3.1.2.1)."""


@final
class ClientSecret(Secret[str]):
    """The client's credential at one provider (RFC 6749 section 2.3.1)."""


@final
class PrivateKeyPem(Secret[str]):
    """A private key in PEM form, for `private_key_jwt` (RFC 7523)."""


@final
class KeyMaterial(Secret[bytes]):
    """One key of the gateway's key ring, at least 32 bytes of randomness (D16)."""


@final
class SessionHandle(Secret[bytes]):
    """The 32 random bytes in the session cookie; the browser's whole credential."""


@final
class LoginBinding(Secret[str]):
    """The value of the login cookie: ties login attempts to one browser (RFC 9700 section 4.7)."""


@final
class StoreUrl(Secret[str]):
    """A store address; it may carry a user name and a password."""


@final
class AdminToken(Secret[str]):
    """What an operator shows at the admin listener (RFC 6750 section 2.1)."""


@final
class Password(Secret[str]):
    """A password for the store."""
