"""JSON objects read strictly: a member of another type than the writer's is damage, not a value."""

from collections.abc import Sequence
from typing import TypeVar

from gateway.oidc import json_object

T = TypeVar("T")


class Entry:
    """One JSON object. Each reading raises `ValueError` when the member is not what it must be."""

    def __init__(self, raw: object) -> None:
        if not isinstance(raw, dict):
            raise ValueError("not an object")  # noqa: TRY004  damage, whatever its type
        self._members: dict[str, object] = raw

    def text(self, name: str) -> str:
        """Return a string."""
        return _text(self._members.get(name))

    def text_or_none(self, name: str) -> str | None:
        """Return a string, or None for null; the member has to be there."""
        return None if self.is_null(name) else self.text(name)

    def is_null(self, name: str) -> bool:
        """Whether the member says null."""
        return name in self._members and self._members[name] is None

    def texts(self, name: str) -> list[str]:
        """Return an array of strings."""
        return [_text(one) for one in self._array(name)]

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Return an array of pairs of strings."""
        found: list[tuple[str, str]] = []
        for one in self._array(name):
            if not isinstance(one, list) or len(one) != 2:  # noqa: PLR2004  a pair
                raise ValueError("not a pair")
            found.append((_text(one[0]), _text(one[1])))
        return found

    def number(self, name: str) -> float:
        """Return a finite number."""
        found = json_object.number(self._members.get(name))
        if found is None:
            raise ValueError("not a number")
        return found

    def flag(self, name: str) -> bool:
        """Return true or false."""
        found = self._members.get(name)
        if not isinstance(found, bool):
            raise ValueError("neither true nor false")  # noqa: TRY004  as above
        return found

    def one_of(self, listed: Sequence[T], name: str) -> T:
        """Return the listed value that this member names by its place."""
        place = self._members.get(name)
        if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(listed):
            raise ValueError("not a place in the list")
        return listed[place]

    def entry(self, name: str) -> "Entry":
        """Return an object."""
        return Entry(self._members.get(name))

    def entries(self, name: str) -> list["Entry"]:
        """Return an array of objects."""
        return [Entry(one) for one in self._array(name)]

    def members(self) -> dict[str, str]:
        """Return an object all of whose members are strings."""
        return {name: _text(value) for name, value in self._members.items()}

    def _array(self, name: str) -> list[object]:
        found = self._members.get(name)
        if not isinstance(found, list):
            raise ValueError("not an array")  # noqa: TRY004  as above
        return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")  # noqa: TRY004  as above
    return value
