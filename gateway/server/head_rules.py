"""What is asked of a request's head besides being well-formed: sizes, method, framing (K10, M1-M4).

Pure: decided here, acted upon by the connection.
"""

from gateway.edge.messages import Field
from gateway.errors import Code, Refused
from gateway.server.framing import TELLING, Framing, judge_framing
from gateway.settings import Limits


def judge_head(
    method: bytes,
    version: str,
    fields: list[Field],
    limits: Limits,
    *,
    at_most: int,
    upgrade: bool,
) -> Framing:
    """Return how the body is framed. `at_most` are the octets that the head can have.

    Raises Refused: FIELDS_TOO_LARGE, METHOD_NOT_IMPLEMENTED, BODY_TOO_LARGE, UPGRADE_REFUSED, and
    what `judge_framing` raises.
    """
    if len(fields) > limits.max_header_count:
        raise fields_too_large(limits)
    if at_most > limits.max_header_bytes:
        octets = sum(len(name) + len(value) + 4 for name, value in fields)
        if octets > limits.max_header_bytes:
            raise fields_too_large(limits)
    framing = judge_framing([field for field in fields if field[0] in TELLING], version)
    if method == b"CONNECT":
        raise Refused(Code.METHOD_NOT_IMPLEMENTED)
    most, length = limits.max_body_bytes, framing.length
    if most is not None and length is not None and length > most:
        raise Refused(Code.BODY_TOO_LARGE)
    if upgrade and length != 0:
        # httptools reads what follows an Upgrade as another protocol's octets: the body would
        # come back as the next request (RFC 9112 section 11.2).
        detail = "A request that asks for an upgrade cannot carry a body here."
        raise Refused(Code.UPGRADE_REFUSED, detail)
    return framing


def fields_too_large(limits: Limits) -> Refused:
    """Return the refusal of a head that is larger than the limits, or has more fields."""
    return Refused(
        Code.FIELDS_TOO_LARGE,
        f"The limits are {limits.max_header_bytes} octets, {limits.max_header_count} fields.",
    )


def trimmed(fields: list[Field]) -> list[Field]:
    """Return the fields without white space behind their values, which the parser leaves there.

    It is not part of a value (RFC 9112 section 5).
    """
    values = b"\n".join([value for _, value in fields]) + b"\n"
    if b" \n" not in values and b"\t\n" not in values:
        return fields
    return [(name, value.rstrip(b" \t")) for name, value in fields]
