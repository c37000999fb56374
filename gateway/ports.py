"""What the session life needs from the world, as protocols; `adapters/` implements each once.

Every method may raise `Unavailable`, and nothing else, when the world fails. Fakes live in
`tests/support` and pass the same contract suites as the adapters (`tests/contract`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, Protocol

from gateway.edge.messages import Body, Fields, Stream, UpstreamRequest
from gateway.errors import Code
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.oidc.keys import Algorithm, JwksDocument, KeySet, SignedToken
from gateway.secret import PrivateKeyPem


class Clock(Protocol):
    """Wall-clock time; rules take `now` as an argument, only flows ask the clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...


class Entropy(Protocol):
    """A cryptographic source of randomness (ASVS 11.5.1)."""

    def octets(self, count: int) -> bytes:
        """Return `count` unpredictable bytes."""
        ...


LookupId = NewType("LookupId", str)
"""Where a session lies in the store: derived from the handle, useless for getting back to it."""

IndexName = NewType("IndexName", str)
"""Names the set of sessions of one (iss, sub) or one (iss, sid); a keyed hash, never in clear."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A sealed session and the generation it was written as (1 for a new one)."""

    generation: int
    sealed: bytes


class Changes(Protocol):
    """Told what others (and we) change in the store, while the link holds (design: coherence)."""

    def changed(self, lookup: LookupId) -> None:
        """The record under this id was written, deleted or ran out; forget copies of it."""
        ...

    def everything(self) -> None:
        """The link was lost, made anew, or the store was emptied; forget every copy."""
        ...


class SessionStore(Protocol):
    """Sealed sessions by lookup id. There is no `set`: nothing revives an ended session (D6).

    Times to live are seconds, may be fractional, and are enforced by the store itself: every key
    has one. Any method raises `Unavailable(STORE_UNAVAILABLE)`; after that the write may or may
    not have happened, and the caller must not assume either.
    """

    async def read(self, lookup: LookupId) -> StoredRecord | None:
        """Return the live record, or None when there is none."""
        ...

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        """Return what `read` would for each, in order."""
        ...

    async def create(
        self,
        lookup: LookupId,
        record: StoredRecord,
        *,
        ttl: float,
        indexes: Sequence[IndexName],
        index_ttl: float,
    ) -> bool:
        """Store a record that must not exist yet and enter it in every index.

        False when the lookup id is taken. An index entry is dropped after `index_ttl`, the
        session's absolute end; it may for a while name a session that has ended.
        """
        ...

    async def replace(
        self, lookup: LookupId, record: StoredRecord, *, expected: int, ttl: float
    ) -> bool:
        """Overwrite the record only if it exists at generation `expected`; else False."""
        ...

    async def end(self, lookup: LookupId, indexes: Sequence[IndexName]) -> bool:
        """Delete the record and its index entries. True when a record was there."""
        ...

    async def members(self, index: IndexName) -> list[LookupId]:
        """Return the lookup ids entered in the index; some may have ended."""
        ...

    async def claim(self, name: str, *, ttl: float) -> bool:
        """Return True for exactly one caller per name until `ttl` is over (one-time use, E4)."""
        ...

    def watch(self, changes: Changes) -> None:
        """Tell of every change from now on; call before the first read.

        RuntimeError when called again: one of the two would trust its copies and hear of nothing.
        """
        ...

    def is_watched(self) -> bool:
        """Whether every change of more than a second ago has been told: copies may be used.

        Proven by traffic on the link, not assumed; costs no more than a comparison.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...


class BackChannel(Protocol):
    """HTTPS to providers: no redirects, no cookies, no environment proxies, bounded (F2, H20)."""

    async def send(self, request: BackChannelRequest) -> BackChannelAnswer:
        """Return any complete answer, whatever its status.

        Raises `Unavailable(PROVIDER_UNAVAILABLE)` when there is none in time or it is too large.
        """
        ...


class Jose(Protocol):
    """Signatures (RFC 7515, 7517, 7518). Says who signed; the rules on claims are in `oidc/`."""

    def read_keys(self, document: JwksDocument) -> KeySet:
        """Keep the keys fit for signatures (F5, F8); `Refused(PROVIDER_METADATA)` if not a JWKS."""
        ...

    def verify(self, token: str, keys: KeySet, algorithms: frozenset[Algorithm]) -> SignedToken:
        """Check a compact JWS against keys we hold; header keys and URLs are ignored (F3).

        Raises `NoMatchingKey` (a `Refused`) when no key could have signed it, so that the caller
        may fetch the keys again; `Refused(ID_TOKEN_SIGNATURE | ID_TOKEN_MALFORMED)` otherwise.
        """
        ...

    def verify_mac(self, token: str, secret: str, algorithm: Algorithm) -> SignedToken:
        """Check an HMAC-signed token; only where configuration names an HS algorithm (G7)."""
        ...

    def sign(
        self,
        claims: Mapping[str, str | int],
        key: PrivateKeyPem,
        algorithm: Algorithm,
        key_id: str | None,
    ) -> str:
        """Return a compact JWS over the claims (`private_key_jwt`, RFC 7523)."""
        ...


class AuditName(StrEnum):
    """The security events. Never rename one."""

    CONFIGURATION_LOADED = "configuration.loaded"
    LOGIN_STARTED = "login.started"
    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    TOKEN_REFRESHED = "token.refreshed"
    TOKEN_REFRESH_FAILED = "token.refresh_failed"
    TOKEN_REVOKED = "token.revoked"
    TOKEN_REVOCATION_FAILED = "token.revocation_failed"
    SESSION_ENDED = "session.ended"
    SESSION_UNREADABLE = "session.unreadable"
    REQUEST_REFUSED = "request.refused"


class Outcome(StrEnum):
    """How an audited event ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, as far as the audit log cares."""

    request_id: str = ""
    address: str = ""
    user_agent: str = ""


NOBODY = Caller()


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One security event. User and session are hashed under a key by the log itself."""

    name: AuditName
    outcome: Outcome
    code: Code | None = None
    provider: str = ""
    issuer: str = field(default="", repr=False)
    subject: str = field(default="", repr=False)
    session: str = field(default="", repr=False)  # the public session id
    by: str = ""  # who ended a session: user, other_session, deadline, provider
    caller: Caller = NOBODY
    note: str = ""


class AuditLog(Protocol):
    """One JSON line per security event; never blocks, never raises."""

    def record(self, event: AuditEvent) -> None:
        """Write the event."""
        ...


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An upstream's final answer.

    The body is octets when all of it was there at once; of a `Stream` the caller must reach the
    end or `aclose()` it.
    """

    status: int
    fields: Fields
    body: bytes | Stream
    # What has been found to follow from status and fields alone; answers with the same head share
    # it.
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


class WireEnd(Protocol):
    """Who listens to a `Wire`. Calls come from the event loop, must be quick and must not raise."""

    def received(self, octets: bytes) -> None:
        """Octets have come in."""
        ...

    def lost(self) -> None:
        """Nothing more will come, and nothing more can be sent. Called once."""
        ...

    def may_write(self, *, now: bool) -> None:
        """The wire's buffer is full (False) or has drained (True): back-pressure."""
        ...


class Wire(Protocol):
    """A connection that has ceased to be HTTP (101): octets both ways (RFC 9110 section 7.8)."""

    def attach(self, end: WireEnd) -> None:
        """Name the listener; it is first told of octets that came right behind the handshake."""
        ...

    def write(self, octets: bytes) -> None:
        """Send, or buffer; does nothing once the wire is lost."""
        ...

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        ...

    def resume(self) -> None:
        """Undo `pause`."""
        ...

    def close(self) -> None:
        """Send what is buffered, then close; `lost` follows."""
        ...

    def abort(self) -> None:
        """Close at once; `lost` follows."""
        ...


@dataclass(frozen=True, slots=True)
class Upgraded:
    """An upstream's 101: its fields as they came, and the wire it leaves behind."""

    fields: Fields
    wire: Wire


class Upstream(Protocol):
    """HTTP to APIs: no redirects, no cookies, no decoding, fields and repeats kept in order."""

    async def upgrade(self, request: UpstreamRequest) -> Upgraded | UpstreamAnswer:
        """Ask for another protocol on a connection of its own; Connection and Upgrade are sent.

        `request.fields` hold an Upgrade line; Connection is the adapter's. Returns the final
        answer if it is anything but 101. Raises as `send`.
        """
        ...

    async def send(self, request: UpstreamRequest, body: Body | None) -> UpstreamAnswer:
        """Send, streaming the body, and return once the final answer's fields are in.

        Raises `Unavailable` with UPSTREAM_CONNECT, UPSTREAM_TIMEOUT, UPSTREAM_PROTOCOL or
        UPSTREAM_OVERLOADED; the body raises the same when the upstream breaks off.
        """
        ...
