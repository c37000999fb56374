"""Login attempts, which are stored nowhere: what travels in `state`, and what follows from it.

`state` is a sealed envelope that says where the person wanted to go, and a tag that ties it to the
login cookie of this browser. The PKCE verifier and the nonce follow from ring key, login cookie
and attempt id: whoever lacks the cookie cannot finish the login even with the envelope in hand
(RFC 9700 section 4.7, E3). So any number of tabs may log in at once, and nobody can fill the store
by starting logins.
"""

import hmac
import json
from dataclasses import dataclass, replace

from gateway.errors import Code, Refused
from gateway.oidc import attempt as codec
from gateway.oidc.attempt import LoginAttempt
from gateway.ports import Clock
from gateway.secret import CodeVerifier, LoginBinding, Nonce
from gateway.session.sealing import CannotOpen, KeyRing, b64

MAX_RESTARTS = 1  # a login restarts itself once, then explains itself
_RESUME_TTL = 600.0  # seconds; as long as a person may look at the hop page
_TAG_OCTETS = 32
CLOCK_SKEW = 60.0  # seconds two replicas' clocks may differ by


class StateRefused(Refused):
    """The state does not fit; `resume` lets the browser go on where the person wanted to go."""

    def __init__(self, code: Code, resume: str) -> None:
        super().__init__(code)
        self.resume = resume


@dataclass(frozen=True, slots=True)
class Resumption:
    """A login to take up again: what it was started for, how often already, and why.

    `browser` names the browser it broke in, empty for one without a login cookie. With
    `is_readable` False the state did not open, so it cannot have counted anything.
    """

    attempt: LoginAttempt
    code: Code
    is_readable: bool
    browser: str


@dataclass(frozen=True, slots=True)
class BoundAttempt:
    """An attempt in the browser it was begun in, and the two secrets only that browser yields."""

    attempt: LoginAttempt
    binding: LoginBinding
    verifier: CodeVerifier
    nonce: Nonce


class Attempts:
    """Seals attempts, opens them again, and knows what to do with one that does not fit."""

    def __init__(self, ring: KeyRing, clock: Clock, nowhere: LoginAttempt) -> None:
        """`nowhere` stands in for an envelope that does not open: the default way in."""
        self._ring = ring
        self._clock = clock
        self._nowhere = nowhere

    def seal(self, attempt: LoginAttempt, binding: LoginBinding) -> tuple[str, BoundAttempt]:
        """Return the `state` of a new attempt, and the attempt with its secrets."""
        key_id = self._ring.current_key_id()
        tag = self._tag(key_id, binding, attempt)
        state = self._ring.seal_envelope("state", tag + codec.encode(attempt))
        return state, self._bound(key_id, binding, attempt)

    def open(self, state: str, binding: LoginBinding | None, ttl: float) -> BoundAttempt:
        """Return the attempt if this browser began it lately.

        Raises `StateRefused`, STATE_UNKNOWN or STATE_EXPIRED.
        """
        try:
            key_id, plain = self._ring.open_envelope("state", state)
        except CannotOpen:
            code = Code.STATE_UNKNOWN
            raise self.refused(code, self._nowhere, binding, is_readable=False) from None
        tag, attempt = plain[:_TAG_OCTETS], codec.decode(plain[_TAG_OCTETS:])
        if binding is None or not hmac.compare_digest(tag, self._tag(key_id, binding, attempt)):
            # Perhaps a stranger's: their target must not become a request of this browser.
            home = replace(self._nowhere, provider=attempt.provider, restarts=attempt.restarts)
            raise self.refused(Code.STATE_UNKNOWN, home, binding)
        if codec.is_expired(attempt, self._clock.now(), ttl):
            raise self.refused(Code.STATE_EXPIRED, attempt, binding)
        return self._bound(key_id, binding, attempt)

    def refused(
        self,
        code: Code,
        attempt: LoginAttempt,
        binding: LoginBinding | None,
        *,
        is_readable: bool = True,
    ) -> StateRefused:
        """Return the refusal of an attempt, with a way on for the person behind it.

        The way on names this browser: in another one, sent as a link, it leads nowhere.
        """
        browser = self._ring.browser_tag(binding) if binding is not None else ""
        parts = [codec.encode(attempt).decode(), code.value, is_readable, browser]
        plain = json.dumps([*parts, self._clock.now()]).encode()
        return StateRefused(code, self._ring.seal_envelope("resume", plain))

    def resume(self, text: str) -> Resumption:
        """Read what `refused` gave the browser; raises `Refused(STATE_UNKNOWN | STATE_EXPIRED)`."""
        try:
            _, plain = self._ring.open_envelope("resume", text)
        except CannotOpen:
            raise Refused(Code.STATE_UNKNOWN) from None
        try:
            attempt, code, is_readable, browser, issued_at = json.loads(plain)
        except ValueError:  # of another release
            raise Refused(Code.STATE_UNKNOWN) from None
        if not -CLOCK_SKEW <= self._clock.now() - issued_at <= _RESUME_TTL:
            raise Refused(Code.STATE_EXPIRED)
        return Resumption(codec.decode(attempt.encode()), Code(code), is_readable, browser)

    def _tag(self, key_id: str, binding: LoginBinding, attempt: LoginAttempt) -> bytes:
        return self._ring.derive(key_id, "state-binding", binding, attempt.attempt_id)

    def _bound(self, key_id: str, binding: LoginBinding, attempt: LoginAttempt) -> BoundAttempt:
        def derived(label: str) -> str:
            return b64(self._ring.derive(key_id, label, binding, attempt.attempt_id))

        return BoundAttempt(
            attempt, binding, CodeVerifier(derived("pkce")), Nonce(derived("nonce"))
        )
