"""What a login would write of a session, for sessions that are put into a store without one."""

from gateway.session.model import Facts, SessionId


def facts_of_login(
    session_id: SessionId,
    issuer: str,
    subject: str,
    now: float,
    *,
    sid: str | None = None,
    absolute_timeout: float = 43200.0,
) -> Facts:
    """Facts of a session of this person at the provider `main`, begun now (epoch seconds)."""
    return Facts(
        session_id=session_id,
        provider="main",
        issuer=issuer,
        subject=subject,
        sid=sid,
        created_at=now,
        last_seen=now,
        idle_deadline=now + 1800,
        absolute_deadline=now + 43200,
        auth_time=None,
        acr=None,
        user={},
    )
