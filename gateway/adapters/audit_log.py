"""The audit log: one JSON line per security event, through structlog.

Secrets cannot get in: an event has no field that could hold one, and users and sessions are
written as keyed hashes, so that lines about one person can be joined without naming anybody. The
key follows from the key ring's first key; after a rotation the hashes change.
"""

import hmac
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TextIO, cast

from gateway.adapters.log_writer import LogWriter, Lost
from gateway.ports import AuditEvent

# structlog would print tracebacks through rich, and does without where there is none (None here
# says so to the import system): three megabytes in every worker, for what is never printed.
_has_rich = sys.modules.setdefault("rich", cast("ModuleType", None)) is not None
import structlog  # noqa: E402

if not _has_rich:
    del sys.modules["rich"]

_HASH_DIGITS = 16


class StructlogAudit:
    """Writes events to a text stream; a stream that fails loses lines, never requests."""

    def __init__(
        self, key: bytes, stream: TextIO, *, readable: bool = False, worker: int | None = None
    ) -> None:
        """Write JSON; `readable` is for a person at a terminal (development).

        `worker` is the number of this process, where there are several.
        """
        self._key = key
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(stream),
            processors=[
                _stamped(worker),
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                _renderer(readable=readable),
            ],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=True,
        )

    def record(self, event: AuditEvent) -> None:
        """Write the event as one line; empty members are left out."""
        members = {
            "log": "audit",
            "outcome": event.outcome.value,
            "code": event.code.value if event.code else "",
            "provider": event.provider,
            "user": self._pseudonym(event.issuer, event.subject) if event.subject else "",
            "session": self._pseudonym(event.session) if event.session else "",
            "by": event.by,
            "request_id": event.caller.request_id,
            "client": event.caller.address,
            "note": event.note,
        }
        present = {name: value for name, value in members.items() if value}
        try:
            self._log.msg(event.name.value, **present)
        except (OSError, ValueError):
            return  # a full disk or a closed stream must not fail the request

    def _pseudonym(self, *values: str) -> str:
        octets = "\x00".join(values).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, octets, "sha256").hex()[:_HASH_DIGITS]


def _renderer(*, readable: bool) -> structlog.types.Processor:
    if readable:
        return structlog.dev.ConsoleRenderer(colors=False, timestamp_key="time", pad_event_to=22)
    return structlog.processors.JSONRenderer(ensure_ascii=True)


def _stamped(worker: int | None) -> structlog.types.Processor:
    """Return what writes the worker's number into a line, if it has one."""

    def stamp(
        _logger: object, _name: str, members: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        if worker is not None:
            members["worker"] = worker
        return members

    return stamp


def log_writer(descriptor: int, *, readable: bool = False, worker: int | None = None) -> LogWriter:
    """Return what writes this process's lines to a descriptor that several may share."""
    return LogWriter(descriptor, _lost_lines(readable=readable, worker=worker))


def _lost_lines(*, readable: bool, worker: int | None) -> Callable[[Lost], str]:
    """Return what makes the line about lines that were lost."""
    log = structlog.wrap_logger(
        structlog.ReturnLogger(),
        processors=[
            structlog.stdlib.add_log_level,
            _stamped(worker),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _renderer(readable=readable),
        ],
    )

    def line(lost: Lost) -> str:
        text: str = log.error(
            "log lines were lost: whatever takes them was full, or too slow",
            logger="gateway.log",
            lost_audit_lines=lost.audit,
            lost_other_lines=lost.other,
        )
        return f"{text}\n"

    return line


def configure_logging(
    level: str,
    stream: TextIO | None = None,
    *,
    readable: bool = False,
    worker: int | None = None,
) -> None:
    """Make everything else that is logged lines of the same kind, on the same stream."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _stamped(worker),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _renderer(readable=readable),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # It warns of every malformed request; those are in the audit log, with a code.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    for talkative in ("httpx2", "httpcore2", "asyncio", "uvicorn"):
        # At debug level some of these print header fields, and those hold bearer tokens.
        logging.getLogger(talkative).setLevel(max(logging.WARNING, root.level))
