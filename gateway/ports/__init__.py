"""What the session life needs from the world, as protocols; `adapters/` implements each once.

Every method may raise `Unavailable`, and nothing else, when the world fails. Fakes live in
`tests/support` and pass the same contract suites as the adapters (`tests/contract`).
"""

from gateway.ports.audit import NOBODY, AuditEvent, AuditLog, AuditName, Caller, Outcome
from gateway.ports.grants import Doubt, GrantLock, Held, Mine, NotYet, Turn
from gateway.ports.provider import BackChannel, Jose
from gateway.ports.revocations import RevocationQueue
from gateway.ports.store import Changes, IndexName, LookupId, SessionStore, StoredRecord
from gateway.ports.system import Clock, Entropy
from gateway.ports.upstream import Upgraded, Upstream, UpstreamAnswer, Wire, WireEnd

__all__ = [
    "NOBODY",
    "AuditEvent",
    "AuditLog",
    "AuditName",
    "BackChannel",
    "Caller",
    "Changes",
    "Clock",
    "Doubt",
    "Entropy",
    "GrantLock",
    "Held",
    "IndexName",
    "Jose",
    "LookupId",
    "Mine",
    "NotYet",
    "Outcome",
    "RevocationQueue",
    "SessionStore",
    "StoredRecord",
    "Turn",
    "Upgraded",
    "Upstream",
    "UpstreamAnswer",
    "Wire",
    "WireEnd",
]
