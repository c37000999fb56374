"""Heads of requests that came before, octet by octet: what was parsed once is not parsed again.

A page asks again and again with the very same octets, cookie included; and with the same fields for
one thing after another. Parsing and judging them is a function of the octets alone, so the result
is kept: for whole heads, and for all that follows a request line. Anything that differs in one
octet, has a body, or did not come in one piece goes the long way.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from gateway.edge.messages import Field
from gateway.edge.second_time import SecondTime

MOST_HEADS = 512
MOST_BLOCKS = 512
LONGEST_HEAD = 4096  # octets
MOST_FIELDS = 48
"""More than browsers send. A field costs some 300 octets wherever it is remembered, so that with
`MOST_HEADS` and `MOST_BLOCKS` this is the bound of what strangers can have us remember: about
60 MB, measured."""

_END = b"\r\n\r\n"
_LINE_END = b"\r\n"
# Every request line it matches the parser reads in the same way; many that the parser takes, it
# does not match. Methods for which a body is unusual.
_REQUEST_LINE = re.compile(
    rb"(GET|HEAD|DELETE|OPTIONS) (/[A-Za-z0-9/._~%!$&'()*+,;=:@?-]*) HTTP/1\.1"
)


@dataclass(frozen=True, slots=True)
class Head:
    """An acceptable head without a body behind it.

    `scope` holds the part of the ASGI scope that follows from the octets. Its members
    `gateway.same_octets` and `gateway.same_fields` are places where an application may keep what
    follows from them, too: from all of them, and from all but the request line.
    """

    scope: dict[str, Any] = field(repr=False)  # cookies among it


def about_request(
    method: bytes, version: str, target: bytes, fields: list[Field], asgi_version: str
) -> dict[str, Any]:
    """Return what of an ASGI scope follows from the octets of the head alone."""
    return {
        "type": "http",
        "asgi": {"version": asgi_version, "spec_version": "2.3"},
        "http_version": version,
        "root_path": "",
        "headers": fields,
        "gateway.same_fields": {},
        **_about_line(method, target),
    }


def _about_line(method: bytes, target: bytes) -> dict[str, Any]:
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") and b"://" in path:  # absolute-form
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    text = path.decode("latin-1")
    return {
        "method": method.decode("ascii"),
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "gateway.raw_target": target,
        "gateway.same_octets": {},
    }


def is_whole(octets: bytes) -> bool:
    """Whether the octets end where their first head ends, and are few enough to be kept."""
    return len(octets) <= LONGEST_HEAD and octets.find(_END) == len(octets) - len(_END)


class Heads:
    """The heads and field blocks that have come more than once.

    The oldest goes first, however often it comes.
    """

    __slots__ = ("_blocks", "_by_octets", "_second_block", "_second_head", "find")

    def __init__(self) -> None:
        self._by_octets: dict[bytes, Head] = {}
        self._blocks: dict[bytes, Head] = {}  # by the octets behind the request line
        self._second_head = SecondTime()
        self._second_block = SecondTime()
        self.find = self._by_octets.get

    def __len__(self) -> int:
        return len(self._by_octets)

    @property
    def blocks(self) -> int:
        """How many field blocks are remembered."""
        return len(self._blocks)

    def find_beside(self, octets: bytes, longest_target: int) -> Head | None:
        """Return the head that these octets are, if its fields have come before; else None.

        The request line is read here, and only where nothing about it is unusual.
        """
        end = octets.find(_LINE_END)
        known = self._blocks.get(octets[end:])
        line = _REQUEST_LINE.fullmatch(octets, 0, end) if known is not None else None
        if known is None or line is None or len(line[2]) > longest_target:
            return None
        head = Head({**known.scope, **_about_line(line[1], line[2])})
        if len(octets) <= LONGEST_HEAD:
            self._keep_head(octets, head)
        return head

    def keep(self, octets: bytes, head: Head) -> None:
        """Remember a head that comes again, and its fields.

        More fields than a browser sends are never worth their room.
        """
        if len(head.scope["headers"]) > MOST_FIELDS:
            return
        self._keep_head(octets, head)
        end = octets.find(_LINE_END)
        block = octets[end:]
        # The parser skips empty lines: what lies behind the first line end may be a whole request.
        if _REQUEST_LINE.fullmatch(octets, 0, end) and self._second_block.is_for(block):
            _keep(self._blocks, block, head, MOST_BLOCKS)

    def _keep_head(self, octets: bytes, head: Head) -> None:
        if self._second_head.is_for(octets):
            _keep(self._by_octets, octets, head, MOST_HEADS)


def _keep(heads: dict[bytes, Head], octets: bytes, head: Head, most: int) -> None:
    if len(heads) >= most:
        del heads[next(iter(heads))]
    heads[octets] = head
