"""What the audit log is told about a session; one place decides which of its facts that is."""

from gateway.errors import Code
from gateway.ports import NOBODY, AuditEvent, AuditName, Caller, Outcome
from gateway.session.model import Facts


def about(
    facts: Facts,
    name: AuditName,
    outcome: Outcome = Outcome.SUCCESS,
    caller: Caller = NOBODY,
    *,
    code: Code | None = None,
    by: str = "",
    note: str = "",
) -> AuditEvent:
    """Return an event about this session: who and which, never a token (the type has no room)."""
    return AuditEvent(
        name,
        outcome,
        code,
        provider=facts.provider,
        issuer=facts.issuer,
        subject=facts.subject,
        session=facts.session_id,
        by=by,
        caller=caller,
        note=note,
    )
