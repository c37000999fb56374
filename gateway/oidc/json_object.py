"""JSON objects from providers, read so that everyone sees the same document (RFC 8259).

A repeated member is refused: two readers may take two different values (RFC 7515 section 4 wants
it so for headers, and lenience is how one checker and one user of a claim come to disagree). `NaN`
and `Infinity` are not JSON; they read as null. Overflowing fractions read as the largest float, so
a number is always finite. Depth is bounded, and text can always be encoded again.
"""

import json
import math
import re

MAX_DEPTH = 32
_SECONDS_LIMIT = 1e15  # far past any date, far from any overflow
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotAnObject(ValueError):
    """The octets are not one well-formed, bounded JSON object."""


def read_json_object(octets: bytes, *, inner_faults_as_null: bool = False) -> dict[str, object]:
    """Return the members of a JSON object; raises `NotAnObject`.

    With `inner_faults_as_null` an object further in that repeats a member reads as null, for
    documents of independent parts, of which one must not spoil the others (RFC 7517 section 5).
    """
    try:
        text = octets.decode("utf-8")
        value: object = json.loads(
            text,
            object_pairs_hook=_members_or_none if inner_faults_as_null else _members,
            parse_constant=lambda _: None,
            parse_float=_finite,
        )
    except (ValueError, RecursionError):
        raise NotAnObject from None
    if not isinstance(value, dict) or not _is_shallow(value):
        raise NotAnObject
    if _SURROGATE.search(text):
        _refuse_lone_surrogates(value)
    return value


def number(value: object) -> float | None:
    """Return a JSON number as a float that is safe to reckon with, else None; bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return float(max(-_SECONDS_LIMIT, min(value, _SECONDS_LIMIT)))


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = _members_or_none(pairs)
    if members is None:
        raise NotAnObject
    return members


def _members_or_none(pairs: list[tuple[str, object]]) -> dict[str, object] | None:
    members = dict(pairs)
    return members if len(members) == len(pairs) else None


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else math.copysign(math.nextafter(math.inf, 0), value)


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return True
    return False


def _children(item: object) -> list[object]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _refuse_lone_surrogates(value: object) -> None:
    """Half a character cannot be written as UTF-8 again: the failure would come later, as ours."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise NotAnObject from None
