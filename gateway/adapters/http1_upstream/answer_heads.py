"""Heads of answers that came before, octet by octet: what was parsed and judged once is not again.

An API under load says the same again and again, Date included. What follows from a head follows
from its octets alone, so it is kept, for one gateway and within a bound.
"""

from dataclasses import dataclass, field
from typing import Any

from gateway.edge.messages import Fields
from gateway.edge.second_time import SecondTime

MOST_HEADS = 512
LONGEST_HEAD = 2048
"""Octets. Together with `MOST_HEADS` the bound of what upstreams can have us remember."""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """A final head whose body has a length; `known` is what others find to follow from it."""

    status: int
    fields: Fields
    length: int
    persistent: bool
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


class AnswerHeads:
    """The heads that have come more than once; the oldest goes first, however often it comes."""

    __slots__ = ("_by_octets", "_second_time", "find")

    def __init__(self) -> None:
        self._by_octets: dict[bytes, AnswerHead] = {}
        self._second_time = SecondTime()
        self.find = self._by_octets.get

    def __len__(self) -> int:
        return len(self._by_octets)

    def is_worth_keeping(self, octets: bytes, fields: Fields) -> bool:
        """Whether this head comes again, and holds no cookie: what is somebody's is not kept."""
        return (
            len(octets) <= LONGEST_HEAD
            and self._second_time.is_for(octets)
            and not any(name == b"set-cookie" for name, _ in fields)
        )

    def keep(self, octets: bytes, head: AnswerHead) -> None:
        """Remember a head that is worth it."""
        if len(self._by_octets) >= MOST_HEADS:
            del self._by_octets[next(iter(self._by_octets))]
        self._by_octets[octets] = head
