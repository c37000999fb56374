"""Queries and forms, read without guessing and written without repeats."""

import pytest

from gateway.oidc.parameters import UnreadableParameter, form, read_parameters, with_parameters
from tests.unit.oidc.examples import query_of

KNOWN = frozenset({"code", "state"})


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (b"", {}),
        (b"&&", {}),
        (b"code=a&state=b", {"code": "a", "state": "b"}),
        (b"code=a+b%20c%2Bd%26e%3D", {"code": "a b c+d&e="}),
        (b"c%6Fde=a", {"code": "a"}),
        (b"code==", {"code": "="}),
        (b"code=%C3%A9", {"code": "é"}),
        (b"code=\xc3\xa9", {"code": "é"}),
        (b"code=a;state=b", {"code": "a;state=b"}),
        (b"CODE=a&x=1&x=2&x", {}),
        (b"%zz=a&code=b&%ff=c", {"code": "b"}),
        (b"other=%zz&code=b&other=%ff", {"code": "b"}),
        (b"code=&state", {}),
    ],
)
def test_known_parameters_are_decoded_and_the_rest_ignored(
    octets: bytes, found: dict[str, str]
) -> None:
    assert read_parameters(octets, KNOWN) == found


def test_a_hundred_parameters_are_read_and_no_more() -> None:
    """A form of 64 KiB has room for 65,000, and looking at each would take 25 milliseconds."""
    assert read_parameters(b"&" * 98 + b"&code=a", KNOWN) == {"code": "a"}
    for more in (b"&" * 99 + b"&code=a", b"&" * 65_000, b"code=a" + b"&x=1" * 100):
        with pytest.raises(UnreadableParameter):
            read_parameters(more, KNOWN)


@pytest.mark.parametrize(
    "octets",
    [
        b"code=a&code=a",
        b"code=a&code=b",
        b"code=a&code=",
        b"code&code=a",
        b"code=a&c%6fde=b",
        b"code=%",
        b"code=%4",
        b"code=%zz",
        b"code=%ff",
        b"code=\xff",
        b"code=%c0%af",
        b"code=%ed%a0%80",
    ],
)
def test_e10_a_repeat_or_an_unreadable_value_is_an_error(octets: bytes) -> None:
    with pytest.raises(UnreadableParameter):
        read_parameters(octets, KNOWN)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x/a", "https://x/a?p=v%20w"),
        ("https://x/a?", "https://x/a?p=v%20w"),
        ("https://x/a?q=1", "https://x/a?q=1&p=v%20w"),
        ("https://x/a?q=1&q=%2f+&r", "https://x/a?q=1&q=%2f+&r&p=v%20w"),
        ("https://x/a?p=theirs&q=1", "https://x/a?q=1&p=v%20w"),
        ("https://x/a?%70=theirs", "https://x/a?p=v%20w"),
    ],
)
def test_a_urls_own_query_stays_but_each_of_ours_is_there_once(url: str, expected: str) -> None:
    assert with_parameters(url, [("p", "v w")]) == expected


def test_values_cannot_break_out_of_their_parameter() -> None:
    hostile = "a&b=c#d?e=é\r\nx: y+%20"
    assert query_of(with_parameters("https://x/", [("p", hostile)])) == {"p": hostile}
    assert form([("p", "a b"), ("q", "&")]) == "p=a%20b&q=%26"
