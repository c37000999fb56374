"""Request ids and trace context: kept or replaced by rule, never believed (L14, ASVS 16.4.1)."""

import re

from gateway.edge.messages import BrowserRequest, Field, Fields

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# W3C Trace Context section 3.2: version, trace-id, parent-id, flags; not `ff`, not all zeros.
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_TRACESTATE = re.compile(rb"[\x20-\x7e\t]*")
_LONGEST_TRACESTATE = 512  # octets; what section 3.3 asks everybody to carry


def request_id(request: BrowserRequest, trusted: bool, fresh: str) -> str:  # noqa: FBT001 - a fact
    """Return the id a trusted peer gave this request, if it is a single plain one; else `fresh`."""
    given = request.only(b"x-request-id")
    if trusted and given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return fresh


def is_traceparent(value: bytes) -> bool:
    """Whether the value has exactly the shape of the W3C recommendation."""
    return _TRACEPARENT.fullmatch(value) is not None


def trace_context(lines: list[Field]) -> Fields:
    """Return the traceparent and tracestate lines fit to be passed on, or none.

    A tracestate without a valid traceparent means nothing (section 3.3).
    """
    parents = [value for name, value in lines if name == b"traceparent"]
    if len(parents) != 1 or not is_traceparent(parents[0]):
        return ()
    states = [value for name, value in lines if name == b"tracestate"]
    is_plain = all(_TRACESTATE.fullmatch(state) for state in states)
    if not is_plain or sum(map(len, states)) > _LONGEST_TRACESTATE:
        states = []
    return ((b"traceparent", parents[0]), *((b"tracestate", state) for state in states))
