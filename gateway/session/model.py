"""What a session is.

Two parts, sealed apart: `Facts` opens with the server's key ring alone, because administration
and back-channel logout have no cookie; `Tokens` opens only with the ring and the cookie together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NewType

from gateway.ports import LookupId
from gateway.secret import AccessToken, IdToken, Nonce, RefreshToken, SessionHandle

SessionId = NewType("SessionId", str)
"""The public name of a session, shown to its user; opens nothing."""


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How long sessions live, in seconds."""

    idle_timeout: float = 1800.0
    absolute_timeout: float = 43200.0
    refresh_margin: float = 60.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider granted. `expires_at` is our clock's reading, in epoch seconds."""

    access_token: AccessToken
    expires_at: float
    received_at: float
    scopes: frozenset[str]
    refresh_token: RefreshToken | None = None
    id_token: IdToken | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about a session that is not a token. Times are epoch seconds."""

    session_id: SessionId
    provider: str
    issuer: str
    subject: str
    sid: str | None
    created_at: float
    last_seen: float
    idle_deadline: float
    absolute_deadline: float
    auth_time: float | None
    acr: str | None
    user: Mapping[str, object] = field(repr=False)
    browser: str = field(default="", repr=False)  # a hash of the login cookie: whose browser it is
    nonce: Nonce | None = None  # a refreshed ID token may repeat it (G18)
    address: str = field(default="", repr=False)
    user_agent: str = field(default="", repr=False)

    def deadline(self) -> float:
        """When the session ends if nothing more happens."""
        return min(self.idle_deadline, self.absolute_deadline)

    def is_over(self, now: float) -> bool:
        """Whether either deadline has passed (D4, D5); the browser's opinion does not count."""
        return now >= self.deadline()

    def is_unused(self) -> bool:
        """Whether no use has been written down since the login."""
        return self.last_seen == self.created_at

    def seen(self, now: float, policy: SessionPolicy) -> "Facts":
        """Return the facts after activity: the idle deadline moves, the absolute one never (D5)."""
        idle = min(now + policy.idle_timeout, self.absolute_deadline)
        return replace(self, last_seen=now, idle_deadline=idle)


@dataclass(frozen=True, slots=True)
class Session:
    """An opened session: what a request works with. Never stored like this."""

    handle: SessionHandle
    lookup: LookupId
    generation: int
    facts: Facts
    tokens: Tokens
