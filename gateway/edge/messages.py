"""The vocabulary of one exchange, as bytes that keep their order and their repeats.

Facts about fields (RFC 9110 section 5) that the rest of the code relies on:

* A name may occur many times; lines are never merged or reordered (Set-Cookie must not be).
* Names are compared without case; here they are always lower-case bytes.
* Values are bytes without leading or trailing white space and without CR, LF or NUL.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.edge.upstream_group import UpstreamGroup

Field = tuple[bytes, bytes]
Fields = tuple[Field, ...]
Body = AsyncIterator[bytes]


class Stream(Protocol):
    """A body that can be given up: `aclose` ends the exchange behind it, begun or not.

    An async generator is no such thing: closing one that was never begun runs none of its code,
    and the connection behind it would be lost to its pool.
    """

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece."""
        ...

    async def aclose(self) -> None:
        """End the exchange; harmless when it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class BrowserRequest:
    """What arrived, before anything is believed.

    `raw_target` is the request-target as it stood on the wire, query included. `peer` is the
    socket's address (no name, no forwarded field). `over_tls` is the socket's own state.
    """

    method: str
    raw_target: bytes
    fields: Fields = field(repr=False)  # cookies among them
    peer: str = ""
    over_tls: bool = False
    # What has been found to follow from this request and the configuration alone. Clients send
    # the same octets again and again, and then get the same object: see `server/heads.py`.
    known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    # The same for whatever follows without the target; requests that differ in it alone share it.
    known_of_fields: dict[Any, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    # Made once: a request's fields are asked for by name some ten times on its way.
    _by_name: dict[bytes, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", dict(self.fields))

    def at(self, raw_target: bytes) -> "BrowserRequest":
        """Return the request that differs in its target alone."""
        other = object.__new__(BrowserRequest)
        for name in _BESIDE_THE_TARGET:
            object.__setattr__(other, name, getattr(self, name))
        object.__setattr__(other, "raw_target", raw_target)
        object.__setattr__(other, "known", {})
        return other

    def values(self, name: bytes) -> list[bytes]:
        """Every value sent under this lower-case name, in order."""
        value = self._by_name.get(name)
        if value is None:
            return []
        if len(self._by_name) == len(self.fields):
            return [value]  # no name occurs twice
        return [value for key, value in self.fields if key == name]

    def only(self, name: bytes) -> bytes | None:
        """The value when the field occurs exactly once, else None: a repeat is never 'the last'."""
        if len(self._by_name) == len(self.fields):
            return self._by_name.get(name)
        found = self.values(name)
        return found[0] if len(found) == 1 else None


_BESIDE_THE_TARGET = ("method", "fields", "peer", "over_tls", "known_of_fields", "_by_name")


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request to an API, ready to send: every field below is ours or was allowed by rule.

    `group` is from configuration: which servers may get it; `target` is the origin-form bytes.
    """

    method: str
    group: UpstreamGroup
    target: bytes
    fields: Fields = field(repr=False)  # the bearer token among them
    # The same fields as lines, where they have been written already; no Content-Length is among
    # them.
    lines: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: complete bytes, or a stream that is passed on piece by piece."""

    status: int
    fields: Fields = field(default=(), repr=False)  # Set-Cookie among them
    body: bytes | Stream = b""
    # The same fields as lines, where they have been written already; a Content-Length that is right
    # is among them, and nothing else about framing.
    lines: bytes | None = field(default=None, repr=False, compare=False)
