"""Every parser we own, as one function from octets, and what it may raise.

A parser is here when somebody else decides what it reads: browsers, upstreams, providers, the
store, operators. Its function also checks what holds of whatever it accepts (what is written
again reads the same, what passes is well formed), so that each input is a whole test.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.edge.messages import Fields
from gateway.errors import Code, GatewayError

Octets = Callable[[bytes], object]


@dataclass(frozen=True)
class Parser:
    """`source` is where it lives; nothing but these codes and errors may come out of it."""

    name: str
    source: str
    read: Octets
    codes: frozenset[Code] = frozenset()
    errors: tuple[type[Exception], ...] = ()
    examples: int = 250
    seeds: tuple[bytes, ...] = field(default=(), repr=False)  # besides its corpus

    def refuses(self, octets: bytes) -> bool:
        """Whether it refuses; anything but a documented refusal is a bug and is raised."""
        try:
            self.read(octets)
        except GatewayError as refusal:
            if refusal.code not in self.codes:
                raise
            return True
        except self.errors:
            return True
        return False


@dataclass(frozen=True)
class StreamParser:
    """A parser of octets as they come: `fed` reads these pieces and tells what came of it."""

    name: str
    source: str
    fed: Callable[[list[bytes]], object]
    corpus: str = ""


def fields_of(octets: bytes) -> Fields:
    """Lines `name: value` as fields; what a line may hold is not judged."""
    found = []
    for line in octets.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.lower(), value.strip(b" \t")))
    return tuple(found)
