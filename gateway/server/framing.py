"""What the head of a request says about its own framing, judged once (RFC 9112 section 6).

llhttp, as httptools sets it up, has by then refused two lengths, a length beside a coding, and
lengths that are no numbers (M1, M2). What it lets pass and another reader in the chain could read
differently is refused here, for every listener, before any application sees the request.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.edge.messages import Field
from gateway.errors import Code, Refused

HOST = b"host"
TELLING = frozenset({HOST, b"content-length", b"transfer-encoding", b"expect"})
"""The fields that are judged here."""

_OLD = "1.0"
_VERSIONS = frozenset({_OLD, "1.1"})


@dataclass(frozen=True, slots=True)
class Framing:
    """How a request's body is framed.

    `length` is in octets: 0 without a body, None when it is chunked.
    """

    length: int | None
    expects_continue: bool = False


NO_BODY = Framing(0)


def judge_framing(telling: Sequence[Field], version: str) -> Framing:
    """Return the framing. `telling` are the fields of `TELLING`, as they came.

    Raises Refused: VERSION_UNSUPPORTED, HOST_MALFORMED (none in HTTP/1.1, or several: K2),
    CODING_UNSUPPORTED, EXPECTATION_FAILED, REQUEST_MALFORMED.
    """
    if version not in _VERSIONS:
        raise Refused(Code.VERSION_UNSUPPORTED)
    if len(telling) == 1 and telling[0][0] == HOST:
        return NO_BODY  # by far the most requests
    hosts, lengths, codings, expectations = (
        [value for name, value in telling if name == wanted]
        for wanted in (HOST, b"content-length", b"transfer-encoding", b"expect")
    )
    if len(hosts) > 1 or (not hosts and version != _OLD):
        raise Refused(Code.HOST_MALFORMED, "Exactly one valid Host field is required.")
    if codings:
        _require_chunked(codings, version)
        if lengths:  # llhttp has refused it; a second lock costs nothing (M1)
            raise Refused(Code.REQUEST_MALFORMED)
        return Framing(None, _expects_continue(expectations, version))
    if not lengths:
        return NO_BODY  # and then there is nothing to expect either
    # Digits only: not even the white space that RFC 9112 section 5 allows around them (M2).
    if len(set(lengths)) > 1 or not lengths[0].isdigit():
        raise Refused(Code.REQUEST_MALFORMED, "The Content-Length is not acceptable.")
    length = int(lengths[0])
    return Framing(length, length > 0 and _expects_continue(expectations, version))


def _require_chunked(codings: list[bytes], version: str) -> None:
    if version == _OLD:  # M4: HTTP/1.0 has no transfer codings
        raise Refused(Code.REQUEST_MALFORMED, "A transfer coding needs HTTP/1.1.")
    tokens = [token.strip(b" \t").lower() for line in codings for token in line.split(b",")]
    if tokens == [b"chunked"]:
        return
    if tokens[-1] != b"chunked" or tokens.count(b"chunked") > 1 or b"" in tokens:  # M3
        raise Refused(Code.REQUEST_MALFORMED, "The Transfer-Encoding does not end a body.")
    raise Refused(Code.CODING_UNSUPPORTED, "Only chunked is understood.")


def _expects_continue(expectations: list[bytes], version: str) -> bool:
    """RFC 9110 section 10.1.1: unknown ones may be answered 417; HTTP/1.0 does not know them."""
    if not expectations or version == _OLD:
        return False
    if any(value.strip(b" \t").lower() != b"100-continue" for value in expectations):
        raise Refused(Code.EXPECTATION_FAILED, "Only 100-continue is understood.")
    return True
