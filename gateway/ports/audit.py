"""The security events, and the log they go to."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from gateway.errors import Code


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
    ADMIN_CARRIED_OUT = "admin.carried_out"
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
    by: str = ""  # who ended a session, as in docs/sessions.md
    caller: Caller = NOBODY
    note: str = ""


class AuditLog(Protocol):
    """One JSON line per security event; never blocks, never raises."""

    def record(self, event: AuditEvent) -> None:
        """Write the event."""
        ...
