"""Heads of requests that came before, octet by octet: what was parsed once is not parsed again.

A page asks again and again with the very same octets, cookie included. Parsing and judging them is
a function of the octets alone, so the result is kept; anything that differs in one octet, has a
body, or did not come in one piece goes the long way.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from gateway.edge.messages import Field
from gateway.edge.second_time import SecondTime

MOST_HEADS = 1024
LONGEST_HEAD = 4096  # octets
MOST_FIELDS = 48
"""More than browsers send. A field costs some 300 octets wherever it is remembered, so that with
`MOST_HEADS` this is the bound of what strangers can have us remember: about 40 MB."""

_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Head:
    """An acceptable head without a body behind it.

    `scope` holds the part of the ASGI scope that follows from the octets. Its member
    `gateway.same_octets` is a place where an application may keep what follows from them, too.
    """

    scope: dict[str, Any] = field(repr=False)  # cookies among it


def about_request(
    method: bytes, version: str, target: bytes, fields: list[Field], asgi_version: str
) -> dict[str, Any]:
    """Return what of an ASGI scope follows from the octets of the head alone."""
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") and b"://" in path:  # absolute-form
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    text = path.decode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": asgi_version, "spec_version": "2.3"},
        "http_version": version,
        "method": method.decode("ascii"),
        "root_path": "",
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "headers": fields,
        "gateway.raw_target": target,
        "gateway.same_octets": {},
    }


def is_whole(octets: bytes) -> bool:
    """Whether the octets end where their first head ends, and are few enough to be kept."""
    return len(octets) <= LONGEST_HEAD and octets.find(_END) == len(octets) - len(_END)


class Heads:
    """The heads that have come more than once; the oldest goes first, however often it comes."""

    __slots__ = ("_by_octets", "_second_time", "find")

    def __init__(self) -> None:
        self._by_octets: dict[bytes, Head] = {}
        self._second_time = SecondTime()
        self.find = self._by_octets.get

    def __len__(self) -> int:
        return len(self._by_octets)

    def keep(self, octets: bytes, head: Head) -> None:
        """Remember a head that comes again; one with more fields than browsers send never is."""
        if len(head.scope["headers"]) > MOST_FIELDS or not self._second_time.is_for(octets):
            return
        if len(self._by_octets) >= MOST_HEADS:
            del self._by_octets[next(iter(self._by_octets))]
        self._by_octets[octets] = head
