"""What a provider remembers of refresh tokens: who may spend them, and what spending twice means.

RFC 9700 section 4.14.2: a provider that rotates can tell that a refresh token is spent again, and
then cannot know which of the two is the thief. `REVOKE` withdraws everything that came of the
login; `GRACE` does so too, except within `grace` seconds, in which the second answer is as good as
the first; `NONE` only refuses.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.ports import Clock


class Reuse(StrEnum):
    """What a provider does when a spent refresh token is spent again."""

    NONE = "none"
    GRACE = "grace"
    REVOKE = "revoke family"


@dataclass(eq=False)
class Attempt:
    """What the provider remembers of an authorization request, and of all that came of it."""

    parameters: dict[str, str]
    subject: str
    sid: str | None = None
    revoked: bool = False


@dataclass
class Families:
    """Access and refresh tokens, each of the login it came from.

    `valid` may be emptied by a test. `spent` counts how often each refresh token was presented.
    """

    clock: Clock
    reuse: Reuse = Reuse.NONE
    grace: float = 30.0  # seconds
    valid: dict[str, Attempt] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)
    access: dict[str, tuple[Attempt, float]] = field(default_factory=dict)  # and when it runs out
    parents: dict[str, str] = field(default_factory=dict)  # what a refresh token was granted for
    _spending: str | None = None
    _replaced: dict[str, tuple[Attempt, float]] = field(default_factory=dict)  # and when

    def issue(self, attempt: Attempt, access: str, refresh: str, lifetime: float) -> None:
        """Remember what was handed out."""
        self.valid[refresh] = attempt
        if self._spending is not None:
            self.parents[refresh], self._spending = self._spending, None
        self.access[access] = attempt, self.clock.now() + lifetime

    def spend(self, token: str, *, rotate: bool) -> Attempt | None:
        """Return whose token it is; None where the answer is invalid_grant."""
        self.spent[token] += 1
        self._spending = None
        now = self.clock.now()
        if token in self.valid:
            attempt = self.valid.pop(token) if rotate else self.valid[token]
            if rotate:
                self._replaced[token] = attempt, now
            self._spending = token
            return attempt
        if self.reuse is Reuse.NONE or token not in self._replaced:
            return None
        attempt, at = self._replaced[token]
        if self.reuse is Reuse.GRACE and now - at <= self.grace and not attempt.revoked:
            self._spending = token
            return attempt
        self.revoke(attempt)
        return None

    def of(self, token: str) -> Attempt | None:
        """Return the login that a token, of either kind, came from."""
        if token in self.access:
            return self.access[token][0]
        return self.valid.get(token) or self._replaced.get(token, (None, 0.0))[0]

    def revoke_token(self, token: str) -> None:
        """Withdraw a refresh token, and with it what came of the same login (RFC 7009 2.1)."""
        attempt = self.of(token)
        if attempt is not None:
            self.revoke(attempt)

    def revoke(self, attempt: Attempt) -> None:
        """Withdraw everything that came of this login."""
        attempt.revoked = True
        for token in [token for token, of in self.valid.items() if of is attempt]:
            del self.valid[token]
            self._replaced[token] = attempt, self.clock.now()

    def accepts(self, access: str) -> bool:
        """Whether an API that asks is told that this access token is good."""
        if access not in self.access:
            return False
        attempt, until = self.access[access]
        return not attempt.revoked and self.clock.now() < until
