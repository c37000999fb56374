"""How a process logs: everything goes to standard output, and nobody waits for whoever reads it."""

from typing import TextIO

from gateway.adapters.audit_log import StructlogAudit, configure_logging, log_writer
from gateway.adapters.log_writer import LogWriter
from gateway.adapters.system import SystemEntropy
from gateway.ports import AuditEvent, AuditLog, AuditName, Outcome
from gateway.session.sealing import KeyRing
from gateway.settings import Settings

LAST_LINES = 0.5
"""Seconds for the last log lines of a process to be taken; then they are given up."""


def begin(settings: Settings, worker: int | None = None) -> LogWriter:
    """Send everything this process logs to standard output, through what is returned.

    `worker` is the number of this process where there are several.
    """
    lines = log_writer(1, readable=settings.log.is_readable, worker=worker)
    adjust(settings, lines, worker)
    return lines


def adjust(settings: Settings, lines: LogWriter, worker: int | None = None) -> None:
    """Log at the level and in the format the settings want."""
    log = settings.log
    configure_logging(log.level, lines.stream(), readable=log.is_readable, worker=worker)


def audit_log(settings: Settings, stream: TextIO, worker: int | None = None) -> AuditLog:
    """Return the audit log of one process."""
    ring = KeyRing(settings.keys, SystemEntropy())
    return StructlogAudit(ring.audit_key, stream, readable=settings.log.is_readable, worker=worker)


def loaded(settings: Settings, by: str = "", generation: int = 1) -> AuditEvent:
    """Return the event that says which configuration is in force, and what brought it there."""
    names = ", ".join(client.provider for client in settings.clients)
    keys = ", ".join(key.key_id for key in settings.keys)
    dangers = ", ".join(settings.dangers) or "none"
    note = f"providers: {names}; keys: {keys}; protections switched off: {dangers}"
    if by:
        note = f"generation {generation}; {note}"
    return AuditEvent(AuditName.CONFIGURATION_LOADED, Outcome.SUCCESS, by=by, note=note)
